"""From ranges to scales and codes."""

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.integer.rules import Scale

__all__ = [
    "SMALLEST_NORMAL",
    "SMALLEST_WEIGHT_SCALE",
    "affine",
    "fit_scales",
    "least_bias_scales",
    "positive",
    "representable",
]

SMALLEST_WEIGHT_SCALE = 2.0**-32
"""For channels that are zero, or as good as: far below any live one, yet its products stay normal float32 numbers."""

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
"""The smallest float32 number of full precision."""
SETTLED_CODE_MOVE = 1 / 64
"""Of a scale: by how much the value of the farthest code may move in the last round of `fit_scales`."""


def affine(low: float, high: float, bits: int, symmetric: bool) -> tuple[np.float32, int]:
    """Choose scale and zero point of a feature so that 0 is a code.

    Args:
        low: lower end of the range.
        high: upper end.
        bits: bit width of an unsigned code.
        symmetric: zero point at 0 for a range without negatives, in the middle otherwise (as a signed code's 0).

    Returns:
        scale (positive) and zero point (0 .. 2**bits - 1): real = (code - zero_point) * scale.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    qmax = 2**bits - 1
    if symmetric and low < 0.0:
        middle = 2 ** (bits - 1)
        return positive(max(-low, high) / (middle - 1)), middle
    scale = positive((high - low) / qmax)
    return scale, min(max(round(-low / float(scale)), 0), qmax)


def representable(scale: float, zero_point: int, bits: int) -> tuple[float, float]:
    """Real values of the lowest and the highest code."""
    return float((0 - zero_point) * scale), float((2**bits - 1 - zero_point) * scale)


@numba.njit(cache=True)
def fit_scales(
    values: NDArray[np.floating],
    counts: NDArray[np.floating],
    scales: NDArray[np.float32],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
    rounds: int,
) -> NDArray[np.float32]:
    """Fit scales to values: in turns the best codes for the scale and the best scale for the codes (ADMM).

    For a fixed scale the best codes are round(values / scale), clamped; for fixed codes the best scale is the one of
    least squares, sum(counts * values * codes) / sum(counts * codes**2). Neither turn can raise the squared error, so
    the scale settles where each is the best for the other: close to where it started, hence several starts. Source:
    the projection step of C. Leng et al., "Extremely Low Bit Neural Network: Squeeze the Last Bit Out with ADMM",
    AAAI 2018.

    Args:
        values: [rows, N], each row a problem of its own.
        counts: [rows, N], how often each value occurs.
        scales: float32 [rows, starts], positive.
        lowest: float64 [starts], least code counted from the zero point.
        highest: float64 [starts], largest code.
        rounds: bound on the turns; a row ends earlier when all its starts have settled.

    Returns:
        float32 [rows, starts]; a start at which all codes are zero stays.
    """
    fitted = scales.copy()
    rows, starts = scales.shape
    for row in range(rows):
        for _ in range(rounds):
            inverse = 1.0 / fitted[row].astype(np.float64)
            products = np.zeros(starts)
            squares = np.zeros(starts)
            for i in range(values.shape[1]):
                value = np.float64(values[row, i])
                count = np.float64(counts[row, i])
                for k in range(starts):  # innermost, so that it vectorizes with every sum in a fixed order
                    code = np.rint(value * inverse[k])
                    code = lowest[k] if code < lowest[k] else code
                    code = highest[k] if code > highest[k] else code
                    products[k] += count * value * code
                    squares[k] += count * code * code
            settled = True
            for k in range(starts):
                if squares[k] > 0.0:
                    scale = np.float32(products[k] / squares[k])
                    moved = abs(scale - fitted[row, k]) * max(-lowest[k], highest[k])
                    settled &= moved <= SETTLED_CODE_MOVE * scale
                    fitted[row, k] = scale
            if settled:
                break
    return fitted


def least_bias_scales(bias: NDArray[np.float32], feature_scale: Scale) -> NDArray[np.float32]:
    """Give the weight scales at which each channel's bias still fits the 32-bit accumulator.

    Args:
        bias: float32 [channels].
        feature_scale: scale of the layer's input, one or as each output channel has it.

    Returns:
        float32 [channels]: |bias| / (feature_scale * 2**30), which leaves half of the accumulator to the products.
    """
    least = np.abs(bias.astype(np.float64)) / (feature_scale * 2.0**30)
    return np.maximum(least, SMALLEST_WEIGHT_SCALE).astype(np.float32)


def positive(scale: float) -> np.float32:
    """A usable float32 scale: 1 for a tensor that is all zero, never below the smallest normal number."""
    return np.float32(1.0) if scale == 0.0 else np.float32(max(scale, SMALLEST_NORMAL))
