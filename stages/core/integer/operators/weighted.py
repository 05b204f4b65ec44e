"""Operators that multiply features by weights: sums of products, then requantization by the SOC's rule."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto

from stages.core.integer import rules
from stages.core.integer.operators.convolution import Sliding, convolve, convolve_transposed
from stages.core.integer.operators.record import Array, CodesOperator, Integers, Operands
from stages.core.integer.operators.wide_multiplier import scaled_quotient
from stages.core.integer.writer import FLOAT32_EXACT, Term, Writer

__all__ = ["OPERATORS", "RULE_PARAMETERS", "Conv", "ConvTranspose", "MatMul", "Rule", "Weighted"]


class Rule(StrEnum):
    """How an accumulator becomes an output: docs/arithmetic.md."""

    nna = "nna"
    multiplier_shift = "multiplier_shift"
    multiplier_shift_away = "multiplier_shift_away"  # the same, halves away from zero
    doubling = "doubling"  # times multiplier / 2**31, then a shift
    real = "float"  # no requantization: the layer's output is float


_SCALED = ("bias", "multiplier", "shift")
RULE_PARAMETERS = {Rule.nna: ("bias", "mult"), Rule.multiplier_shift: _SCALED, Rule.multiplier_shift_away: _SCALED,
                   Rule.doubling: _SCALED, Rule.real: ("bias", "scale")}  # fmt: skip
"""Inputs of a weighted node after feature and weight; each holds one value an output channel."""


@dataclass(frozen=True, kw_only=True)
class Weighted(CodesOperator):
    """Base of weighted operators: inputs are the feature, the weight, and the parameters of the rule.

    Attributes:
        rule: how the accumulator becomes the output.
        channel_axis: the accumulator's axis of output channels.
        weight_axis: the stored weight's axis of output channels.
    """

    weighted: ClassVar[bool] = True
    fuses_clamp: ClassVar[bool] = True
    channel_axis: ClassVar[int] = 1
    weight_axis: ClassVar[int] = 0

    rule: str

    def __post_init__(self) -> None:
        if self.rule not in {*Rule}:
            raise ValueError(f"{self.op_type()} has the rule {self.rule!r}, not one of {', '.join(Rule)}")

    @property
    def least_inputs(self) -> int:
        return 2 + len(RULE_PARAMETERS[Rule(self.rule)])

    @abstractmethod
    def accumulate(self, x: Integers, weight: Integers) -> Integers:
        """Sum the products of features minus their zero point with weights."""

    @abstractmethod
    def simulated_product(self, to: Writer, x: str, weight: Array) -> str:
        """Write the layer in float32, for a feature and a weight that hold whole numbers."""

    @property
    def groups(self) -> int:
        """Parts of the weight's first axis that share no output channel."""
        return 1

    def reference(self, x: Operands) -> Array:
        acc = self.accumulate(x.minus_zp(0), x.integers(1))
        shape = self._along_channels(acc.ndim)
        bias, *parameters = (x[index].reshape(shape) for index in range(2, len(x.values)))
        if self.rule == Rule.real:
            return (acc + bias.astype(np.int64)).astype(np.float32) * parameters[0]
        if self.rule == Rule.nna:
            codes = rules.nna(acc, bias.astype(np.int64), parameters[0].astype(np.int64), self.bits)
        else:
            codes = self._scaled(acc + bias, *(parameter.astype(np.int64) for parameter in parameters))
        return self.clamped(codes)

    def _scaled(self, acc: Integers, multiplier: Integers, shift: Integers) -> Integers:
        """Codes by one of the rules with a multiplier and a shift."""
        if self.rule == Rule.multiplier_shift:
            return rules.multiplier_shift(acc, multiplier, shift, self.zero_point, self.bits)
        if self.rule == Rule.doubling:
            return rules.doubling_shift(acc, multiplier, shift) + self.zero_point
        return rules.scale_sum_away(acc * multiplier, shift) + self.zero_point

    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        x, weight = to.minus_zp(node.input[0]), to.array(node.input[1])
        rank = weight.ndim if self.channel_axis == 1 else 1
        shape = self._along_channels(rank)
        acc = to.accumulate(
            x, weight, self.weight_axis, lambda name, part: self.simulated_product(to, name, part), self.groups
        )
        bias, *parameters = (to.array(name).reshape(shape) for name in node.input[2:])
        if self.rule == Rule.real:
            # a subtraction, since ONNX Runtime folds additions and products into the convolution, which would round
            total = _subtract(to, acc, -bias.astype(np.float64))
            single = to.op("Cast", total.name, to=TensorProto.FLOAT) if total.double else total.name
            to.op("Mul", single, parameters[0].astype(np.float32), to_name=node.output[0])
        else:
            self._simulate_rule(to, node, acc, bias.astype(np.float64), parameters)

    def _simulate_rule(
        self, to: Writer, node: onnx.NodeProto, acc: Term, bias: Array, parameters: Sequence[Array]
    ) -> None:
        """Accumulator -> codes minus their zero point."""
        if self.rule == Rule.nna:
            # the zero point is left out: what is added after the floor goes below it
            divisor = parameters[0].astype(np.float64) / 4
            offset = bias / 4 + (2 ** (self.bits - 1) - self.zero_point) * divisor
        elif self.rule == Rule.multiplier_shift and np.all(parameters[0] == 1):
            divisor = 2.0 ** parameters[1].astype(np.float64)
            offset = bias + divisor / 2
        else:
            if acc.largest + float(np.abs(bias).max()) >= FLOAT32_EXACT:
                acc = to.doubled(acc)
            quotient = scaled_quotient(to, node, self, _subtract(to, acc, -bias), parameters)
            to.round_down(quotient, node, self, double=True)
            return
        in_range = float(divisor.max()) * 4 * (self.output.qmax + 2)
        if in_range >= FLOAT32_EXACT:
            acc = to.doubled(acc)
        shifted = _subtract(to, acc, -offset)
        kind = np.float64 if shifted.double else np.float32
        to.round_down(to.op("Div", shifted.name, divisor.astype(kind)), node, self, shifted.double)

    def _along_channels(self, rank: int) -> list[int]:
        """The shape of one value an output channel as it broadcasts against the accumulator."""
        shape = [1] * rank
        shape[self.channel_axis] = -1
        return shape


