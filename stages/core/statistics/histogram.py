"""A histogram that grows with the data and does not depend on its order.

Bins are 2**exponent wide and their edges are multiples of that width, so doubling the width merges bins in pairs
exactly. The exponent is the smallest that lets the whole range fit, a function of the smallest and largest value
alone: pictures may come in any order, on any number of threads, and the counts are the same.
"""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.statistics.tensor_statistics import HISTOGRAM_BINS, TensorStatistics

__all__ = ["TensorCollector", "fitting_exponent"]

VALUES_PER_BLOCK = 1024
"""Values whose bins are found, in one vectorized loop, before they are counted."""
INDEX_BITS = 30  # bin numbers stay below 2**30, so that they are exact in float64 and safe in int64


def fitting_exponent(low: float, high: float) -> int:
    """Give the smallest exponent whose bins cover [low, high] in at most HISTOGRAM_BINS bins.

    Both values in the same bin at every width (a constant tensor) is bounded by `INDEX_BITS`.
    """
    largest = max(abs(low), abs(high))
    if largest == 0.0:
        return -126  # the smallest normal float32
    exponent = max(math.frexp(largest)[1] - INDEX_BITS, -126)
    if high > low:
        exponent = max(exponent, math.frexp((high - low) / HISTOGRAM_BINS)[1] - 2)
    while math.floor(high * 2.0**-exponent) - math.floor(low * 2.0**-exponent) >= HISTOGRAM_BINS:
        exponent += 1
    return exponent


class TensorCollector:
    """Accumulates one tensor's statistics, picture by picture."""

    def __init__(self) -> None:
        self._histogram = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
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
        low_keys, high_keys, total = _channel_extremes(rows, rows.view(np.int32))
        low, high = _values(low_keys), _values(high_keys)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            return False
        if self._per_channel:
            low = np.minimum(low, self._channel_low)
            high = np.maximum(high, self._channel_high)
            total = total + self._channel_sum
        self._channel_low, self._channel_high, self._channel_sum = low, high, total
        self._per_channel += rows.shape[0] * rows.shape[2]
        self._fit(float(low.min()), float(high.max()))
        _count(rows.reshape(-1), np.float32(2.0**-self._exponent), np.int32(self._first), self._histogram)
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
        moved = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
        target = ((self._first + occupied) >> (exponent - self._exponent)) - first if occupied.size else occupied
        np.add.at(moved, target, self._histogram[occupied])
        self._histogram, self._exponent, self._first = moved, exponent, first


@numba.njit(cache=True, nogil=True)
def _channel_extremes(
    rows: NDArray[np.float32], bits: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Smallest, largest and sum of each channel of [N, C, L].

    The extremes are ordered keys (see `_values`) of the numbers' bits: whole numbers compare without a care for
    not-a-number, which lies beyond the infinities, so that the loop is vectorized.
    """
    batch, channels, length = rows.shape
    low = np.full(channels, np.int32(0x7FFFFFFF))
    high = np.full(channels, np.int32(-0x80000000))
    total = np.zeros(channels, dtype=np.float64)
    for n in range(batch):
        for c in range(channels):
            keys, row = bits[n, c], rows[n, c]
            smallest, largest = low[c], high[c]
            for i in range(length):
                key = keys[i] ^ ((keys[i] >> np.int32(31)) & np.int32(0x7FFFFFFF))
                smallest = min(smallest, key)
                largest = max(largest, key)
            low[c], high[c] = smallest, largest
            # eight running sums break the dependency between additions; their order is fixed
            s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
            whole = length - length % 8
            for i in range(0, whole, 8):
                s0 += row[i]
                s1 += row[i + 1]
                s2 += row[i + 2]
                s3 += row[i + 3]
                s4 += row[i + 4]
                s5 += row[i + 5]
                s6 += row[i + 6]
                s7 += row[i + 7]
            for i in range(whole, length):
                s0 += row[i]
            total[c] += ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    return low, high, total


def _values(keys: NDArray[np.int32]) -> NDArray[np.float32]:
    """The float32 numbers of ordered keys: a negative number's bits are turned over, so that order is kept."""
    return (keys ^ ((keys >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)


@numba.njit(cache=True, nogil=True)
def _count(values: NDArray[np.float32], scale: np.float32, first: np.int32, histogram: NDArray[np.int64]) -> None:
    """Add one to the bin of each value: floor(value * scale) - first; the caller made sure that all fit.

    The scale is a power of two, so the product is exact, but for a number so small that it becomes 0: its floor is -1
    if it was negative.
    """
    index = np.empty(VALUES_PER_BLOCK, dtype=np.int32)
    # two tables, since a run of equal values (zeros after a ReLU) would wait on one counter
    even = np.zeros(histogram.size, dtype=np.int32)
    odd = np.zeros(histogram.size, dtype=np.int32)
    for start in range(0, values.size, VALUES_PER_BLOCK):
        block = values[start : start + VALUES_PER_BLOCK]
        for i in range(block.size):
            scaled = block[i] * scale
            vanished = np.int32((scaled == 0) & (block[i] < 0))
            index[i] = np.int32(np.floor(scaled)) - first - vanished
        whole = block.size - block.size % 2
        for i in range(0, whole, 2):
            even[np.uint32(index[i])] += np.int32(1)
            odd[np.uint32(index[i + 1])] += np.int32(1)
        for i in range(whole, block.size):
            even[np.uint32(index[i])] += np.int32(1)
    for i in range(histogram.size):
        histogram[i] += np.int64(even[i]) + np.int64(odd[i])
