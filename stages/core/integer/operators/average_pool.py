"""AveragePool: sums over windows, each multiplied by the effective scale over the window's size."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from stages.core.integer.operators.convolution import Sliding, convolve
from stages.core.integer.operators.fixed_point import FixedPoint
from stages.core.integer.operators.record import Array, Operands
from stages.core.integer.writer import Writer

__all__ = ["OPERATORS", "AveragePool"]


@dataclass(frozen=True, kw_only=True)
class AveragePool(FixedPoint):
    """Inputs: the feature, and int32 multipliers, one for all windows or one a window [*O]."""

    onnx_types: ClassVar[tuple[str, ...]] = ("AveragePool",)
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types

    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def least_inputs(self) -> int:
        return 2

    def reference(self, x: Operands) -> Array:
        values = x.minus_zp(0)
        channels = values.shape[1]
        ones = np.ones((channels, 1, *self.kernel_shape), dtype=np.int64)
        total = convolve(values, ones, Sliding(self.strides, self.dilations, self.pads, channels))
        return self.scaled(total * x.integers(1))

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        x, channels = to.minus_zp(node.input[0]), to.shape(node.input[0])[1]

        def product(values: str, weight: Array) -> str:
            return to.op(
                "Conv", values, weight,
                strides=self.strides, pads=self.pads, dilations=self.dilations, group=channels,
            )  # fmt: skip

        total = to.accumulate(x, np.ones((channels, 1, *self.kernel_shape), np.int64), 0, product)
        to.scaled([(total, to.array(node.input[1]))], self.shift, node, self)


OPERATORS = (AveragePool,)
