"""A histogram that grows with the data and does not depend on its order.

Bins are 2**exponent wide and their edges are multiples of that width, so doubling the width merges bins in pairs
exactly. The exponent is the smallest that lets the whole range fit, a function of the smallest and largest value
alone: pictures may come in any order, on any number of threads, and the counts are the same.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.statistics import BINS, TensorStatistics

__all__ = ["TensorCollector", "fitting_exponent"]

INDEX_BITS = 30  # bin numbers stay below 2**30, so that they are exact in float64 and safe in int64


def fitting_exponent(low: float, high: float) -> int:
    """Give the smallest exponent whose bins cover [low, high] in at most BINS bins.

    Both values in the same bin at every width (a constant tensor) is bounded by `INDEX_BITS`.
    """
    largest = max(abs(low), abs(high))
    if largest == 0.0:
        return -126  # the smallest normal float32
    exponent = max(math.frexp(largest)[1] - INDEX_BITS, -126)
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / BINS)[1] - 2)
    while math.floor(high * 2.0**-exponent) - math.floor(low * 2.0**-exponent) >= BINS:
        exponent += 1
    return exponent


class TensorCollector:
    """Accumulates one tensor's statistics, picture by picture."""

    def __init__(self) -> None:
        self._histogram = np.zeros(BINS, dtype=np.int64)
        self._exponent = 0
        self._first = 0
        self._channel_low = np.zeros(0, dtype=np.float32)
        self._channel_high = np.zeros(0, dtype=np.float32)
        self._channel_sum = np.zeros(0, dtype=np.float64)
        self._per_channel = 0  # values seen in each channel

    def add(self, values: NDArray[np.float32]) -> bool:
        """Take in one picture's values.

        Args:
            values: float32 [1, C, ...]; other ranks count as one channel.

        Returns:
            False, leaving everything as it was, if a value is infinite or not a number.
        """
        channels = values.shape[1] if values.ndim >= 2 else 1
        rows = np.ascontiguousarray(values).reshape(values.shape[0] if values.ndim else 1, channels, -1)
        low, high, total = _channel_extremes(rows)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return False
        if self._per_channel:
            low = np.minimum(low, self._channel_low)
            high = np.maximum(high, self._channel_high)
            total = total + self._channel_sum
        self._channel_low, self._channel_high, self._channel_sum = low, high, total
        self._per_channel += rows.shape[0] * rows.shape[2]
        self._fit(float(low.min()), float(high.max()))
        _count(rows.reshape(-1), np.float64(2.0**-self._exponent), self._first, self._histogram)
        return True

    def finish(self) -> TensorStatistics:
        """Give the statistics of all that was added."""
        return TensorStatistics(
            low=float(self._channel_low.min()),
            high=float(self._channel_high.max()),
            histogram=self._histogram,
            exponent=self._exponent,
            first=self._first,
            channel_low=self._channel_low,
            channel_high=self._channel_high,
            channel_mean=self._channel_sum / self._per_channel,
        )

    def _fit(self, low: float, high: float) -> None:
        """Widen and shift the bins so that [low, high] fits; counts move to where they belong."""
        exponent = fitting_exponent(low, high)
        first = math.floor(low * 2.0**-exponent)
        if (exponent, first) == (self._exponent, self._first):
            return
        occupied = np.flatnonzero(self._histogram)
        moved = np.zeros(BINS, dtype=np.int64)
        target = ((self._first + occupied) >> (exponent - self._exponent)) - first if occupied.size else occupied
        np.add.at(moved, target, self._histogram[occupied])
        self._histogram, self._exponent, self._first = moved, exponent, first


@numba.njit(cache=True, nogil=True)
def _channel_extremes(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Smallest, largest and sum of each channel of [N, C, L]; not-a-number makes the extremes not-a-number."""
    batch, channels, length = rows.shape
    low = np.full(channels, np.float32(np.inf), dtype=np.float32)
    high = np.full(channels, np.float32(-np.inf), dtype=np.float32)
    total = np.zeros(channels, dtype=np.float64)
    for n in range(batch):
        for c in range(channels):
            row = rows[n, c]
            smallest = low[c]
            largest = high[c]
            # several running sums break the dependency between additions; their order is fixed
            a = b = d = e = 0.0
            whole = length - length % 4
            for i in range(0, whole, 4):
                a += row[i]
                b += row[i + 1]
                d += row[i + 2]
                e += row[i + 3]
            for i in range(whole, length):
                a += row[i]
            for i in range(length):
                value = row[i]
                smallest = value if value < smallest else smallest
                largest = value if value > largest else largest
            total[c] += (a + b) + (d + e)
            if not np.isfinite(total[c]):
                smallest = np.float32(np.nan)
                largest = np.float32(np.nan)
            low[c] = smallest
            high[c] = largest
    return low, high, total


@numba.njit(cache=True, nogil=True)
def _count(values: NDArray[np.float32], scale: float, first: int, histogram: NDArray[np.int64]) -> None:
    """Add one to the bin of each value: floor(value * scale) - first; the caller made sure that all fit."""
    # four tables, since a run of equal values (zeros after a ReLU) would wait on one counter
    tables = np.zeros((4, histogram.size), dtype=np.int64)
    whole = values.size - values.size % 4
    for i in range(0, whole, 4):
        for lane in range(4):
            tables[lane, int(np.floor(values[i + lane] * scale)) - first] += 1
    for i in range(whole, values.size):
        tables[0, int(np.floor(values[i] * scale)) - first] += 1
    for bin_index in range(histogram.size):
        for lane in range(4):
            histogram[bin_index] += tables[lane, bin_index]
