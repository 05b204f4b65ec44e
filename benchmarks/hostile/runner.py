"""Runs a case: the command, as `python -m` runs it, in a fork of this process, which has imported most of it."""

import os
import resource
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from importlib import import_module
from pathlib import Path

from benchmarks.hostile.case import MOST_SECONDS, Case, Outcome

__all__ = ["preload", "run_case"]

MODULES = (
    "export", "calibset", "calibrate", "quantize", "compare", "evaluate", "build", "track", "infer", "check", "profile",
    "init", "scan", "autotune", "bisect", "compose", "sweep", "toolchain",
)  # fmt: skip
MOST_BYTES = 16 * 2**30
"""Address space of a command: what takes more ends, and the machine stays whole."""
TEXT_BYTES = 1 << 20
"""So much of what it prints is kept."""


def preload() -> None:
    """Import what the commands import, once."""
    for name in MODULES:
        import_module(f"stages.{name}.__main__" if name != "compose" else "stages.compose")


def run_case(case: Case, template: Path) -> Outcome:
    """Run a case in a copy of a project.

    Args:
        case: what to run.
        template: the project's folder.

    Returns:
        How it ended.
    """
    with tempfile.TemporaryDirectory(prefix="hostile", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "project"
        shutil.copytree(template, folder, symlinks=True)
        here = Path.cwd()
        os.chdir(folder)
        try:
            case.prepare()
            before = _files(folder)
            code, seconds, peak = _forked(case, Path(name))
            left = sorted(_files(folder) - before)
        finally:
            os.chdir(here)
        texts = [
            (Path(name) / stream).read_bytes()[-TEXT_BYTES:].decode("utf-8", "replace") for stream in ("out", "err")
        ]
        return Outcome(code, texts[0], texts[1], seconds, peak, tuple(left))


def _forked(case: Case, streams: Path) -> tuple[int | None, float, float]:
    """Exit code (None: ended for its time), CPU seconds, peak MB."""
    pid = os.fork()
    if pid == 0:
        _child(case, streams)
    late = threading.Event()

    def end() -> None:
        late.set()
        os.killpg(pid, signal.SIGKILL)

    timer = threading.Timer(5 * MOST_SECONDS, end)  # of the clock: other work may run beside it
    timer.start()
    _, status, usage = os.wait4(pid, 0)
    timer.cancel()
    code = None if late.is_set() else os.waitstatus_to_exitcode(status)
    return code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _child(case: Case, streams: Path) -> None:
    """Become the command; never returns."""
    code = 1
    try:
        os.setsid()
        for stream, descriptor in (("out", 1), ("err", 2)):
            file = os.open(streams / stream, os.O_WRONLY | os.O_CREAT)
            os.dup2(file, descriptor)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        os.environ.update(case.environment)
        command, *words = case.line
        sys.argv = [f"stages.{command}", *words]
        for module in (f"stages.{command}", f"stages.{command}.__main__"):
            sys.modules.pop(module, None)  # runpy warns of what is there already
        runpy.run_module(f"stages.{command}", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _files(folder: Path) -> set[str]:
    """Names of files below a folder, but caches of Python and numba."""
    found = (Path(name, file) for name, _, files in os.walk(folder) for file in files)
    return {path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts}
