"""Running other programs so that none outlives the command that started it."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["own_line", "run_streaming", "running"]

GRACE_SECONDS = 10.0
"""What a program has to clear up before it is ended by force."""


def run_streaming(
    command: Sequence[str],
    folder: Path,
    take: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> int:
    """Run a program without input and hand on what it prints, as it prints it.

    Whatever ends the waiting (Ctrl-C, SIGTERM where the command turns it into an exit, an error in `take`) ends the
    program and all that it started: politely, then by force.

    Args:
        command: the program and its arguments.
        folder: it runs there.
        take: called with each line of both its streams; what a progress display rewrites ends with a carriage return.
        environment: in place of this process's.
        seconds: what it may take; None for any time.

    Returns:
        Its exit code; negative where a signal killed it.

    Raises:
        OSError: if it cannot be started.
        TimeoutError: if it took longer; it is ended then, with all that it started.
    """
    late = threading.Event()
    with running(command, folder, subprocess.PIPE, environment) as process:
        assert process.stdout is not None
        process.stdout.reconfigure(newline="")  # type: ignore[attr-defined]

        def end() -> None:
            late.set()
            _end_group(process)

        timer = threading.Timer(seconds or 0.0, end)
        if seconds is not None:
            timer.start()
        try:
            for line in process.stdout:
                take(line)
            code = process.wait()
        finally:
            timer.cancel()
    if late.is_set():
        raise TimeoutError(f"{command[0]} took longer than {seconds:g} s")
    return code


@contextmanager
def running(
    command: Sequence[str], folder: Path, streams: Any, environment: Mapping[str, str] | None = None
) -> "Iterator[subprocess.Popen[str]]":
    """Run a program without input, in a process group of its own.

    When the block ends by an exception the whole group is ended: politely, then by force.

    Args:
        command: the program and its arguments.
        folder: it runs there.
        streams: where both its streams go, as `subprocess` takes it.
        environment: in place of this process's.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=streams,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            _end_group(process)
            raise


def _end_group(process: "subprocess.Popen[str]") -> None:
    """End a program and all that it started: politely, then by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def own_line(text: str) -> str | None:
    """Find the line in a log in which a command of the project says why it failed; None if it says nothing."""
    lines = (line.strip() for line in text.splitlines())
    own = [line for line in lines if line.startswith(("error: ", "internal error: "))]
    return own[-1].removeprefix("error: ") if own else None
