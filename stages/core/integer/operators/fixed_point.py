"""Operators that multiply by fixed-point effective scales and shift: sums, products, joined operands, means."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from stages.core.integer import rules
from stages.core.integer.operators.record import Array, CodesOperator, Integers, Operands
from stages.core.integer.writer import FLOAT32_EXACT, Term, Writer

__all__ = ["OPERATORS", "Add", "Concat", "FixedPoint", "MatMulFeatures", "Max", "Mean", "Min", "Mul", "Multiplied"]


@dataclass(frozen=True, kw_only=True)
class FixedPoint(CodesOperator):
    """Base: an accumulator that carries its multipliers is divided by 2**shift, rounded to nearest, halves up."""

    shift: int

    def scaled(self, acc: Integers) -> Array:
        """The codes of an accumulator that carries its multipliers."""
        return self.clamped(rules.scale_sum(acc, self.shift) + self.zero_point)


@dataclass(frozen=True, kw_only=True)
class Multiplied(FixedPoint):
    """Base: effective scale = multiplier / 2**shift, one an operand or one for all."""

    multipliers: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Add(Multiplied):
    """A sum of two features; a difference has a negative multiplier."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Add", "Sub")
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types
    elementwise: ClassVar[bool] = True
    constant_operands: ClassVar[bool] = True
    fuses_clamp: ClassVar[bool] = True

    @property
    def least_inputs(self) -> int:
        return len(self.multipliers)

    def reference(self, x: Operands) -> Array:
        left, right = (c * m for c, m in zip(x.all_minus_zp(), self.multipliers, strict=True))
        return self.scaled(left + right)

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        terms = [(to.minus_zp(name), multiplier) for name, multiplier in zip(node.input, self.multipliers, strict=True)]
        to.scaled(terms, self.shift, node, self)


@dataclass(frozen=True, kw_only=True)
class Mul(Multiplied):
    """A product of two features, element by element."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Mul",)
    elementwise: ClassVar[bool] = True
    constant_operands: ClassVar[bool] = True

    @property
    def least_inputs(self) -> int:
        return 2

    def reference(self, x: Operands) -> Array:
        left, right = x.all_minus_zp()
        return self.scaled(left * right * self.multipliers[0])

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        _simulate_product(to, node, self, "Mul", 1)


@dataclass(frozen=True, kw_only=True)
class MatMulFeatures(Multiplied):
    """A product of two computed matrices.

    Attributes:
        terms: products that each output sums up.
    """

    terms: int

    @property
    def least_inputs(self) -> int:
        return 2

    def reference(self, x: Operands) -> Array:
        left, right = x.all_minus_zp()
        return self.scaled((left @ right) * self.multipliers[0])

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        _simulate_product(to, node, self, "MatMul", self.terms)


def _simulate_product(to: Writer, node: onnx.NodeProto, operator: Multiplied, kind: str, terms: int) -> None:
    """A product of two features; each of its values sums up `terms` products."""
    left, right = (to.minus_zp(name) for name in node.input)
    largest = left.largest * right.largest * terms
    if largest >= FLOAT32_EXACT:
        left, right = to.doubled(left), to.doubled(right)
    acc = Term(to.op(kind, left.name, right.name), -largest, largest, left.double)
    to.scaled([(acc, operator.multipliers[0])], operator.shift, node, operator)


@dataclass(frozen=True, kw_only=True)
class _Joined(Multiplied):
    """Base: every operand is brought to the output's scale first, and clamped."""

    constant_operands: ClassVar[bool] = True

    @property
    def least_inputs(self) -> int:
        return len(self.multipliers)

    def rescaled(self, x: Operands) -> list[Array]:
        """Every operand's codes in the output's scale."""
        return [self.scaled(c * m) for c, m in zip(x.all_minus_zp(), self.multipliers, strict=True)]

    def simulated_operands(self, to: Writer, node: onnx.NodeProto) -> list[str]:
        """Every operand's codes in the output's scale, minus the output's zero point."""
        names = []
        for name, multiplier in zip(node.input, self.multipliers, strict=True):
            clamps = (self.low, self.high) != (0, self.output.qmax)
            unchanged = multiplier == 2**self.shift and to.quant_params[name] == self.output and not clamps
            term = to.minus_zp(name)
            target = f"simulator/operand/{len(to.nodes)}"
            scaled = term.name if unchanged else to.scaled([(term, multiplier)], self.shift, node, self, target)
            names.append(scaled)
        return names


@dataclass(frozen=True, kw_only=True)
class Concat(_Joined):
    """Operands one behind the other along an axis."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Concat",)
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types

    axis: int

    def reference(self, x: Operands) -> Array:
        return np.concatenate(self.rescaled(x), axis=self.axis)

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        operands = self.simulated_operands(to, node)
        to.op("Concat", *operands, to_name=to.minus_zp(node.output[0]).name, axis=self.axis)


@dataclass(frozen=True, kw_only=True)
class Max(_Joined):
    """The largest of any number of operands, element by element."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Max",)
    elementwise: ClassVar[bool] = True

    def reference(self, x: Operands) -> Array:
        largest: Array = np.max(np.broadcast_arrays(*self.rescaled(x)), axis=0)
        return largest

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        to.op("Max", *self.simulated_operands(to, node), to_name=to.minus_zp(node.output[0]).name)


@dataclass(frozen=True, kw_only=True)
class Min(_Joined):
    """The smallest of any number of operands, element by element."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Min",)
    elementwise: ClassVar[bool] = True

    def reference(self, x: Operands) -> Array:
        smallest: Array = np.min(np.broadcast_arrays(*self.rescaled(x)), axis=0)
        return smallest

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        to.op("Min", *self.simulated_operands(to, node), to_name=to.minus_zp(node.output[0]).name)


@dataclass(frozen=True, kw_only=True)
class Mean(Multiplied):
    """A mean over axes; its multiplier holds the division.

    Attributes:
        axes: those that it sums over.
        keepdims: 1 where they stay, of length 1.
        terms: values that each output sums up.
    """

    onnx_types: ClassVar[tuple[str, ...]] = ("GlobalAveragePool", "ReduceMean")
    homogeneous: ClassVar[tuple[str, ...]] = ("GlobalAveragePool",)  # a ReduceMean may run over channels

    axes: tuple[int, ...] = ()
    keepdims: int = 1
    terms: int

    def reference(self, x: Operands) -> Array:
        total = x.minus_zp(0).sum(axis=self.axes, keepdims=bool(self.keepdims))
        return self.scaled(total * self.multipliers[0])

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        x = to.minus_zp(node.input[0])
        if x.largest * self.terms >= FLOAT32_EXACT:
            x = to.doubled(x)
        total = to.op("ReduceSum", x.name, np.array(self.axes, dtype=np.int64), keepdims=self.keepdims)
        acc = Term(total, x.low * self.terms, x.high * self.terms, x.double)
        to.scaled([(acc, self.multipliers[0])], self.shift, node, self)


OPERATORS = (MatMulFeatures, Add, Mul, Concat, Max, Min, Mean)
