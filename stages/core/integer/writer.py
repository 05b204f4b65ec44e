"""Writing exact integer arithmetic as standard ONNX: the parts that every operator of the simulator consists of.

Codes are float32 numbers minus their zero point. Sums of integer products are exact in float32 while every partial
sum stays below 2**24, whatever the order of the additions. Where the bound fails, convolutions are split by the binary
digits of features and weights, and sums go on in double, which is exact to 2**53.

A division n / d of integers rounds to the right side of the next integer as long as d times the number of codes is
below 2**24: the quotient is then at least 1/d away from it, more than half a unit in the last place. Beyond the clamp
rounding may be wrong, but it is monotone: codes that should be clamped are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.integer.quant_params import QuantParams

__all__ = ["FLOAT32_EXACT", "Clamped", "Term", "Writer"]

Array = NDArray[Any]

FLOAT32_EXACT = 2**24
"""Integers up to here are exact in float32."""
FLOAT64_EXACT = 2**53
"""The same in float64."""
DIGITS_LIMIT = 16
"""Features and weights are split into fewer digits than this."""


@dataclass(frozen=True)
class Term:
    """A tensor of integers: its name in the simulator, its bounds (low <= 0 <= high), float64 or float32."""

    name: str
    low: int
    high: int
    double: bool = False

    @property
    def largest(self) -> int:
        """The largest magnitude."""
        return max(-self.low, self.high)


class Clamped(Protocol):
    """An operator as the writer sees it: its clamp, and the tensors inside it."""

    @property
    def low(self) -> int: ...  # noqa: D102
    @property
    def high(self) -> int: ...  # noqa: D102
    @property
    def inner(self) -> tuple[str, ...]: ...  # noqa: D102


class Writer:
    """Holds the simulator while it is written.

    Args:
        model: the integer model.
        quant_params: of its tensors that hold codes.
    """

    def __init__(self, model: onnx.ModelProto, quant_params: Mapping[str, QuantParams]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.quant_params = quant_params
        self._shapes = {
            info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
            for info in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        }
        self._inner: dict[str, Callable[[str], None]] = {}
        self._fed = {info.name for info in model.graph.input}

    # --- nodes and constants ---

    def array(self, name: str) -> Array:
        """The value of a constant."""
        return numpy_helper.to_array(self.constants[name])

    def constant(self, value: Any, name: str = "") -> str:
        """Add a constant."""
        name = name or f"simulator/{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def op(self, kind: str, *inputs: Any, to_name: str = "", **attributes: Any) -> str:
        """Add a node; inputs are names or constant values; gives the name of its output."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        target = to_name or f"simulator/{kind}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [target], name=f"{kind}/{len(self.nodes)}", **attributes))
        return target

    def shape(self, tensor: str) -> list[int]:
        """The static shape of a tensor of the integer model."""
        return self._shapes[tensor]

    def is_fed(self, tensor: str) -> bool:
        """Whether a tensor is an input of the model."""
        return tensor in self._fed

    # --- tensors of codes ---

    def broadcast_scale(self, tensor: str) -> NDArray[np.float32]:
        """The scale of a tensor of codes, as it broadcasts against it."""
        qparams = self.quant_params[tensor]
        return qparams.broadcast_scale(len(self.shape(tensor)) if qparams.channel_scales else 0)

    def minus_zp(self, tensor: str) -> Term:
        """The codes of a tensor minus their zero point."""
        qparams = self.quant_params[tensor]
        return Term(f"simulator/minus_zp/{tensor}", -qparams.zero_point, qparams.qmax - qparams.zero_point)

    def write_output(self, tensor: str, codes: bool) -> None:
        """Make a tensor of the integer model an output: its codes, or its real values."""
        qparams = self.quant_params.get(tensor)
        if qparams is None:
            if tensor in self._inner:
                self._inner[tensor](tensor)
        elif codes:
            shifted = self.op("Add", self.minus_zp(tensor).name, np.float32(qparams.zero_point))
            self.op("Cast", shifted, to_name=tensor, to=qparams.onnx_type)
        else:
            self.op("Mul", self.minus_zp(tensor).name, self.broadcast_scale(tensor), to_name=tensor)

    def round_down(
        self, quotient: str, node: onnx.NodeProto, operator: Clamped, double: bool, to_name: str = ""
    ) -> str:
        """floor(quotient), clamped: the output's (or an operand's, `to_name`) codes minus their zero point."""
        qparams = self.quant_params[node.output[0]]
        kind = np.float64 if double else np.float32
        low, high = (kind(code - qparams.zero_point) for code in (operator.low, operator.high))
        target = to_name or self.minus_zp(node.output[0]).name
        floor = self.op("Floor", quotient)
        if double:
            self.op("Cast", self.op("Clip", floor, low, high), to_name=target, to=TensorProto.FLOAT)
        else:
            self.op("Clip", floor, low, high, to_name=target)

        def unrounded(name: str) -> None:
            """The layer's value before rounding and clamping: the input of the fused activation."""
            exact = self.op("Cast", quotient, to=TensorProto.FLOAT)
            self.op("Mul", self.op("Sub", exact, np.float32(0.5)), self.broadcast_scale(node.output[0]), to_name=name)

        self.keep_inner(operator, unrounded)
        return target

    def keep_inner(self, operator: Clamped, write: Callable[[str], None]) -> None:
        """Remember how to write the tensors inside a fused layer, should they be asked for."""
        self._inner.update(dict.fromkeys(operator.inner, write))

    def doubled(self, term: Term) -> Term:
        """The same integers as float64."""
        if term.double:
            return term
        return Term(self.op("Cast", term.name, to=TensorProto.DOUBLE), term.low, term.high, double=True)

    # --- sums and products ---

    def check_double(self, node: onnx.NodeProto, largest: int) -> None:
        """Refuse sums that not even double holds.

        Raises:
            UserError: naming the layer.
        """
        if largest >= FLOAT64_EXACT:
            raise UserError(
                f"{node.name}: its sums may exceed 2**53, which the simulator cannot do: use fewer bits there"
            )

    def scaled(
        self,
        terms: Sequence[tuple[Term, Array | int]],
        shift: int,
        node: onnx.NodeProto,
        operator: Clamped,
        to_name: str = "",
    ) -> str:
        """floor(sum of term * multiplier / 2**shift + 1/2), clamped: the end of every fixed-point operator."""
        largest = sum(term.largest * int(np.abs(multiplier).max()) for term, multiplier in terms)
        double = largest + 2**shift >= FLOAT32_EXACT or any(term.double for term, _ in terms)
        self.check_double(node, largest)
        kind = np.float64 if double else np.float32
        total = ""
        for term, multiplier in terms:
            name = self.doubled(term).name if double else term.name
            # dividing the multiplier by a power of two, not the sum, is as exact and saves a pass
            part = self.op("Mul", name, (np.asarray(multiplier) * 2.0**-shift).astype(kind))
            total = self.op("Add", total, part) if total else part
        return self.round_down(self.op("Add", total, kind(0.5)), node, operator, double, to_name)

    def accumulate(
        self, x: Term, weight: Array, channel_axis: int, multiply: Callable[[str, Array], str], groups: int = 1
    ) -> Term:
        """Sum products of features and weights exactly.

        Args:
            x: the features.
            weight: integers.
            channel_axis: the weight's axis of output channels.
            multiply: writes the layer for a feature tensor and a float32 weight.
            groups: independent parts of a transposed convolution's first axis.
        """
        for x_digits, w_digits in sorted(product(range(1, DIGITS_LIMIT), repeat=2), key=lambda n: (n[0] * n[1], n)):
            w_parts = _weight_digits(weight.astype(np.int64), w_digits)
            spans = _digit_spans(x, x_digits)
            bounds = [
                [_sum_bounds(low, high, part, channel_axis, groups) for part, _ in w_parts] for low, high, _ in spans
            ]
            if max(max(abs(low), high) for row in bounds for low, high in row) < FLOAT32_EXACT:
                break
        else:
            raise AssertionError("no split keeps the sums below 2**24")
        if x_digits == w_digits == 1:
            low, high = bounds[0][0]
            return Term(multiply(x.name, weight.astype(np.float32)), low, high)
        total, low, high = "", 0, 0
        names = self._feature_digits(x, spans)
        for i, j in product(range(x_digits), range(w_digits)):
            part, w_factor = w_parts[j]
            factor = spans[i][2] * w_factor
            wide = self.op("Cast", multiply(names[i], part.astype(np.float32)), to=TensorProto.DOUBLE)
            wide = self.op("Mul", wide, np.float64(factor)) if factor != 1 else wide
            total = self.op("Add", total, wide) if total else wide
            low, high = low + bounds[i][j][0] * factor, high + bounds[i][j][1] * factor
        return Term(total, low, high, double=True)

    def _feature_digits(self, x: Term, spans: Sequence[tuple[int, int, int]]) -> list[str]:
        """Split features into digits, the lowest first; the highest carries the sign."""
        names, rest = [], x.name
        for (_, _, factor), (_, _, following) in pairwise(spans):
            base = np.float32(following // factor)
            above = self.op("Floor", self.op("Div", rest, base))
            names.append(self.op("Sub", rest, self.op("Mul", above, base)))
            rest = above
        return [*names, rest]


def _digit_spans(x: Term, digits: int) -> list[tuple[int, int, int]]:
    """Low, high and factor of each digit of a feature, the lowest first."""
    size = -(-int(x.high - x.low).bit_length() // digits)
    lower = [(0, 2**size - 1, 2 ** (size * i)) for i in range(digits - 1)]
    factor = 2 ** (size * (digits - 1))
    return [*lower, (min(x.low // factor, 0), max(x.high // factor, 0), factor)]


def _weight_digits(weight: NDArray[np.int64], digits: int) -> list[tuple[NDArray[np.int64], int]]:
    """Split weights into digits with their factors, the lowest first; the highest carries the sign."""
    size = -(-(int(np.abs(weight).max(initial=1)).bit_length() + 1) // digits)
    parts = [((weight >> (size * i)) & (2**size - 1), 2 ** (size * i)) for i in range(digits - 1)]
    return [*parts, (weight >> (size * (digits - 1)), 2 ** (size * (digits - 1)))]


def _sum_bounds(low: int, high: int, weight: NDArray[np.int64], channel_axis: int, groups: int) -> tuple[int, int]:
    """Bounds of every partial sum of products of features in low..high with the weights of a channel."""
    parts = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    others = tuple(axis for axis in range(1, parts.ndim) if axis != channel_axis % weight.ndim + 1)
    positive, negative = np.maximum(parts, 0).sum(axis=others), np.maximum(-parts, 0).sum(axis=others)
    return int((positive * low - negative * high).min()), int((positive * high - negative * low).max())
