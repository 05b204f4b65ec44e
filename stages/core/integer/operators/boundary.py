"""Operators at which codes begin and end: Quantize, Dequantize, and constant features."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from stages.core.integer.operators.record import Array, CodesOperator, Operands, Operator
from stages.core.integer.writer import Writer

__all__ = ["OPERATORS", "QUANTIZERS", "Constant", "Dequantize", "Quantize", "QuantizeAway"]


@dataclass(frozen=True, kw_only=True)
class Quantize(CodesOperator):
    """Float values to codes: round(x / scale), halves to even, + zero point, clamped; what is no number becomes 0."""

    def reference(self, x: Operands) -> Array:
        qparams, values = self.output, x[0]
        scaled = np.rint(values / qparams.broadcast_scale(values.ndim)).astype(np.float64)
        scaled = np.where(np.isnan(scaled), 0.0, scaled)
        return np.clip(scaled + qparams.zero_point, 0, qparams.qmax).astype(qparams.dtype)

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        target = to.minus_zp(node.output[0])
        values = node.input[0]
        if not to.is_fed(values):  # what is fed is finite; a layer in float may divide by a zero that codes made
            values = to.op("Where", to.op("IsNaN", values), np.float32(0), values)
        rounded = to.op("Round", to.op("Div", values, to.broadcast_scale(node.output[0])))
        to.op("Clip", rounded, np.float32(target.low), np.float32(target.high), to_name=target.name)


@dataclass(frozen=True, kw_only=True)
class QuantizeAway(Quantize):
    """Float values to codes as TPU-MLIR casts them: round(x * reciprocal), halves away from zero.

    Attributes:
        reciprocal: of the scale, float32; the scale has more digits in the calibration table.
    """

    reciprocal: float

    def reference(self, x: Operands) -> Array:
        qparams = self.output
        scaled = x[0] * np.float32(self.reciprocal)
        whole = np.floor(np.abs(scaled))
        with np.errstate(invalid="ignore"):  # of an infinite value
            rounded = np.copysign(whole + (np.abs(scaled) - whole >= 0.5), scaled).astype(np.float64)
        rounded = np.where(np.isnan(rounded), 0.0, rounded)
        codes: Array = np.clip(rounded + qparams.zero_point, 0, qparams.qmax).astype(qparams.dtype)
        return codes

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        target, values = to.minus_zp(node.output[0]), node.input[0]
        if not to.is_fed(values):
            values = to.op("Where", to.op("IsNaN", values), np.float32(0), values)
        scaled = to.op("Mul", values, np.float32(self.reciprocal))
        size = to.op("Abs", scaled)
        whole = to.op("Floor", size)
        up = to.op("Cast", to.op("GreaterOrEqual", to.op("Sub", size, whole), np.float32(0.5)), to=TensorProto.FLOAT)
        rounded = to.op("Mul", to.op("Add", whole, up), to.op("Sign", scaled))
        to.op("Clip", rounded, np.float32(target.low), np.float32(target.high), to_name=target.name)


@dataclass(frozen=True, kw_only=True)
class Dequantize(Operator):
    """Codes to float values: (code - zero point) * scale."""

    def reference(self, x: Operands) -> Array:
        return x.minus_zp(0).astype(np.float32) * x.qparams(0).broadcast_scale(x[0].ndim)

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        to.op("Mul", to.minus_zp(node.input[0]).name, to.broadcast_scale(node.input[0]), to_name=node.output[0])


@dataclass(frozen=True, kw_only=True)
class Constant(CodesOperator):
    """Codes of a constant feature: its input, as stored."""

    def reference(self, x: Operands) -> Array:
        return x[0]

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        codes = to.array(node.input[0]).astype(np.float32) - np.float32(self.zero_point)
        to.constant(codes, to.minus_zp(node.output[0]).name)


OPERATORS = (Quantize, QuantizeAway, Dequantize, Constant)
QUANTIZERS = frozenset({Quantize.op_type(), QuantizeAway.op_type()})
"""Types of the nodes at which codes begin."""
