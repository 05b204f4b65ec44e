"""Choosing a feature's range from its statistics."""

import math
from fractions import Fraction

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.config.schema import FeatureMethod
from stages.core.statistics.tensor_statistics import HISTOGRAM_BINS, TensorStatistics
from stages.quantize.parameters.scales import affine, fit_scales

__all__ = [
    "admm_range",
    "expected_errors",
    "feature_range",
    "kl_divergence",
    "kl_range",
    "mse_range",
    "percentile_range",
]

CLIP_CANDIDATES = 512
"""Thresholds that KL and MSE try."""
ADMM_STARTS, ADMM_ROUNDS = 16, 50
"""Thresholds that ADMM starts from, and the most rounds from each."""


def feature_range(
    statistics: TensorStatistics, method: FeatureMethod, bits: int, percentile: float, symmetric: bool
) -> tuple[float, float]:
    """Choose the range [low, high] that a feature's codes cover.

    Args:
        statistics: of the feature, from calibration.
        method: how to choose; MAX_ABS keeps all values.
        bits: bit width of a code.
        percentile: percent of the values that PERCENTILE keeps, above 0, at most 100.
        symmetric: whether the zero point is bound, see `affine`.
    """
    match method:
        case FeatureMethod.KL:
            return kl_range(statistics, bits)
        case FeatureMethod.MSE | FeatureMethod.OUTPUT:  # OUTPUT, where no consumer can be measured
            return mse_range(statistics, bits, symmetric)
        case FeatureMethod.ADMM:
            return admm_range(statistics, bits, symmetric)
        case FeatureMethod.PERCENTILE:
            return percentile_range(statistics, percentile)
        case FeatureMethod.MAX_ABS:
            return statistics.low, statistics.high


def kl_range(statistics: TensorStatistics, bits: int) -> tuple[float, float]:
    """Choose the clip whose quantized distribution diverges least from the original.

    Candidates clip at +-T (at 0..T where nothing is negative). For each, P is the clipped histogram, what lies outside
    added to its end bins; Q is what lies inside, merged into 2**bits levels and distributed evenly over each level's
    occupied bins. The candidate of least KL(P || Q) wins; of equals the widest. Where the histogram has no more bins
    than there are levels, no clip can help and the full range stays. The bin of zero is left out. Source: S. Migacz,
    "8-bit Inference with TensorRT", GTC 2017.
    """
    levels = 2**bits
    occupied = np.flatnonzero(statistics.histogram)
    start, end = int(occupied[0]), int(occupied[-1]) + 1
    if end - start <= levels:
        return statistics.low, statistics.high
    edges = statistics.edges
    histogram = _without_zero(statistics)
    best = (np.inf, statistics.low, statistics.high)
    for low, high in _clips(statistics, CLIP_CANDIDATES):
        first = max(start, int(np.searchsorted(edges, low, side="right")) - 1)
        last = min(end, int(np.searchsorted(edges, high, side="left")))
        if last - first <= levels:
            break
        divergence = kl_divergence(histogram, first, last, levels)
        if divergence < best[0]:
            best = (divergence, low, high)
    return best[1], best[2]


def percentile_range(statistics: TensorStatistics, percentile: float) -> tuple[float, float]:
    """Clip at +-T, T the least bin edge such that at least `percentile` percent of the values have |x| <= T.

    Bin edges, not a point between: what a bin's values are is not known, and the share is promised.
    """
    bins = np.arange(statistics.first, statistics.first + HISTOGRAM_BINS)
    outer = np.where(bins < 0, -bins, bins + 1)  # the edge farther from zero, in bins
    order = np.argsort(outer, kind="stable")
    kept = np.cumsum(statistics.histogram[order])
    # as the percentage is written: in binary, 99.99 percent of 10000 values could come out as just above 9999
    wanted = math.ceil(Fraction(str(percentile)) * int(kept[-1]) / 100)
    threshold = float(outer[order[np.searchsorted(kept, wanted)]] * statistics.width)
    return max(statistics.low, -threshold), min(statistics.high, threshold)


def mse_range(statistics: TensorStatistics, bits: int, symmetric: bool) -> tuple[float, float]:
    """Choose the clip of least expected squared error, of equals the widest."""
    clips = _clips(statistics, CLIP_CANDIDATES)
    params = [affine(low, high, bits, symmetric) for low, high in clips]
    return clips[int(_errors(statistics, params, bits).argmin())]


