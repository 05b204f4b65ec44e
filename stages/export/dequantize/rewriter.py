"""Writing a network anew, node by node, with float tensors in the place of codes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import attribute, captured_names
from stages.export.dequantize.codes import CODE_TYPES, Codes, FeatureRange, dequantize, limits, ramp
from stages.export.dequantize.signs import Signs

__all__ = ["REMEDY", "Accumulator", "Divided", "Rewriter", "Rule"]

REMEDY = "give model.source the float network that it was made from"

RELU6 = 6.0


@dataclass(frozen=True)
class Accumulator:
    """A product of codes, in integers: the float product divided by the operands' scales.

    Attributes:
        node: the MatMulInteger or ConvInteger.
        left: the real tensor of the first operand.
        right: the real tensor of the second one, or its constant codes less their zero point.
        symbols: names of the scales that are computed when the network runs.
        factor: what the constant scales multiply to.
        bias: what was added, if anything.
    """

    node: onnx.NodeProto
    left: str
    right: str | NDArray[Any]
    symbols: tuple[str, ...]
    factor: NDArray[Any]
    bias: "Divided | None" = None


@dataclass(frozen=True)
class Divided:
    """A float tensor divided by scales, as a bias is before it is rounded to an integer.

    Attributes:
        real: the float tensor.
        symbols: names of the scales that are computed when the network runs.
        factor: what the constant scales multiply to.
    """

    real: str
    symbols: tuple[str, ...]
    factor: NDArray[Any]


@dataclass
class Rewriter:
    """A network that is being written.

    Attributes:
        model: the source; not changed.
        rules: operator -> what writes its float meaning.
        constants: initializers and Constant nodes of the source, by name.
        codes: tensor of codes -> what it stands for.
        accumulators: tensor of sums of products of codes -> what it stands for.
        divided: tensor of a float tensor divided by scales -> what it stands for.
        scales: tensor of a scale that is computed when the network runs -> its symbols and constant factor.
        zero_points: tensor of such a scale -> that of the zero point beside it.
        renamed: tensor of the source -> float tensor of the same value.
        ranges: float tensor -> range of the codes that it had.
        weights: how many constants were codes.
    """

    model: onnx.ModelProto
    rules: Mapping[str, "Rule"]
    constants: dict[str, onnx.TensorProto] = field(init=False)
    codes: dict[str, Codes] = field(default_factory=dict)
    accumulators: dict[str, Accumulator] = field(default_factory=dict)
    divided: dict[str, Divided] = field(default_factory=dict)
    scales: dict[str, tuple[tuple[str, ...], NDArray[Any]]] = field(default_factory=dict)
    zero_points: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, FeatureRange] = field(default_factory=dict)
    weights: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    written: dict[str, onnx.TensorProto] = field(default_factory=dict)
    _signs: Signs = field(default_factory=Signs)
    _activated: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = constants_of(self.model)
        for info in self.model.graph.input:
            if info.name not in self.constants and info.type.tensor_type.elem_type in CODE_TYPES:
                self.codes[info.name] = Codes(info.name)

    @property
    def activations(self) -> int:
        """How many activations were written that quantizers had taken the place of."""
        return len(self._activated)

    # --- reading ---

    def run(self) -> None:
        """Write every node.

        Raises:
            UserError: for an operator on codes that has no rule.
        """
        for node in self.model.graph.node:
            self.rules.get(node.op_type, Rewriter.keep)(self, node)

    def real(self, name: str) -> str:
        """The float tensor for a float tensor of the source."""
        return self.renamed.get(name, name)

    def constant(self, name: str) -> NDArray[Any] | None:
        """A constant's value; None for a computed tensor or an input that is left out."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def scale(self, node: onnx.NodeProto, name: str) -> NDArray[Any]:
        """The value of a scale or zero point, which has to be constant."""
        value = self.constant(name)
        if value is None:
            raise self.refusal(node, f"its scale {name!r} is computed")
        return value

    def refusal(self, node: onnx.NodeProto, why: str) -> UserError:
        """The error for a node whose float meaning is not exact."""
        return UserError(f"{node.name or node.output[0]} ({node.op_type}) is quantized and {why}: {REMEDY}")

    def operand(
        self, node: onnx.NodeProto, name: str, scale: str, zero_point: str, axis: int = 1, block: int = 0
    ) -> str:
        """The float tensor of codes that a node reads with these parameters.

        Raises:
            UserError: if they were written with others.
        """
        asked = self.codes_of(node, "", scale, zero_point)
        if name in self.constants:
            return self._constant_operand(name, asked, axis, block)
        known = self.codes.get(name)
        if known is None:
            raise self.refusal(node, f"its input {name!r} is no tensor of codes that is known")
        if known.scale is None and not known.symbol:  # an input of the network, or what is moved of it
            start = self._start(name)
            if self.codes[start].scale is None:
                self.codes[start] = asked.at(self.codes[start].real)
                self.note_range(self.codes[start], self._input_type(start))
            self.codes[name] = known = self.codes[start].at(known.real)
        if not known.same_parameters(asked):
            raise self.refusal(node, f"reads {name!r} with another scale than it was written with")
        return known.real

    def _constant_operand(self, name: str, asked: Codes, axis: int, block: int) -> str:
        """Write the real values of constant codes, once for each scale that they are read with."""
        known = self.codes.get(name)
        if known is not None and known.same_parameters(asked):
            return known.real
        real = f"{name}/real"
        while real in self.written:
            real += "_"
        assert asked.scale is not None
        self.codes[name] = asked.at(real)
        stored = numpy_helper.to_array(self.constants[name])
        return self.put(real, ramp(dequantize(stored, asked.scale, asked.zero_point, axis, block), asked.scale))

    def _zero_point(self, node: onnx.NodeProto, name: str) -> NDArray[Any]:
        return self.scale(node, name).astype(np.int64) if name else np.zeros((), np.int64)

    def _start(self, name: str) -> str:
        """The input of the network that a tensor of codes without a scale is, or is moved of."""
        sources = {output: node.input[0] for node in self.model.graph.node for output in node.output if node.input}
        while name in sources:
            name = sources[name]
        return name

    def _input_type(self, name: str) -> int:
        types = {info.name: info.type.tensor_type.elem_type for info in self.model.graph.input}
        return int(types[name])

    # --- writing ---

    def keep(self, node: onnx.NodeProto) -> None:
        """Write a node as it is.

        Raises:
            UserError: if it reads codes, or sums of their products.
        """
        captured = captured_names(node)
        if any(self._is_quantized(name) for name in (*node.input, *captured)):
            raise self.refusal(node, "computes on integer codes in a way that no float operator stands for")
        for name in sorted(captured & self.renamed.keys()):  # a body keeps its names
            self.emit(helper.make_node("Identity", [self.renamed.pop(name)], [name], name=f"{name}/Identity"))
        self.add_all(node, [self.real(name) for name in node.input])

    def _is_quantized(self, name: str) -> bool:
        if name in self.constants:
            return False
        known = self.codes.get(name)
        if known is not None and known.scale is None and not known.symbol:
            del self.codes[name]  # an input of integers that are no codes, such as pixels
            return False
        return known is not None or any(name in known for known in (self.accumulators, self.divided, self.scales))

    def add_all(self, node: onnx.NodeProto, inputs: Iterable[str]) -> list[str]:
        """Write a node with other inputs; gives its outputs."""
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        del copied.input[:]
        copied.input.extend(inputs)
        self.emit(copied)
        return list(copied.output)

    def add(
        self, kind: str, inputs: Iterable[str], target: str, like: onnx.NodeProto, without: Iterable[str] = ()
    ) -> str:
        """Write an operator of the standard with the name and the attributes of a node of the source."""
        node = helper.make_node(kind, list(inputs), [target], name=like.name or None)
        node.attribute.extend(each for each in like.attribute if each.name not in set(without))
        self.emit(node)
        return target

    def emit(self, node: onnx.NodeProto) -> None:
        """Write a node."""
        self.nodes.append(node)
        self._signs.note(node, self._written)

    def _written(self, name: str) -> NDArray[Any] | None:
        tensor = self.written.get(name, self.constants.get(name))
        return None if tensor is None else numpy_helper.to_array(tensor)

    def put(self, name: str, value: NDArray[Any]) -> str:
        """Write a constant of float32 that was codes."""
        self.weights += name not in self.written
        return self.store(name, value)

    def store(self, name: str, value: NDArray[Any] | np.float32) -> str:
        """Write a constant of float32."""
        self.written[name] = numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        return name

    def codes_of(self, node: onnx.NodeProto, real: str, scale: str, zero_point: str) -> Codes:
        """Codes of a float tensor, with a node's parameters."""
        return Codes(real, self.scale(node, scale), self._zero_point(node, zero_point))

    def code_type(self, node: onnx.NodeProto, zero_point: str) -> int:
        """The type of codes, which is that of their zero point; uint8 without one."""
        if not zero_point:
            return int(TensorProto.UINT8)
        self.scale(node, zero_point)
        return int(self.constants[zero_point].data_type)

    def product(self, node: onnx.NodeProto, sums: Accumulator, scale: NDArray[Any]) -> str:
        """Write the float product that sums of products of codes stand for.

        Args:
            node: what makes them float.
            sums: the sums.
            scale: what they are multiplied by, apart from scales that are computed when the network runs.
        """
        kind, factor = sums.node.op_type.removesuffix("Integer"), np.asarray(scale, np.float64) / sums.factor
        target = f"{node.output[0]}/product" if sums.bias else node.output[0]
        if not isinstance(sums.right, str):
            if kind == "Conv" and factor.size > 1:
                factor = factor.reshape(-1, *[1] * (sums.right.ndim - 1))
            right = self.put(f"{node.output[0]}/weight", ramp(np.asarray(sums.right * factor, np.float32), factor))
        elif np.allclose(factor, 1.0, rtol=1e-6):
            right = sums.right
        else:
            raise self.refusal(node, "scales a product of two features by something else than their scales")
        self.add(kind, [sums.left, right], target, sums.node)
        if sums.bias is None:
            return target
        if sums.bias.symbols != sums.symbols or not np.allclose(sums.bias.factor, scale, rtol=1e-6):
            raise self.refusal(node, "scales a bias by something else than it was divided by")
        self.emit(helper.make_node("Add", [target, sums.bias.real], [node.output[0]], name=node.name or None))
        return str(node.output[0])

    def quantized(self, node: onnx.NodeProto, real: str, target: str, scale: str, zero_point: str, kind: int) -> None:
        """Note that `target` has the codes of a float tensor; write the activation that their range stands for.

        Codes that start at real 0 have no negative values: they act as a Relu, which quantizing tools leave out behind
        a layer with weights for that reason. The same goes for codes that end at 6.
        """
        if kind not in CODE_TYPES:
            raise self.refusal(node, f"has codes of type {TensorProto.DataType.Name(kind).lower()}")
        known = self.codes_of(node, real, scale, zero_point)
        low, high = self._ends(known, kind)
        if low == 0.0 and self._signs.lacks_activation(real):
            assert known.scale is not None
            six = bool(np.all(np.abs(high - RELU6) <= np.max(known.scale) / 2))
            if real not in self._activated:
                self._activated[real] = self._activation(real, six, node)
            known = known.at(self._activated[real])
        self.codes[target] = known
        self.note_range(known, kind)

    def note_range(self, known: Codes, kind: int) -> None:
        """Note the range of a float tensor that had codes; the first one holds."""
        low, high = self._ends(known, kind)
        floor = 0.0 if known.real in self._signs.not_negative else low
        if floor < high:
            self.ranges.setdefault(known.real, FeatureRange(CODE_TYPES[kind][0], floor, high))

    def narrow(self, known: Codes, smallest: int | None, largest: int | None) -> None:
        """Note that the codes of a float tensor end earlier than their type does."""
        found = self.ranges.get(known.real)
        if found is None or known.scale is None or known.zero_point is None:
            return
        ends = [None if code is None else (code - known.zero_point) * known.scale for code in (smallest, largest)]
        low = found.low if ends[0] is None else max(found.low, float(np.min(ends[0])))
        high = found.high if ends[1] is None else min(found.high, float(np.max(ends[1])))
        if low < high:
            self.ranges[known.real] = FeatureRange(found.bits, low, high)

    def _ends(self, known: Codes, kind: int) -> tuple[float, float]:
        assert known.scale is not None
        assert known.zero_point is not None
        smallest, largest = limits(kind)
        scale = known.scale.astype(np.float64)
        return float(np.min((smallest - known.zero_point) * scale)), float(np.max((largest - known.zero_point) * scale))

    def _activation(self, real: str, six: bool, node: onnx.NodeProto) -> str:
        """Write Relu, or Clip from 0 to 6, behind a float tensor."""
        target = f"{real}/activation"
        name = f"{self.producer_name(real, node)}/{'Clip' if six else 'Relu'}"
        if not six:
            self.emit(helper.make_node("Relu", [real], [target], name=name))
            return target
        if opset_of(self.model) < 11:
            self.emit(helper.make_node("Clip", [real], [target], name=name, min=0.0, max=RELU6))
            return target
        bounds = []
        for end, value in (("low", 0.0), ("high", RELU6)):
            bounds.append(f"{target}/{end}")
            self.written[bounds[-1]] = numpy_helper.from_array(np.asarray(value, np.float32), bounds[-1])
        self.emit(helper.make_node("Clip", [real, *bounds], [target], name=name))
        self._signs.not_negative.add(target)
        return target

    def producer_name(self, tensor: str, default: onnx.NodeProto) -> str:
        """The name of the node whose output a tensor is."""
        return next((node.name for node in reversed(self.nodes) if tensor in node.output), default.name) or tensor


Rule = Callable[[Rewriter, onnx.NodeProto], None]


def constants_of(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers, the tensors of Constant nodes, and what Identity passes on of both."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            found[node.output[0]] = value
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard's operators."""
    return next((int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 1)
