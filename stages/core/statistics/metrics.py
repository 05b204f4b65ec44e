"""Measures of how far a quantized tensor is from its float one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SQNR_CAP", "Distance", "cosine", "distance", "summarize"]

SQNR_CAP = 200.0
"""Decibels that stand for no error at all (float32's rounding is near 150); the negative stands for error alone."""
VALUES_PER_PART = 8192
"""BLAS shares out sums of 10000 values and more among threads."""


@dataclass(frozen=True)
class Distance:
    """Distance of one tensor on one picture.

    Attributes:
        cosine: cosine similarity, 1 for equal directions.
        euclidean: |f - q| / |f|, the error's length relative to the float tensor's.
        standard_deviation: of f - q, in the tensor's unit.
        max_absolute: max |f - q|, in the tensor's unit.
        max_normalized: max |f - q| / (max f - min f), in parts of the float tensor's span.
        sqnr: signal to quantization noise, 10 log10(sum f^2 / sum (f - q)^2) in dB, within -+`SQNR_CAP`.
        euclidean_similarity: 1 - |f - q| / |(f + q) / 2|, 1 for equal tensors: the second of the three numbers in which
            Sophgo's npz comparison states a similarity, `--tolerance 0.8,0.5` being least cosine and least of these.
            Where f + q is 0 throughout: 1 for no error, -1 for any, as for an f of zeros.
    """

    cosine: float
    euclidean: float
    standard_deviation: float
    max_absolute: float
    max_normalized: float
    sqnr: float
    euclidean_similarity: float


def cosine(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Cosine similarity of two tensors of equal shape; 1 if both are all zero, 0 if only one is.

    Adds up in double, a part at a time: whole tensors in double would leave the CPU's caches, and parts are too short
    for BLAS to share out among threads, so that the sums do not depend on the number of threads.
    """
    left, right = left.reshape(-1), right.reshape(-1)
    f_squared = q_squared = product = 0.0
    for start in range(0, left.size, VALUES_PER_PART):
        f, q = (side[start : start + VALUES_PER_PART].astype(np.float64) for side in (left, right))
        f_squared, q_squared, product = f_squared + float(f @ f), q_squared + float(q @ q), product + float(f @ q)
    return _cosine(f_squared, q_squared, product)


def distance(reference: NDArray[Any], quantized: NDArray[Any]) -> Distance:
    """Compare a quantized tensor with its float reference; where one is not finite neither is the deviation."""
    # numba takes time to load, which `cosine` need not spend
    from stages.core.statistics.error_statistics import error_statistics  # noqa: PLC0415

    errors = error_statistics(reference, quantized)
    signal, noise = math.sqrt(errors.f_squared), math.sqrt(errors.error_squared)
    joint = math.sqrt(max(errors.f_squared + errors.q_squared + 2 * errors.product, 0.0)) / 2
    count = max(reference.size, 1)
    variance = errors.error_squared / count - (errors.error / count) ** 2
    return Distance(
        cosine=_cosine(errors.f_squared, errors.q_squared, errors.product),
        euclidean=_ratio(noise, signal),
        standard_deviation=math.sqrt(max(variance, 0.0)),
        max_absolute=errors.worst,
        max_normalized=_ratio(errors.worst, errors.high - errors.low),
        sqnr=_decibels(errors.f_squared, errors.error_squared),
        euclidean_similarity=1.0 - (noise / joint if joint else 2.0 * (noise > 0.0)),
    )


def _cosine(f_squared: float, q_squared: float, product: float) -> float:
    lengths = math.sqrt(f_squared) * math.sqrt(q_squared)
    if lengths == 0.0:
        return float(f_squared == q_squared)
    return float(np.clip(product / lengths, -1.0, 1.0))


def _ratio(part: float, whole: float) -> float:
    """Part / whole; where the whole is 0: 0 for no error, 1 for any."""
    return part / whole if whole else float(part > 0.0)


def _decibels(signal: float, noise: float) -> float:
    """Ten times the logarithm of signal / noise, both powers, within the cap; no noise is the cap."""
    if noise == 0.0:
        return SQNR_CAP
    if signal == 0.0:
        return -SQNR_CAP
    return float(np.clip(10.0 * (math.log10(signal) - math.log10(noise)), -SQNR_CAP, SQNR_CAP))


def summarize(distances: Sequence[Distance]) -> dict[str, float]:
    """Fold one tensor's distances over the pictures into a row of the vendor's similarity table.

    Cosine as average, least and greatest; Euclidean distance, standard deviation, signal to noise (in dB) and Euclidean
    similarity averaged; the largest maxima.
    """
    cosines = [measured.cosine for measured in distances]
    return {
        "cosine_avg": float(np.mean(cosines)),
        "cosine_min": min(cosines),
        "cosine_max": max(cosines),
        "euclidean": float(np.mean([measured.euclidean for measured in distances])),
        "standard_deviation": float(np.mean([measured.standard_deviation for measured in distances])),
        "max_absolute": max(measured.max_absolute for measured in distances),
        "max_normalized": max(measured.max_normalized for measured in distances),
        "sqnr": float(np.mean([measured.sqnr for measured in distances])),
        "euclidean_similarity": float(np.mean([measured.euclidean_similarity for measured in distances])),
    }
