"""Running other programs so that none outlives the command that started it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["ended", "run_streaming"]

GRACE = 10.0  # seconds that a program has to clear up


def run_streaming(
    command: Sequence[str], folder: Path, take: Callable[[str], None], environment: Mapping[str, str] | None = None
) -> int:
    """Run a program without input and hand on what it prints, as it prints it.

    Whatever ends the waiting (Ctrl-C, SIGTERM where the command turns it into an exit, an error in `take`) ends the
    program and all that it started: politely, then by force.

    Args:
        command: the program and its arguments.
        folder: it runs there.
        take: called with each line of both its streams; what a progress display rewrites ends with a carriage return.
        environment: in place of this process's.

    Returns:
        Its exit code; negative where a signal killed it.

    Raises:
        OSError: if it cannot be started.
    """
    with (
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process,
        ended(process),
    ):
        assert process.stdout is not None
        process.stdout.reconfigure(newline="")  # type: ignore[attr-defined]
        for line in process.stdout:
            take(line)
        return process.wait()


@contextmanager
def ended(process: "subprocess.Popen[Any]") -> Iterator[None]:
    """End a process's whole group when the block ends by an exception: politely, then by force."""
    try:
        yield
    except BaseException:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(GRACE)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        raise
