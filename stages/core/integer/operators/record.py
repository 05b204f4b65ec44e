"""An operator of the integer domain: one typed record, with its reference implementation and its simulation.

A record holds a node's attributes. Only `to_node` and `from_node` know how ONNX stores them. Its class variables answer
general questions about the operator: is it weighted, is it an activation, and so on.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, get_args, get_origin

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.core.integer.quant_params import QuantParams
from stages.core.integer.writer import Writer

__all__ = ["DOMAIN", "Array", "CodesOperator", "Integers", "Operands", "Operator"]

DOMAIN = "socquant"
"""The ONNX domain of integer operators."""

OUTPUT_ATTRIBUTES = ("bits", "scale", "zero_point", "channel_scales", "low", "high")

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Operands:
    """The inputs of a node in the reference implementation.

    Attributes:
        values: of each input: codes as uint8 or uint16, else float32 or whole numbers; None for one that is left out.
        quant_params: of each input; None where it holds no codes.
    """

    values: Sequence[Array | None]
    quant_params: Sequence[QuantParams | None]

    def __getitem__(self, index: int) -> Array:
        value = self.values[index]
        assert value is not None
        return value

    def integers(self, index: int) -> Integers:
        """An input as int64."""
        return self[index].astype(np.int64)

    def qparams(self, index: int) -> QuantParams:
        """The quantization parameters of an input that holds codes."""
        qparams = self.quant_params[index]
        assert qparams is not None
        return qparams

    def minus_zp(self, index: int) -> Integers:
        """The codes of an input minus their zero point, as int64."""
        return self.integers(index) - self.qparams(index).zero_point

    def all_minus_zp(self) -> list[Integers]:
        """The same of every input."""
        return [self.minus_zp(index) for index in range(len(self.values))]


@dataclass(frozen=True, kw_only=True)
class Operator(ABC):
    """A node of the integer domain. Its fields are the node's attributes.

    Attributes:
        inner: tensors of the float network inside a fused layer, where the integer model has no codes.
        onnx_types: ONNX operators that are lowered to this one.
        kinds: the names under which a SOC lists it in `conf/soc`; without any, its `onnx_types`.
        weighted: multiplies a feature by a constant weight, and requantizes each output channel.
        elementwise: every output element depends on one element of each operand, broadcasting aside.
        constant_operands: its constant operands are quantized like features.
        fuses_clamp: its end clamp serves as a Relu or Clip behind it.
        activation: runs inside the weighted layer before it, as far as a SOC's cost goes.
        per_channel_output: can give each output channel a scale of its own.
        per_channel_kinds: its kinds whose input may have a scale a channel.
        homogeneous: those of its `onnx_types` that let the factors of equalization through, f(a * x) = a * f(x) for
            positive a, or take them into their weights.
        keeps_codes: its output has its input's quantization parameters.
    """

    onnx_types: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ()
    weighted: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    constant_operands: ClassVar[bool] = False
    fuses_clamp: ClassVar[bool] = False
    activation: ClassVar[bool] = False
    per_channel_output: ClassVar[bool] = False
    per_channel_kinds: ClassVar[tuple[str, ...]] = ()
    homogeneous: ClassVar[tuple[str, ...]] = ()
    keeps_codes: ClassVar[bool] = False

    inner: tuple[str, ...] = ()

    @classmethod
    def op_type(cls) -> str:
        """The node's type in the integer domain."""
        return cls.__name__

    @classmethod
    def listed_as(cls) -> tuple[str, ...]:
        """The names under which a SOC lists it."""
        return cls.kinds or cls.onnx_types

    @classmethod
    def multiplications(cls, x: Sequence[int], weight: Sequence[int], y: Sequence[int]) -> int:
        """Multiplications with accumulation, from the shapes of the inputs and the output; zeros in padding count."""
        del x, weight, y
        return 0

    @property
    def least_inputs(self) -> int:
        """How many inputs its node has at least."""
        return 1

    def attributes(self) -> dict[str, Any]:
        """The node's attributes as ONNX stores them; empty ones are left out."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items() if value != ()}

    def to_node(self, inputs: Sequence[str], output: str, name: str) -> onnx.NodeProto:
        """Write the node."""
        return helper.make_node(self.op_type(), list(inputs), [output], name=name, domain=DOMAIN, **self.attributes())

    @classmethod
    def from_node(cls, node: onnx.NodeProto) -> Self:
        """Read a node.

        Raises:
            ValueError: for an attribute that the operator does not have, one that is missing or of a wrong type.
        """
        values = {each.name: _read(helper.get_attribute_value(each)) for each in node.attribute}
        known = {item.name: item.default is MISSING for item in fields(cls)}
        unknown = values.keys() - known.keys()
        absent = {key for key, required in known.items() if required} - values.keys()
        if unknown or absent:
            fault = f"has no attribute {min(unknown)}" if unknown else f"lacks its attribute {min(absent)}"
            raise ValueError(f"{node.name} ({cls.op_type()}) {fault}")
        for item in fields(cls):
            if item.name in values and not _fits(values[item.name], item.type):
                raise ValueError(f"{node.name} ({cls.op_type()}): its attribute {item.name} is {values[item.name]!r}")
        return cls(**values)

    @abstractmethod
    def reference(self, x: Operands) -> Array:
        """Compute the output plainly: docs/arithmetic.md in NumPy.

        Returns:
            Codes as uint8 or uint16, or float32 where the operator leaves the integers.
        """

    @abstractmethod
    def simulate(self, to: Writer, node: onnx.NodeProto) -> None:
        """Write the node as standard ONNX that computes the same."""


@dataclass(frozen=True, kw_only=True)
class CodesOperator(Operator):
    """An operator whose output holds codes, or float32 values where `bits` is 0.

    Attributes:
        bits: bit width of the output's codes.
        scale: their scale; of several the largest.
        zero_point: the code of real 0.
        channel_scales: one a channel; empty where `scale` serves all.
        low: smallest code that leaves the operator: the lower end of a fused activation.
        high: largest code.
    """

    bits: int = 0
    scale: float = 1.0
    zero_point: int = 0
    channel_scales: tuple[float, ...] = ()
    low: int = 0
    high: int = 0

    def attributes(self) -> dict[str, Any]:
        """As every operator's; of a float output there are no quantization parameters and no clamp."""
        left_out = () if self.bits else OUTPUT_ATTRIBUTES
        return {key: value for key, value in super().attributes().items() if key not in left_out}

    @classmethod
    def from_node(cls, node: onnx.NodeProto) -> Self:
        """Read a node; one whose output has codes must say all about them."""
        given = {each.name for each in node.attribute}
        absent = {*OUTPUT_ATTRIBUTES} - {"channel_scales"} - given
        if "bits" in given and absent:
            raise ValueError(f"{node.name} ({cls.op_type()}) lacks its attribute {min(absent)}")
        return super().from_node(node)

    @property
    def qparams(self) -> QuantParams | None:
        """The output's quantization parameters; None where it is float."""
        return QuantParams(self.bits, self.scale, self.zero_point, self.channel_scales) if self.bits else None

    @property
    def output(self) -> QuantParams:
        """The quantization parameters of an output that holds codes."""
        assert self.qparams is not None
        return self.qparams

    def clamped(self, codes: Integers) -> Array:
        """Clamp codes as the fused activation does, and store them."""
        return np.clip(codes, self.low, self.high).astype(self.output.dtype)


def _fits(value: Any, kind: Any) -> bool:
    """Whether an attribute's value has the type of its field: a type, or a tuple of one."""
    if isinstance(value, tuple):
        return get_origin(kind) is tuple and all(_fits(item, get_args(kind)[0]) for item in value)
    return isinstance(value, kind) if isinstance(kind, type) else False


def _read(value: Any) -> Any:
    """An attribute's value as a record has it: text decoded, lists as tuples."""
    if isinstance(value, bytes):
        return value.decode()
    return tuple(_read(item) for item in value) if isinstance(value, list) else value
