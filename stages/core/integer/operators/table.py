"""Lookup tables: one-input functions, with an output code for every input code."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto

from stages.core.integer.operators.record import Array, CodesOperator, Operands
from stages.core.integer.writer import Writer

__all__ = ["OPERATORS", "Table"]

TABLE_COPIES = 8
"""Rows with a copy of one table each, which ONNX Runtime looks up on several threads."""


@dataclass(frozen=True, kw_only=True)
class Table(CodesOperator):
    """Inputs: the feature, its table [2**bits] or [C, 2**bits]; of a gated function x * f(x) also f's float32 table."""

    onnx_types: ClassVar[tuple[str, ...]] = (
        "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh",
    )  # fmt: skip
    kinds: ClassVar[tuple[str, ...]] = (*onnx_types, "Silu")
    per_channel_kinds: ClassVar[tuple[str, ...]] = kinds
    homogeneous: ClassVar[tuple[str, ...]] = ("LeakyRelu", "Relu")
    elementwise: ClassVar[bool] = True
    activation: ClassVar[bool] = True
    per_channel_output: ClassVar[bool] = True

    @property
    def least_inputs(self) -> int:
        return 2

    def reference(self, x: Operands) -> Array:
        codes, table = x[0], x.integers(1)
        if table.ndim == 1:
            return self.clamped(table[codes])
        channels = np.arange(len(table)).reshape(-1, *[1] * (codes.ndim - 2))
        return self.clamped(table[channels, codes])

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        table = np.clip(to.array(node.input[1]).astype(np.int64), self.low, self.high) - self.zero_point
        _look_up(to, node, table, to.minus_zp(node.output[0]).name)
        if len(node.input) > 2:
            to.keep_inner(self, lambda name: _look_up(to, node, to.array(node.input[2]), name))


def _look_up(to: Writer, node: onnx.NodeProto, table: Array, target: str) -> None:
    """Look every code of the node's input up; a negative code minus its zero point counts from the table's end.

    The input is cut into rows, each with a copy of the table, or with its channel's table where it has one a channel.
    """
    shape = to.shape(node.input[0])
    rolled = np.roll(table.astype(np.float32), -to.quant_params[node.input[0]].zero_point, axis=-1)
    copies = shape[0]
    if table.ndim == 1:
        copies = next(n for n in range(TABLE_COPIES, 0, -1) if int(np.prod(shape)) % n == 0)
    tables = np.tile(rolled, (copies, 1))
    index = to.op("Cast", to.minus_zp(node.input[0]).name, to=TensorProto.INT32)
    index = to.op("Reshape", index, np.array([len(tables), -1], dtype=np.int64))
    entries = to.op("GatherElements", tables, index, axis=1)
    to.op("Reshape", entries, np.array(shape, dtype=np.int64), to_name=target)


OPERATORS = (Table,)
