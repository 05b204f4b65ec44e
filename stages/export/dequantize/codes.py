"""Integer codes and the real values that they stand for: real = (code - zero point) * scale."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

__all__ = ["CODE_TYPES", "Codes", "FeatureRange", "dequantize", "limits", "ramp"]

Array = NDArray[Any]

CODE_TYPES: dict[int, tuple[int, bool]] = {
    TensorProto.INT4: (4, True),
    TensorProto.UINT4: (4, False),
    TensorProto.INT8: (8, True),
    TensorProto.UINT8: (8, False),
    TensorProto.INT16: (16, True),
    TensorProto.UINT16: (16, False),
}
"""Types of codes that features have -> bit width, whether signed."""
MIN_RAMP = 4
"""So many weights that go up by one are no chance."""


@dataclass(frozen=True)
class FeatureRange:
    """What the codes of a feature can express.

    Attributes:
        bits: their bit width.
        low: real value of the smallest code.
        high: real value of the largest code.
    """

    bits: int
    low: float
    high: float


@dataclass(frozen=True)
class Codes:
    """A tensor of codes.

    Attributes:
        real: the float tensor that it stands for.
        scale: float32, one value or one a channel; None where it is not known yet (an input of the network) or only
            computed when the network runs (`symbol`).
        zero_point: integers, as many; None like `scale`.
        symbol: name of the tensor of a scale that is computed when the network runs.
    """

    real: str
    scale: Array | None = None
    zero_point: Array | None = None
    symbol: str = ""

    def same_parameters(self, other: "Codes") -> bool:
        """Whether a code stands for the same real value in both."""
        if self.symbol or other.symbol:
            return self.symbol == other.symbol
        return _equal(self.scale, other.scale) and _equal(self.zero_point, other.zero_point)

    def at(self, real: str) -> "Codes":
        """The same parameters for another tensor."""
        return replace(self, real=real)


def _equal(left: Array | None, right: Array | None) -> bool:
    if left is None or right is None:
        return left is right
    return ((left.size == 1 and right.size == 1) or left.shape == right.shape) and bool(np.all(left == right))


def limits(kind: int) -> tuple[int, int]:
    """Smallest and largest code of a type of `CODE_TYPES`."""
    bits, signed = CODE_TYPES[kind]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def dequantize(
    codes: Array, scale: Array, zero_point: Array | None, axis: int = 1, block: int = 0
) -> NDArray[np.float32]:
    """Give the real values of constant codes, rounded once, to float32.

    Args:
        codes: integers of any shape.
        scale: one value, one for each index along `axis`, or with `block` one for each block along it.
        zero_point: as many; None for 0.
        axis: see `scale`.
        block: elements of a block; 0 for none.
    """
    values = codes.astype(np.int64)
    if zero_point is not None:
        values = values - _spread(zero_point, values, axis, block).astype(np.int64)
    return np.asarray(values * _spread(scale, values, axis, block).astype(np.float64), np.float32)


def ramp(values: NDArray[np.float32], scale: Array) -> NDArray[np.float32]:
    """Undo the rounding of a weight [1, N, 1, 1] that was 0, 1, ..., N - 1, as detectors of distances by bins have it.

    Args:
        values: dequantized.
        scale: what a code is worth; other weights are given back as they are.
    """
    whole = np.arange(values.size, dtype=np.float32)
    fits = values.size >= MIN_RAMP and values.shape == (1, values.size, 1, 1) and scale.size == 1
    if not fits or np.abs(values.ravel() - whole).max() > 0.5001 * float(scale.reshape(())):
        return values
    return whole.reshape(values.shape)


def _spread(part: Array, values: Array, axis: int, block: int) -> Array:
    """Parameters in a shape that broadcasts over the values."""
    if part.size == 1:
        return part.reshape(())
    if block:
        repeated = np.repeat(part, block, axis)
        return repeated.take(range(values.shape[axis]), axis)
    if part.ndim > 1:
        return part  # of a MatMul: a scale for each column, in a shape of its own
    shape = [1] * values.ndim
    shape[axis] = -1
    return part.reshape(shape)
