"""A QDQ network as the open runtime's compiler reads it: layers, and codes between them.

What it looks through and what it reads follows compile/onnx_import.py of github.com/inoop/t41-pluto (8f374b6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["LAYERS", "VIEWS", "Edges", "Meaning"]

VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity")
"""Operators that the compiler looks through, before a Gemm."""
LAYERS = ("Conv", "Gemm", "GlobalAveragePool", "Add", "MaxPool", "Resize", "Mul", "Concat")
"""Operators that it makes layers of."""
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Meaning:
    """What codes mean: real = (code - zero_point) * scale.

    Attributes:
        scale: float32, one value or one a channel.
        zero_point: of the codes' type, as many.
        axis: the axis of several scales.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any]
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether one scale serves all."""
        return bool(self.scale.size == 1)

    @property
    def step(self) -> float:
        """The one scale."""
        return float(self.scale.reshape(-1)[0])

    @property
    def zero(self) -> int:
        """The one zero point."""
        return int(self.zero_point.reshape(-1)[0])

    def agrees(self, other: "Meaning") -> bool:
        """Whether the same codes mean the same there."""
        return (
            self.zero_point.dtype == other.zero_point.dtype
            and np.array_equal(self.scale.reshape(-1), other.scale.reshape(-1))
            and np.array_equal(self.zero_point.reshape(-1), other.zero_point.reshape(-1))
        )


@dataclass
class Edges:
    """A view of a QDQ network.

    Attributes:
        graph: the network.
        outputs: tensors that the compiler ends at.
        classifier: whether they are one Gemm's or Conv's that the network ends with.
        nodes: what they follow from, in graph order, quantizers and constants' nodes left out.
    """

    graph: Graph
    outputs: list[str] = field(init=False)
    classifier: bool = field(init=False)
    nodes: list[onnx.NodeProto] = field(init=False)

    def __post_init__(self) -> None:
        last = self._last_layer()
        self.classifier = last is not None
        self.outputs = [last.output[0]] if last is not None else self._heads()
        wanted = {id(node) for node in self._ancestors(self.outputs)}
        self.nodes = [node for node in self.graph.nodes if id(node) in wanted]

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of an initializer or of a Constant node."""
        made = self.graph.producers.get(name)
        if made is not None and made.op_type == "Constant" and (value := attribute(made, "value")) is not None:
            return numpy_helper.to_array(value)
        return self.graph.constant(name)

    def meaning(self, node: onnx.NodeProto) -> Meaning | None:
        """What the codes of a QuantizeLinear or DequantizeLinear mean; None where that is computed."""
        scale = self.constant(node.input[1])
        zero = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else self._standard_zero(node)
        if scale is None or zero is None:
            return None
        return Meaning(np.asarray(scale), np.asarray(zero), attribute(node, "axis", 1))

    def taken(self, name: str) -> Meaning | None:
        """What the codes behind a layer's input mean; None where no DequantizeLinear makes it."""
        node = self.graph.producers.get(name)
        return self.meaning(node) if node is not None and node.op_type == "DequantizeLinear" else None

    def quantizers(self, name: str) -> list[onnx.NodeProto]:
        """The QuantizeLinear nodes that take a tensor."""
        consumers = self.graph.consumers.get(name, [])
        return [node for node in consumers if node.op_type == "QuantizeLinear" and node.input[0] == name]

    def stored(self, name: str) -> tuple[NDArray[Any], Meaning] | None:
        """The constant codes that a DequantizeLinear turns into `name`, and what they mean."""
        node = self.graph.producers.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return None
        codes, meaning = self.constant(node.input[0]), self.meaning(node)
        return None if codes is None or meaning is None else (codes, meaning)

    def source(self, name: str) -> str:
        """The tensor whose values a layer's input holds: quantizers and views looked through."""
        node = self.graph.producers.get(name)
        while node is not None and node.op_type in (*QUANTIZERS, *VIEWS):
            name = node.input[0]
            node = self.graph.producers.get(name)
        return name

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The layer that a layer's input comes from; None for a network input or a constant."""
        return self.graph.producers.get(self.source(name))

    def activations(self, node: onnx.NodeProto) -> list[str]:
        """The inputs of a layer that are features, not its weights and settings."""
        if node.op_type in ("Conv", "Gemm", "MaxPool", "Resize", "GlobalAveragePool", "Slice"):
            return [node.input[0]]
        if node.op_type == "Mul" and (silu := self.silu_input(node)) is not None:
            return [silu]
        return [name for name in node.input if name and self.constant(name) is None]

    def silu_input(self, node: onnx.NodeProto) -> str | None:
        """Of a Mul the input x if it is x * Sigmoid(x)."""
        for gate, name in (tuple(node.input), tuple(reversed(node.input))):
            sigmoid = self.producer(gate)
            if sigmoid is None or sigmoid.op_type != "Sigmoid":
                continue
            if self.source(sigmoid.input[0]) == self.source(name):
                return str(name)
        return None

    def is_focus(self, node: onnx.NodeProto) -> bool:
        """Whether a Concat joins slices only: the compiler takes it for YOLOX's Focus on the network's input."""
        producers = [self.producer(name) for name in node.input]
        return node.op_type == "Concat" and all(made is not None and made.op_type == "Slice" for made in producers)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        """The layers that take a tensor's values, quantizers and views looked through."""
        found = []
        for node in self.graph.consumers.get(name, []):
            found += self.consumers(node.output[0]) if node.op_type in (*QUANTIZERS, *VIEWS) else [node]
        return found

    def _standard_zero(self, node: onnx.NodeProto) -> NDArray[Any] | None:
        """The zero point that ONNX gives where there is none: 0, uint8 of a QuantizeLinear, else as the codes."""
        if node.op_type == "QuantizeLinear":
            kind = attribute(node, "output_dtype", TensorProto.UINT8) or TensorProto.UINT8
        else:
            codes, info = self.constant(node.input[0]), self.graph.types.get(node.input[0])
            if codes is not None:
                return np.zeros((), codes.dtype)
            if info is None:
                return None
            kind = info.tensor_type.elem_type
        return np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(kind))

    def _last_layer(self) -> onnx.NodeProto | None:
        """The Gemm or Conv that the first output comes straight from."""
        node = self.graph.producers.get(self.graph.outputs[0])
        while node is not None and node.op_type not in ("Gemm", "Conv"):
            if node.op_type not in (*QUANTIZERS, "Reshape", "Flatten", "Squeeze", "Transpose", "Identity"):
                return None
            node = self.graph.producers.get(node.input[0])
        return node

    def _heads(self) -> list[str]:
        """Of a detector the outputs of its last convolutions: what follows them is not compiled."""
        found = set()
        open_, seen = list(self.graph.outputs), set[str]()
        while open_:
            name = open_.pop()
            node = self.graph.producers.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            if node.op_type == "Conv":
                found.add(node.output[0])
            else:
                open_ += list(node.input)
        return [node.output[0] for node in self.graph.nodes if node.op_type == "Conv" and node.output[0] in found]

    def _ancestors(self, outputs: list[str]) -> Iterator[onnx.NodeProto]:
        open_, seen = list(outputs), set[str]()
        while open_:
            node = self.producer(open_.pop())
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            yield node
            open_ += self.activations(node)
