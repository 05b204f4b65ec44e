"""PRelu: a feature whose negative values are multiplied by slopes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from stages.core.integer.operators.fixed_point import Multiplied
from stages.core.integer.operators.record import Array, Operands
from stages.core.integer.writer import Term, Writer

__all__ = ["OPERATORS", "PRelu"]


@dataclass(frozen=True, kw_only=True)
class PRelu(Multiplied):
    """Inputs: the feature, and int32 slopes in the shift's fixed point; the multiplier is for positive values."""

    onnx_types: ClassVar[tuple[str, ...]] = ("PRelu",)
    elementwise: ClassVar[bool] = True
    activation: ClassVar[bool] = True
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types

    @property
    def least_inputs(self) -> int:
        return 2

    def reference(self, x: Operands) -> Array:
        values = x.minus_zp(0)
        return self.scaled(np.where(values >= 0, values * self.multipliers[0], values * x.integers(1)))

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        x = to.minus_zp(node.input[0])
        positive = Term(to.op("Relu", x.name), 0, x.high)
        negative = Term(to.op("Min", x.name, np.float32(0)), x.low, 0)
        to.scaled([(positive, self.multipliers[0]), (negative, to.array(node.input[1]))], self.shift, node, self)


OPERATORS = (PRelu,)
