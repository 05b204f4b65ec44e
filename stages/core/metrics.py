"""Measures of how far a quantized tensor is from its float one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Distance", "cosine", "distance", "summarize"]


@dataclass(frozen=True)
class Distance:
    """Distance of one tensor on one picture.

    Attributes:
        cosine: cosine similarity, 1 for equal directions.
        euclidean: |f - q| / |f|, the error's length relative to the float tensor's.
        standard_deviation: of f - q, in the tensor's unit.
        max_absolute: max |f - q|, in the tensor's unit.
        max_normalized: max |f - q| / (max f - min f), in parts of the float tensor's span.
    """

    cosine: float
    euclidean: float
    standard_deviation: float
    max_absolute: float
    max_normalized: float


def cosine(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Cosine similarity of two tensors of equal shape; 1 if both are all zero, 0 if only one is."""
    a, b = left.reshape(-1).astype(np.float64), right.reshape(-1).astype(np.float64)
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    if product == 0.0:
        return float(np.array_equal(a, b))
    return float(np.clip(a @ b / product, -1.0, 1.0))


def distance(reference: NDArray[Any], quantized: NDArray[Any]) -> Distance:
    """Compare a quantized tensor with its float reference."""
    f, q = reference.reshape(-1).astype(np.float64), quantized.reshape(-1).astype(np.float64)
    error = f - q
    length, span, worst = float(np.linalg.norm(f)), float(np.ptp(f)), float(np.abs(error).max(initial=0.0))
    return Distance(
        cosine=cosine(f, q),
        euclidean=_ratio(float(np.linalg.norm(error)), length),
        standard_deviation=float(error.std()),
        max_absolute=worst,
        max_normalized=_ratio(worst, span),
    )


def _ratio(part: float, whole: float) -> float:
    """Part / whole; where the whole is 0: 0 for no error, 1 for any."""
    return part / whole if whole else float(part > 0.0)


def summarize(distances: Sequence[Distance]) -> dict[str, float]:
    """Fold one tensor's distances over the pictures into a row of the vendor's similarity table.

    Cosine as average, least and greatest; Euclidean distance and standard deviation averaged; the largest maxima.
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
    }
