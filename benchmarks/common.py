"""What the measurements share: pictures under other names, stages in processes of their own, clocks."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from stages.core.base.errors import UserError

__all__ = ["PROJECT", "Usage", "alone", "alternated", "clock", "link_pictures", "pictures_in", "run", "steady"]

P = ParamSpec("P")
T = TypeVar("T")

PROJECT = Path(__file__).resolve().parent.parent
"""The project's folder."""


@dataclass(frozen=True)
class Usage:
    """What a process took: seconds from start to end, peak memory in MB, seconds of all cores (user and system)."""

    seconds: float
    peak_mb: float
    cpu: float


def pictures_in(folder: Path) -> list[Path]:
    """List the .jpg, .jpeg and .png files of a folder by name, as absolute paths.

    Raises:
        UserError: if there is no such folder or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: a folder of .jpg or .png pictures is needed there")
    found = sorted(p.resolve() for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not found:
        raise UserError(f"{folder} holds no .jpg or .png")
    return found


def link_pictures(folder: Path, pictures: Sequence[Path], count: int) -> list[Path]:
    """Make a folder of `count` links to pictures, evenly over them; repeated under other names if there are fewer.

    Returns:
        The pictures that were taken.
    """
    taken = [pictures[index * len(pictures) // count] for index in range(count)]
    folder.mkdir()
    for index, picture in enumerate(taken):
        (folder / f"{index:05d}{picture.suffix}").symlink_to(picture)
    return taken


def run(command: str, *arguments: str, threads: int | None = None) -> Usage:
    """Run `python -m stages.<command>` in the current folder; what it prints as its result is dropped.

    The system counts a child's peak memory from the parent's size on, so this process must stay smaller than what it
    measures: all work is done in children.

    Args:
        command: name of the stage, or `compose`, which takes the project's conf/.
        arguments: of the command line.
        threads: SOCQUANT_THREADS; without it every core.

    Raises:
        UserError: if it fails; the command has said why on standard error.
    """
    environment = {key: value for key, value in os.environ.items() if key != "SOCQUANT_THREADS"}
    environment |= {"PYTHONPATH": str(PROJECT)} | ({"SOCQUANT_THREADS": str(threads)} if threads else {})
    where = ["--conf", str(PROJECT / "conf")] if command == "compose" else []
    line = [sys.executable, "-m", f"stages.{command}", *where, *arguments]
    start = time.perf_counter()
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"`python -m stages.{command}` ended with exit code {process.returncode}")
    return Usage(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Call a function of a module in a fresh process; gives its result and the process's peak memory in MB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_with_peak, partial(work, *args, **kwargs)).result()


def _with_peak(work: Callable[[], T]) -> tuple[T, float]:
    return work(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def clock(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def steady(work: Callable[[], object], runs: int) -> float:
    """Seconds a call, over some calls after one that is not counted: another session's threads may still spin."""
    work()
    return clock(lambda: [work() for _ in range(runs)]) / runs


def alternated(clocks: Sequence[Callable[[], float]], turns: int) -> list[float]:
    """Call each clock once a turn, so that all see the same noise; gives the median of each."""
    rounds = [[measured() for measured in clocks] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]
