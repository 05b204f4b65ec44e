"""Linear interpolation in integers: each output pixel is a sum of input pixels with whole weights."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["interpolation", "weight_bits"]


def weight_bits(feature_bits: int) -> int:
    """Bits of the weights: those of an output pixel sum up to 2**weight_bits along each axis."""
    return 7 if feature_bits <= 8 else 11


def interpolation(
    before: int, after: int, transformation: str, bits: int, scale: float | None = None
) -> NDArray[np.int32]:
    """Weights of linear interpolation along one axis.

    Args:
        before: pixels of the input.
        after: pixels of the output.
        transformation: ONNX's coordinate_transformation_mode: half_pixel, pytorch_half_pixel, asymmetric or
            align_corners.
        bits: of the weights.
        scale: the Resize operator's scale; None for after / before.

    Returns:
        int32 [after, before], at most two weights a row, which sum up to 2**bits. Source: the ONNX operator
        Resize, its edges extended.
    """
    ratio = scale or after / before
    index = np.arange(after, dtype=np.float64)
    if transformation == "align_corners":
        positions = index * (before - 1) / max(after - 1, 1)
    elif transformation == "asymmetric":
        positions = index / ratio
    elif transformation == "pytorch_half_pixel" and after == 1:
        positions = np.zeros(1)
    else:
        positions = (index + 0.5) / ratio - 0.5
    positions = np.clip(positions, 0, before - 1)
    left = np.minimum(np.floor(positions), max(before - 2, 0)).astype(np.int64)
    right_weight = np.rint((positions - left) * 2**bits).astype(np.int32)
    weights = np.zeros((after, before), dtype=np.int32)
    weights[np.arange(after), left] = 2**bits - right_weight
    weights[np.arange(after), np.minimum(left + 1, before - 1)] += right_weight
    return weights
