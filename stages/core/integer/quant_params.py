"""The quantization parameters of a tensor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray
from onnx import helper

__all__ = ["QuantParams"]


@dataclass(frozen=True)
class QuantParams:
    """Quantization parameters of a feature: real = (code - zero_point) * scale, codes 0 .. 2**bits - 1.

    Attributes:
        bits: bit width of a code.
        scale: float32 value; of several scales the largest.
        zero_point: the code of real 0, in every channel.
        channel_scales: float32 values, one a channel (axis 1); empty where `scale` serves all.
    """

    bits: int
    scale: float
    zero_point: int
    channel_scales: tuple[float, ...] = ()

    @property
    def scales(self) -> NDArray[np.float32]:
        """float32 [C], the scale of each channel, or [1] where one serves all."""
        return np.array(self.channel_scales or (self.scale,), dtype=np.float32)

    def broadcast_scale(self, rank: int) -> NDArray[np.float32]:
        """The scale as it broadcasts against a tensor of that rank: float32 [C, 1, ...] for axis 1, or a scalar."""
        return self.scales.reshape([-1, *[1] * (rank - 2)] if self.channel_scales else [])

    @property
    def qmax(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> DTypeLike:
        """NumPy type that stores a code."""
        return np.uint8 if self.bits <= 8 else np.uint16

    @property
    def onnx_type(self) -> int:
        """ONNX type that stores a code."""
        return int(helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)))
