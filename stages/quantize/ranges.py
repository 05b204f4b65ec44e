"""Choosing a feature's range from its statistics."""

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.config import FeatureMethod
from stages.core.statistics import BINS, TensorStatistics

__all__ = ["feature_range", "kl_divergence", "kl_range"]

STEP = BINS // 512  # bins between two candidate clips


def feature_range(statistics: TensorStatistics, method: FeatureMethod, bits: int) -> tuple[float, float]:
    """Choose the range [low, high] that a feature's codes cover."""
    if method is FeatureMethod.KL:
        return kl_range(statistics, bits)
    return statistics.low, statistics.high


def kl_range(statistics: TensorStatistics, bits: int) -> tuple[float, float]:
    """Choose the clip whose quantized distribution diverges least from the original.

    Candidates clip at +-T (at 0..T where nothing is negative). For each, P is the clipped histogram, what lies outside
    added to its end bins; Q is what lies inside, merged into 2**bits levels and spread evenly over each level's
    occupied bins. The candidate of least KL(P || Q) wins; of equals the widest. Where the histogram has no more bins
    than there are levels, no clip can help and the full range stays. The bin of zero is left out: zero has a code of
    its own, so its mass, which is large after a ReLU, costs nothing at any clip. Source: S. Migacz, "8-bit Inference
    with TensorRT", GTC 2017.
    """
    levels = 2**bits
    occupied = np.flatnonzero(statistics.histogram)
    start, end = int(occupied[0]), int(occupied[-1]) + 1
    if end - start <= levels:
        return statistics.low, statistics.high
    edges = statistics.edges
    best = (np.inf, statistics.low, statistics.high)
    reach = max(-statistics.low, statistics.high)
    histogram = statistics.histogram.astype(np.float64)
    if 0 <= -statistics.first < BINS:
        histogram[-statistics.first] = 0.0
    for threshold in np.arange(BINS, 0, -STEP) * (reach / BINS):
        low, high = max(statistics.low, -threshold), min(statistics.high, threshold)
        first = max(start, int(np.searchsorted(edges, low, side="right")) - 1)
        last = min(end, int(np.searchsorted(edges, high, side="left")))
        if last - first <= levels:
            break
        divergence = kl_divergence(histogram, first, last, levels)
        if divergence < best[0]:
            best = (divergence, low, high)
    return float(best[1]), float(best[2])


@numba.njit(cache=True)
def kl_divergence(histogram: NDArray[np.float64], first: int, last: int, levels: int) -> float:
    """KL(P || Q) of clipping a histogram to bins [first, last) and merging them into `levels`.

    Infinite where an end bin is empty but takes in what lies outside.
    """
    count = last - first
    below = histogram[:first].sum()
    above = histogram[last:].sum()
    inside = histogram[first:last].sum()
    total = below + inside + above
    if inside == 0.0:
        return np.inf
    divergence = 0.0
    begin = 0
    for level in range(levels):
        finish = (level + 1) * count // levels
        mass = 0.0
        occupied = 0
        for i in range(first + begin, first + finish):
            if histogram[i] > 0.0:
                mass += histogram[i]
                occupied += 1
        for i in range(first + begin, first + finish):
            p = histogram[i]
            if i == first:
                p += below
            if i == last - 1:
                p += above
            if p > 0.0:
                if histogram[i] == 0.0:
                    return np.inf
                divergence += p / total * np.log(p / total * inside * occupied / mass)
        begin = finish
    return divergence
