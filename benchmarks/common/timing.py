"""Clocks for what runs beside other work: warm-up calls and turns."""

import statistics
import time
from collections.abc import Callable, Sequence

__all__ = ["alternating_medians", "seconds_of", "warm_seconds_of"]


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def warm_seconds_of(call: Callable[[], object], runs: int) -> float:
    """Seconds a call, over some calls after one that is not counted: another session's threads may still spin."""
    call()
    return seconds_of(lambda: [call() for _ in range(runs)]) / runs


def alternating_medians(clocks: Sequence[Callable[[], float]], turns: int) -> list[float]:
    """Call each clock once a turn, so that all see the same noise; gives the median of each."""
    rounds = [[clock() for clock in clocks] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]