def admm_range(statistics: TensorStatistics, bits: int, symmetric: bool) -> tuple[float, float]:
    """Fit the scale to the bins' centres from several clips (see `fit_scales`); the least squared error wins.

    The zero point stays that of the start. MAX_ABS is a candidate too: where scales are smaller than bins, the centres
    mislead a fit.
    """
    starts = [affine(low, high, bits, symmetric) for low, high in _clips(statistics, ADMM_STARTS)]
    occupied = np.flatnonzero(_without_zero(statistics))
    # the outer bins reach beyond what was seen
    centres = ((statistics.edges[:-1] + statistics.edges[1:]) / 2).clip(statistics.low, statistics.high)
    zero_points = np.array([zero_point for _, zero_point in starts], dtype=np.float64)
    fitted = fit_scales(
        centres[occupied].reshape(1, -1),
        statistics.histogram[occupied].astype(np.float64).reshape(1, -1),
        np.array([[scale for scale, _ in starts]], dtype=np.float32),
        -zero_points,
        2**bits - 1 - zero_points,
        ADMM_ROUNDS,
    )[0]
    params = [starts[0], *((scale, zero_point) for scale, (_, zero_point) in zip(fitted, starts, strict=True))]
    best = int(_errors(statistics, params, bits).argmin())
    if best == 0:
        return statistics.low, statistics.high
    scale, zero_point = params[best]
    high = (2**bits - 1 - zero_point) * float(scale)
    return (-high if symmetric and zero_point else -zero_point * float(scale)), high


def _clips(statistics: TensorStatistics, count: int) -> list[tuple[float, float]]:
    """Ranges clipped at +-T, the seen range first: T falls in `count` equal amounts while it keeps any value."""
    reach = max(-statistics.low, statistics.high)
    thresholds = (np.arange(count, 0, -1) * (reach / count)).tolist()
    clips = [(max(statistics.low, -threshold), min(statistics.high, threshold)) for threshold in thresholds]
    return [(low, high) for low, high in clips if low <= high]


def _without_zero(statistics: TensorStatistics) -> NDArray[np.float64]:
    """The histogram less the bin of zero.

    Zero has a code of its own, so the bin's mass, which is large after a ReLU, costs nothing at any clip; its other
    values are within a bin of zero, and at scales of two bins and more round to it at any clip as well.
    """
    histogram = statistics.histogram.astype(np.float64)
    if 0 <= -statistics.first < HISTOGRAM_BINS:
        histogram[-statistics.first] = 0.0
    return histogram


def _errors(statistics: TensorStatistics, params: list[tuple[np.float32, int]], bits: int) -> NDArray[np.float64]:
    """Expected squared error of each scale and zero point: float64 [candidates]."""
    density = _without_zero(statistics) / statistics.width
    falls = -np.diff(density, prepend=0.0, append=0.0)
    used = np.flatnonzero(falls)
    scales = np.array([scale for scale, _ in params], dtype=np.float64)
    zero_points = np.array([zero_point for _, zero_point in params], dtype=np.float64)
    errors: NDArray[np.float64] = expected_errors(
        statistics.edges[used], falls[used], scales, -zero_points, 2**bits - 1 - zero_points
    )
    return errors


@numba.njit(cache=True)
def expected_errors(
    edges: NDArray[np.float64],
    falls: NDArray[np.float64],
    scales: NDArray[np.float64],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Integrate density * (x - quantized x)**2, the values of a bin distributed evenly over it.

    Bin centres alone would not do: scales of a few bins beat against them. The integral from zero to x
    of the squared error is c * scale**3 / 12 + (x - c * scale)**3 / 3, c the code of x, even where c saturates. Summed
    by parts it needs the density only where it changes.

    Args:
        edges: float64 [E], where the density changes.
        falls: float64 [E], by how much it falls there.
        scales: float64 [candidates], positive.
        lowest: float64 [candidates], least code counted from the zero point.
        highest: float64 [candidates], largest code.

    Returns:
        float64 [candidates], never below zero but for rounding.
    """
    inverse = 1.0 / scales
    whole = scales**3 / 12.0
    errors = np.zeros(scales.size)
    for i in range(edges.size):
        edge = edges[i]
        fall = falls[i]
        for k in range(scales.size):  # innermost, so that it vectorizes with every sum in a fixed order
            code = np.rint(edge * inverse[k])
            code = lowest[k] if code < lowest[k] else code
            code = highest[k] if code > highest[k] else code
            rest = edge - code * scales[k]
            errors[k] += fall * (code * whole[k] + rest * rest * rest / 3.0)
    return errors


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
