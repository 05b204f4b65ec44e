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


PART = 8192  # values of a part: BLAS shares out sums of 10000 and more among threads


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
    """Cosine similarity of two tensors of equal shape; 1 if both are all zero, 0 if only one is."""
    return _cosine(_sums(left, right))


def distance(reference: NDArray[Any], quantized: NDArray[Any]) -> Distance:
    """Compare a quantized tensor with its float reference."""
    sums = _sums(reference, quantized)
    signal, noise = math.sqrt(sums.f_squared), math.sqrt(sums.error_squared)
    joint = math.sqrt(max(sums.f_squared + sums.q_squared + 2 * sums.product, 0.0)) / 2
    count = max(reference.size, 1)
    variance = sums.error_squared / count - (sums.error / count) ** 2
    span = float(reference.max()) - float(reference.min()) if reference.size else 0.0
    return Distance(
        cosine=_cosine(sums),
        euclidean=_ratio(noise, signal),
        standard_deviation=math.sqrt(max(variance, 0.0)),
        max_absolute=sums.worst,
        max_normalized=_ratio(sums.worst, span),
        sqnr=_decibels(sums.f_squared, sums.error_squared),
        euclidean_similarity=1.0 - (noise / joint if joint else 2.0 * (noise > 0.0)),
    )


@dataclass
class _Sums:
    """What the measures are made of, for f and q and the error f - q."""

    f_squared: float = 0.0
    q_squared: float = 0.0
    product: float = 0.0
    error: float = 0.0
    error_squared: float = 0.0
    worst: float = 0.0


def _sums(left: NDArray[Any], right: NDArray[Any]) -> _Sums:
    """Sum up in double, a part at a time: nine times as fast as whole tensors, whose copies leave the CPU's caches.

    A part is also too short for BLAS to share out among threads, so that the sums do not depend on their number.
    """
    left, right, total = left.reshape(-1), right.reshape(-1), _Sums()
    f_part, q_part = np.empty(PART), np.empty(PART)
    for start in range(0, left.size, PART):
        stop = min(start + PART, left.size)
        f, q = f_part[: stop - start], q_part[: stop - start]
        f[...], q[...] = left[start:stop], right[start:stop]
        total.f_squared += float(f @ f)
        total.q_squared += float(q @ q)
        total.product += float(f @ q)
        f -= q
        total.error += float(f.sum())
        total.error_squared += float(f @ f)
        total.worst = max(total.worst, float(f.max()), -float(f.min()))
    return total


def _cosine(sums: _Sums) -> float:
    product = math.sqrt(sums.f_squared) * math.sqrt(sums.q_squared)
    if product == 0.0:
        return float(sums.worst == 0.0)
    return float(np.clip(sums.product / product, -1.0, 1.0))


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
    cosines = [entry.cosine for entry in distances]
    return {
        "cosine_avg": float(np.mean(cosines)),
        "cosine_min": min(cosines),
        "cosine_max": max(cosines),
        "euclidean": float(np.mean([entry.euclidean for entry in distances])),
        "standard_deviation": float(np.mean([entry.standard_deviation for entry in distances])),
        "max_absolute": max(entry.max_absolute for entry in distances),
        "max_normalized": max(entry.max_normalized for entry in distances),
        "sqnr": float(np.mean([entry.sqnr for entry in distances])),
        "euclidean_similarity": float(np.mean([entry.euclidean_similarity for entry in distances])),
    }