@dataclass(frozen=True, kw_only=True)
class Conv(Weighted):
    """A convolution, dense, grouped or depthwise: weight [M, C/group, *K]."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Conv",)
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types
    kinds: ClassVar[tuple[str, ...]] = ("Conv", "DepthwiseConv")
    per_channel_kinds: ClassVar[tuple[str, ...]] = ("DepthwiseConv",)
    per_channel_output: ClassVar[bool] = True

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    group: int = 1

    @classmethod
    def multiplications(cls, x: Sequence[int], weight: Sequence[int], y: Sequence[int]) -> int:
        return math.prod(y) * math.prod(weight[1:])

    def accumulate(self, x: Integers, weight: Integers) -> Integers:
        return convolve(x, weight, Sliding(self.strides, self.dilations, self.pads, self.group))

    def simulated_product(self, to: Writer, x: str, weight: Array) -> str:
        return to.op(
            "Conv", x, weight,
            strides=self.strides, pads=self.pads, dilations=self.dilations, group=self.group,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ConvTranspose(Weighted):
    """A transposed convolution: weight [C, M/group, *K]."""

    onnx_types: ClassVar[tuple[str, ...]] = ("ConvTranspose",)
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types
    per_channel_output: ClassVar[bool] = True
    weight_axis: ClassVar[int] = 1

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    output_padding: tuple[int, ...] = ()
    group: int = 1

    @classmethod
    def multiplications(cls, x: Sequence[int], weight: Sequence[int], y: Sequence[int]) -> int:
        return math.prod(x) * math.prod(weight[1:])

    @property
    def groups(self) -> int:
        return self.group

    def accumulate(self, x: Integers, weight: Integers) -> Integers:
        window = Sliding(self.strides, self.dilations, self.pads, self.group)
        return convolve_transposed(x, weight, window, self.output_padding)

    def simulated_product(self, to: Writer, x: str, weight: Array) -> str:
        return to.op(
            "ConvTranspose", x, weight,
            strides=self.strides, pads=self.pads, dilations=self.dilations, group=self.group,
            output_padding=self.output_padding,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MatMul(Weighted):
    """A feature times a constant matrix [C, M]: fully connected layers."""

    onnx_types: ClassVar[tuple[str, ...]] = ("Gemm", "MatMul")
    homogeneous: ClassVar[tuple[str, ...]] = onnx_types
    channel_axis: ClassVar[int] = -1
    weight_axis: ClassVar[int] = -1

    @classmethod
    def multiplications(cls, x: Sequence[int], weight: Sequence[int], y: Sequence[int]) -> int:
        return math.prod(y) * x[-1]

    def accumulate(self, x: Integers, weight: Integers) -> Integers:
        product: Integers = x @ weight
        return product

    def simulated_product(self, to: Writer, x: str, weight: Array) -> str:
        return to.op("MatMul", x, weight)


def _subtract(to: Writer, acc: Term, amount: Array) -> Term:
    """Subtract a constant; in double where float32 does not hold it."""
    if np.any(amount.astype(np.float32).astype(np.float64) != amount):
        acc = to.doubled(acc)
    kind = np.float64 if acc.double else np.float32
    return Term(to.op("Sub", acc.name, amount.astype(kind)), acc.low, acc.high, acc.double)


OPERATORS = (Conv, ConvTranspose, MatMul)
