"""Stages and functions in processes of their own, with their time and peak memory."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from benchmarks.common import PROJECT
from stages.core.base.errors import UserError

__all__ = ["Usage", "call_in_fresh_process", "run_stage"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Usage:
    """What a process used.

    Attributes:
        seconds: from start to end.
        peak_mb: peak memory in MB.
        cpu: user and system seconds of all cores.
    """

    seconds: float
    peak_mb: float
    cpu: float


def run_stage(command: str, *arguments: str, threads: int | None = None) -> Usage:
    """Run `python -m stages.<command>` in the current folder; its standard output is dropped.

    The system counts a child's peak memory from the parent's size on, so this process must stay smaller than what it
    measures: all work is done in children.

    Args:
        command: name of the stage, or `compose`, which reads the project's conf/.
        arguments: of the command line.
        threads: SOCQUANT_THREADS; without it every core.

    Raises:
        UserError: if it fails; the command has said why on standard error.
    """
    environment = {key: value for key, value in os.environ.items() if key != "SOCQUANT_THREADS"}
    environment |= {"PYTHONPATH": str(PROJECT)} | ({"SOCQUANT_THREADS": str(threads)} if threads else {})
    conf = ["--conf", str(PROJECT / "conf")] if command == "compose" else []
    line = [sys.executable, "-m", f"stages.{command}", *conf, *arguments]
    start = time.perf_counter()
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"`python -m stages.{command}` ended with exit code {process.returncode}")
    return Usage(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def call_in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """Call a module's function in a fresh process; gives its result and the process's peak memory in MB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_with_peak, partial(function, *args, **kwargs)).result()


def _with_peak(function: Callable[[], T]) -> tuple[T, float]:
    return function(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
