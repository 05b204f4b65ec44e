"""A QDQ network as the open runtime's compiler reads it: layers, and the codes between them.

Which operators it skips and which attributes it reads follows compile/onnx_import.py of github.com/inoop/t41-pluto
(8f374b6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, attribute
from stages.core.integer.quant_params import QuantParams

__all__ = ["BITS", "LAYER_TYPES", "QDQ_TYPES", "QMAX", "QMIN", "VIEW_TYPES", "QdqGraph", "QdqParams"]

VIEW_TYPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Identity")
"""Operators that the compiler skips before a Gemm."""
LAYER_TYPES = ("Conv", "Gemm", "GlobalAveragePool", "Add", "MaxPool", "Resize", "Mul", "Concat")
"""Operators that the compiler turns into layers."""
QDQ_TYPES = ("QuantizeLinear", "DequantizeLinear")
BITS = 8
"""Bit width of features and weights."""
QMIN, QMAX = -128, 127
"""The codes of a feature: int8."""


@dataclass(frozen=True)
class QdqParams:
    """Quantization parameters of a QDQ tensor: real = (code - zero_point) * scale.

    Attributes:
        scale: float32, one value or one a channel.
        zero_point: of the codes' type, as many values.
        axis: the axis of several scales.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any]
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether there is one scale."""
        return bool(self.scale.size == 1)

    @property
    def tensor_scale(self) -> float:
        """The scale of a per-tensor quantization."""
        return float(self.scale.reshape(-1)[0])

    @property
    def tensor_zero_point(self) -> int:
        """The zero point of a per-tensor quantization."""
        return int(self.zero_point.reshape(-1)[0])

    @property
    def unsigned(self) -> QuantParams:
        """The same for codes from 0: those of an int8 feature of one scale, and 128."""
        return QuantParams(BITS, self.tensor_scale, self.tensor_zero_point - QMIN)

    def same_as(self, other: "QdqParams") -> bool:
        """Whether equal codes stand for equal values: same type, scales and zero points."""
        return (
            self.zero_point.dtype == other.zero_point.dtype
            and np.array_equal(self.scale.reshape(-1), other.scale.reshape(-1))
            and np.array_equal(self.zero_point.reshape(-1), other.zero_point.reshape(-1))
        )


@dataclass
class QdqGraph:
    """A QDQ network.

    Attributes:
        graph: the network.
        outputs: tensors that the compiler ends at.
        classifier: whether `outputs` is the Gemm or Conv that the network ends with.
        nodes: ancestors of `outputs` in graph order, without quantizers and the producers of constants.
    """

    graph: Graph
    outputs: list[str] = field(init=False)
    classifier: bool = field(init=False)
    nodes: list[onnx.NodeProto] = field(init=False)

    def __post_init__(self) -> None:
        last = self.last_layer(self.graph.outputs[0])
        self.classifier = last is not None
        self.outputs = [last.output[0]] if last is not None else self._detector_outputs()
        wanted = {id(node) for node in self._ancestors(self.outputs)}
        self.nodes = [node for node in self.graph.nodes if id(node) in wanted]

    def constant(self, name: str) -> NDArray[Any] | None:
        """The value of an initializer or of a Constant node."""
        node = self.graph.producers.get(name)
        if node is not None and node.op_type == "Constant" and (value := attribute(node, "value")) is not None:
            return numpy_helper.to_array(value)
        return self.graph.constant(name)

    def qparams(self, node: onnx.NodeProto) -> QdqParams | None:
        """Quantization parameters of a QuantizeLinear or DequantizeLinear; None where they are computed."""
        scale = self.constant(node.input[1])
        has_zero_point = len(node.input) > 2 and node.input[2]
        zero_point = self.constant(node.input[2]) if has_zero_point else self._default_zero_point(node)
        if scale is None or zero_point is None:
            return None
        return QdqParams(np.asarray(scale), np.asarray(zero_point), attribute(node, "axis", 1))

    def input_qparams(self, name: str) -> QdqParams | None:
        """Quantization parameters of a layer's input; None where no DequantizeLinear produces it."""
        node = self.graph.producers.get(name)
        return self.qparams(node) if node is not None and node.op_type == "DequantizeLinear" else None

    def stored_qparams(self, name: str) -> QdqParams | None:
        """Quantization parameters that a tensor is stored with: those of its first QuantizeLinear; None without one."""
        quantizers = self.quantizers(name)
        return self.qparams(quantizers[0]) if quantizers else None

    def quantizers(self, name: str) -> list[onnx.NodeProto]:
        """The QuantizeLinear nodes that consume a tensor."""
        consumers = self.graph.consumers.get(name, [])
        return [node for node in consumers if node.op_type == "QuantizeLinear" and node.input[0] == name]

    def constant_codes(self, name: str) -> tuple[NDArray[Any], QdqParams] | None:
        """The constant codes that a DequantizeLinear turns into `name`, and their quantization parameters."""
        node = self.graph.producers.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return None
        codes, qparams = self.constant(node.input[0]), self.qparams(node)
        return None if codes is None or qparams is None else (codes, qparams)

    def source(self, name: str) -> str:
        """The tensor that a layer's input comes from, before quantizers and views."""
        node = self.graph.producers.get(name)
        while node is not None and node.op_type in (*QDQ_TYPES, *VIEW_TYPES):
            name = node.input[0]
            node = self.graph.producers.get(name)
        return name

    def views_before(self, name: str) -> list[onnx.NodeProto]:
        """The views other than Identity between a layer's input and the layer that it comes from, the last first."""
        views, node = [], self.graph.producers.get(name)
        while node is not None and node.op_type in (*QDQ_TYPES, *VIEW_TYPES):
            if node.op_type in VIEW_TYPES and node.op_type != "Identity":
                views.append(node)
            node = self.graph.producers.get(node.input[0])
        return views

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The layer that a layer's input comes from; None for a network input or a constant."""
        return self.graph.producers.get(self.source(name))

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        """The layers that read a tensor, behind quantizers and views."""
        layers = []
        for node in self.graph.consumers.get(name, []):
            layers += self.consumers(node.output[0]) if node.op_type in (*QDQ_TYPES, *VIEW_TYPES) else [node]
        return layers

    def feature_inputs(self, node: onnx.NodeProto) -> list[str]:
        """The inputs of a layer that are features, not its weights and settings."""
        if node.op_type in ("Conv", "Gemm", "MaxPool", "Resize", "GlobalAveragePool", "Slice"):
            return [node.input[0]]
        if node.op_type == "Mul" and (silu := self.silu_input(node)) is not None:
            return [silu]
        return [name for name in node.input if name and not self.is_constant(name)]

    def is_constant(self, name: str) -> bool:
        """Whether a layer's input is a constant, also behind a pair of quantizers or a DequantizeLinear."""
        return self.constant(self.source(name)) is not None

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """Whether the compiler takes a Conv for a depthwise one: of one channel too, and of any window but 1x1."""
        weight = self.constant_codes(node.input[1])
        if node.op_type != "Conv" or weight is None or weight[0].ndim != PICTURE_RANK:
            return False
        out_channels, channels_per_group, *window = weight[0].shape
        return channels_per_group == 1 and attribute(node, "group", 1) == out_channels and window != [1, 1]

    def silu_input(self, node: onnx.NodeProto) -> str | None:
        """The input x of a Mul that computes x * Sigmoid(x); None of another Mul."""
        for gate, name in (tuple(node.input), tuple(reversed(node.input))):
            sigmoid = self.producer(gate)
            if sigmoid is None or sigmoid.op_type != "Sigmoid":
                continue
            if self.source(sigmoid.input[0]) == self.source(name):
                return str(name)
        return None

    def is_focus(self, node: onnx.NodeProto) -> bool:
        """Whether a Concat joins slices only: the compiler reads it as YOLOX's Focus on the network's input."""
        producers = [self.producer(name) for name in node.input]
        return node.op_type == "Concat" and all(part is not None and part.op_type == "Slice" for part in producers)

    def last_layer(self, output: str) -> onnx.NodeProto | None:
        """The Gemm or Conv that directly gives an output of the network."""
        node = self.graph.producers.get(output)
        while node is not None and node.op_type not in ("Gemm", "Conv"):
            if node.op_type not in (*QDQ_TYPES, "Reshape", "Flatten", "Squeeze", "Transpose", "Identity"):
                return None
            node = self.graph.producers.get(node.input[0])
        return node

    def _default_zero_point(self, node: onnx.NodeProto) -> NDArray[Any] | None:
        """ONNX's zero point where none is given: 0, for a QuantizeLinear as uint8, else of the codes' type."""
        if node.op_type == "QuantizeLinear":
            code_type = attribute(node, "output_dtype", TensorProto.UINT8) or TensorProto.UINT8
        else:
            codes, info = self.constant(node.input[0]), self.graph.types.get(node.input[0])
            if codes is not None:
                return np.zeros((), codes.dtype)
            if info is None:
                return None
            code_type = info.tensor_type.elem_type
        return np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(code_type))

    def _detector_outputs(self) -> list[str]:
        """The outputs of a detector's last convolutions: what follows them is not compiled."""
        last = set()
        pending, seen = list(self.graph.outputs), set[str]()
        while pending:
            name = pending.pop()
            node = self.graph.producers.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            if node.op_type == "Conv":
                last.add(node.output[0])
            else:
                pending += list(node.input)
        return [node.output[0] for node in self.graph.nodes if node.op_type == "Conv" and node.output[0] in last]

    def _ancestors(self, outputs: list[str]) -> Iterator[onnx.NodeProto]:
        pending, seen = list(outputs), set[str]()
        while pending:
            node = self.producer(pending.pop())
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            yield node
            pending += self.feature_inputs(node)
