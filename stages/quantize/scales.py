"""From ranges to scales and codes."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["affine", "bias_codes", "least_bias_scales", "representable", "weight_codes"]

SMALLEST_WEIGHT_SCALE = 2.0**-32
"""For channels that are zero, or as good as: far below any live one, yet its products stay normal float32 numbers."""


def affine(low: float, high: float, bits: int, symmetric: bool) -> tuple[np.float32, int]:
    """Choose scale and zero point of a feature so that 0 is a code.

    Args:
        low: lower end of the range.
        high: upper end.
        bits: width of an unsigned code.
        symmetric: zero point at 0 for a range without negatives, in the middle otherwise (as a signed code's 0).

    Returns:
        scale (positive) and zero point (0 .. 2**bits - 1): real = (code - zero_point) * scale.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    top = 2**bits - 1
    if symmetric and low < 0.0:
        middle = 2 ** (bits - 1)
        return _positive(max(-low, high) / (middle - 1)), middle
    scale = _positive((high - low) / top)
    return scale, int(np.clip(np.rint(-low / float(scale)), 0, top))


def representable(scale: float, zero_point: int, bits: int) -> tuple[float, float]:
    """Real values of the lowest and the highest code."""
    return float((0 - zero_point) * scale), float((2**bits - 1 - zero_point) * scale)


def weight_codes(
    weight: NDArray[np.float32], bits: int, axis: int | None, least_scales: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Quantize a weight symmetrically by its largest magnitude (MAX_ABS), rounding to the nearest.

    Args:
        weight: float32, any shape.
        bits: width of a signed code; the lowest code stays unused, so that codes are symmetric.
        axis: output-channel axis for one scale a channel; None for one scale.
        least_scales: float32 [channels], scales that each channel needs at least (see `least_bias_scales`).

    Returns:
        int32 codes in the weight's shape and float32 scales [channels] or [1].
    """
    top = 2 ** (bits - 1) - 1
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scales = (largest / np.float32(top)).astype(np.float32)
    least = np.full(1, SMALLEST_WEIGHT_SCALE, dtype=np.float32) if least_scales is None else least_scales
    scales = np.maximum(scales, least.max() if axis is None else least.reshape(-1, *[1] * (weight.ndim - axis - 1)))
    codes = np.clip(np.rint(weight / scales), -top, top).astype(np.int32)
    return codes, scales.reshape(-1)


def least_bias_scales(bias: NDArray[np.float32], feature_scale: float) -> NDArray[np.float32]:
    """Give the weight scales at which each channel's bias still fits the 32-bit accumulator.

    Args:
        bias: float32 [channels].
        feature_scale: scale of the layer's input.

    Returns:
        float32 [channels]: |bias| / (feature_scale * 2**30), which leaves half of the accumulator to the products.
    """
    least = np.abs(bias.astype(np.float64)) / (feature_scale * 2.0**30)
    return np.maximum(least, SMALLEST_WEIGHT_SCALE).astype(np.float32)


def bias_codes(bias: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int32]:
    """Quantize a bias to int32 at the accumulator's scale, saturating."""
    codes = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(codes, -(2**31), 2**31 - 1).astype(np.int32)


def _positive(scale: float) -> np.float32:
    """A usable float32 scale: 1 for a tensor that is all zero, never below the smallest normal number."""
    return np.float32(1.0) if scale == 0.0 else np.float32(max(scale, float(np.finfo(np.float32).tiny)))
