"""Resize with linear interpolation: a matrix of fixed-point weights along each spatial axis."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from stages.core.integer.operators.fixed_point import FixedPoint
from stages.core.integer.operators.record import Array, Operands
from stages.core.integer.writer import FLOAT32_EXACT, Term, Writer

__all__ = ["OPERATORS", "Resize"]


@dataclass(frozen=True, kw_only=True)
class Resize(FixedPoint):
    """Inputs: the feature [N, C, H, W], int32 weights of rows [HO, H] and of columns [WO, W].

    To the nearest pixel a Resize only moves codes, as an ONNX node.
    """

    onnx_types: ClassVar[tuple[str, ...]] = ("Resize",)
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types
    keeps_codes: ClassVar[bool] = True

    @property
    def least_inputs(self) -> int:
        return 3

    def reference(self, x: Operands) -> Array:
        return self.scaled(x.integers(1) @ x.minus_zp(0) @ x.integers(2).T)

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        x, rows, columns = to.minus_zp(node.input[0]), to.array(node.input[1]), to.array(node.input[2]).T
        total_weight = int(rows.sum(axis=1).max()) * int(columns.sum(axis=0).max())
        if x.largest * total_weight >= FLOAT32_EXACT:
            x = to.doubled(x)
        kind = np.float64 if x.double else np.float32
        total = to.op("MatMul", to.op("MatMul", rows.astype(kind), x.name), columns.astype(kind))
        acc = Term(total, x.low * total_weight, x.high * total_weight, x.double)
        to.scaled([(acc, 1)], self.shift, node, self)


OPERATORS = (Resize,)
