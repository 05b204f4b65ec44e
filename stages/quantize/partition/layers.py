"""The layers of a network: what a SOC runs as one. Most are one node; some have an activation folded in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import PICTURE_RANK, WEIGHTED, Graph, attribute, captured_names

__all__ = [
    "PASS_CODES",
    "TAKES_CONSTANTS",
    "Layer",
    "bias_of",
    "edges",
    "find_layers",
    "head",
    "why_float",
    "window",
]

FUSES = WEIGHTED | {"Add", "Sub"}  # operators whose end clamp serves as a Relu or Clip
CLAMPS = {"Relu", "Clip"}
GATED = {"Sigmoid": "Silu", "HardSigmoid": "HardSwish"}  # f -> the operator x * f(x)
PASS_CODES = {
    "DepthToSpace", "Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Pad", "Reshape", "Resize", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators whose output has its input's codes, moved, picked or interpolated: no parameters of their own."""
TAKES_CONSTANTS = {"Add", "Concat", "Max", "Min", "Mul", "Sub"}
"""Operators whose constant operands are quantized like features."""


@dataclass(frozen=True)
class Layer:
    """Nodes that run as one.

    Attributes:
        kind: the operator that the SOC's table lists: an ONNX type, DepthwiseConv or Silu.
        nodes: in graph order; the last one's output is the layer's, those before have one output, inside the layer.
    """

    kind: str
    nodes: tuple[onnx.NodeProto, ...]

    @property
    def first(self) -> onnx.NodeProto:
        """The node that takes the layer's inputs."""
        return self.nodes[0]

    @property
    def name(self) -> str:
        """The last node's name."""
        return str(self.nodes[-1].name)

    @property
    def names(self) -> list[str]:
        """Names of all nodes."""
        return [node.name for node in self.nodes]

    @property
    def output(self) -> str:
        """The layer's (first) output."""
        return str(self.nodes[-1].output[0])

    @property
    def inner(self) -> list[str]:
        """Tensors inside the layer."""
        return [node.output[0] for node in self.nodes[:-1]]

    @property
    def gated(self) -> bool:
        """Whether it is x * f(x), written as two nodes."""
        return len(self.nodes) > 1 and self.nodes[-1].op_type == "Mul"

    def weighted(self, graph: Graph) -> bool:
        """Whether it multiplies its input by a constant weight."""
        return self.first.op_type in WEIGHTED and self.first.input[1] in graph.constants

    def operands(self, graph: Graph) -> list[str]:
        """Inputs that are features: computed float tensors, and constants that are quantized like them."""
        features = set(graph.float_tensors)
        names = [name for name in self.first.input if name in features]
        if self.first.op_type in TAKES_CONSTANTS and not self.gated:
            names = [name for name in self.first.input if name]
        return names


def find_layers(graph: Graph, soc: SocConfig) -> list[Layer]:
    """Group the nodes into layers, in the order of their last nodes."""
    follower: dict[str, tuple[str, onnx.NodeProto]] = {}
    for node in graph.nodes:
        after = _only_consumer(graph, node)
        if after is None:
            continue
        gate = GATED.get(node.op_type)
        if (
            gate in soc.operators
            and after.op_type == "Mul"
            and sorted(after.input) == sorted((node.input[0], *node.output))
        ):
            follower[node.name] = (str(gate), after)
        elif node.op_type in FUSES and after.op_type in CLAMPS & set(soc.fused_activations) and _bounded(graph, after):
            follower[node.name] = (_kind(graph, node), after)
    first = {after.name: name for name, (_, after) in follower.items()}
    nodes = {node.name: node for node in graph.nodes}
    layers = []
    for node in graph.nodes:
        if node.name in first:
            start = nodes[first[node.name]]
            layers.append(Layer(follower[start.name][0], (start, node)))
        elif node.name not in follower:
            layers.append(Layer(_kind(graph, node), (node,)))
    return layers


def bias_of(graph: Graph, node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """A weighted node's constant bias, one value an output channel; None if it has none."""
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is None:
        return None
    channels = graph.shapes[node.output[0]][-1 if node.op_type in ("Gemm", "MatMul") else 1]
    fits = bias.size in (1, channels) and bias.size == (bias.shape or (1,))[-1]
    return np.broadcast_to(bias.reshape(-1), (channels,)) if fits else None


def window(graph: Graph, node: onnx.NodeProto, kernel: Sequence[int]) -> dict[str, list[int]]:
    """Strides, dilations and pads of a sliding window (a convolution's or a pool's), all written out."""
    rank = len(kernel)
    strides = list(attribute(node, "strides", [1] * rank))
    dilations = list(attribute(node, "dilations", [1] * rank))
    pads = list(attribute(node, "pads", [0] * 2 * rank))
    automatic = attribute(node, "auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
        before, after = graph.shapes[node.input[0]][2:], graph.shapes[node.output[0]][2:]
        totals = [
            max((after[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - before[i], 0) for i in range(rank)
        ]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pads = [*small, *large] if automatic == b"SAME_UPPER" else [*large, *small]
    return {"strides": strides, "dilations": dilations, "pads": pads}


def _kind(graph: Graph, node: onnx.NodeProto) -> str:
    return "DepthwiseConv" if graph.is_depthwise(node) else str(node.op_type)


def _only_consumer(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The one node that takes a node's only output, if nothing else does."""
    if len(node.output) != 1 or node.output[0] in graph.outputs or node.output[0] in graph.captured:
        return None
    consumers = graph.consumers.get(node.output[0], [])
    return consumers[0] if len(consumers) == 1 else None


def _bounded(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a clamp's bounds are constants."""
    return all(name in graph.constants for name in node.input[1:] if name)


def head(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Find a detector's head: the last weighted layers before each output and all layers after them.

    Returns:
        Names of layers. Source: Sophgo's calibration guide, which keeps "the last three convolution layers and
        everything after" of a YOLO in float.
    """
    producers = {name: layer for layer in layers for node in layer.nodes for name in node.output}
    found: set[str] = set()
    pending = list(graph.outputs)
    while pending:
        layer = producers.get(pending.pop())
        if layer is None or layer.name in found:
            continue
        found.add(layer.name)
        if layer.first.op_type not in WEIGHTED:
            pending.extend(name for name in layer.first.input if name)
    return found


def edges(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Find the first and the last weighted layers.

    The first are those that a network input reaches without passing another weighted layer, the last those that
    reach a network output so.

    Returns:
        Names of layers.
    """
    found: set[str] = set()
    from_inputs, to_outputs = set(graph.inputs), set(graph.outputs)
    for layer in layers:
        if not from_inputs.isdisjoint(_taken(layer)):
            if layer.weighted(graph):
                found.add(layer.name)
            else:
                from_inputs.update(layer.nodes[-1].output)
    for layer in reversed(layers):
        if not to_outputs.isdisjoint(layer.nodes[-1].output):
            if layer.weighted(graph):
                found.add(layer.name)
            else:
                to_outputs.update(_taken(layer))
    return found


def _taken(layer: Layer) -> set[str]:
    """All that a layer's nodes take, also inside the body of a Loop or If."""
    return {name for node in layer.nodes for name in (*node.input, *captured_names(node)) if name}


def why_float(graph: Graph, layer: Layer) -> str | None:
    """Say what keeps an operator, in the form it has here, from running in integers; None if nothing does."""
    node = layer.first
    check = _LIMITS.get(node.op_type)
    if node.op_type in CLAMPS and not _bounded(graph, node):
        return "its bounds are computed"
    return check(graph, node) if check else None


def _conv_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    if node.input[1] not in graph.constants:
        return "its weight is computed"
    if len(node.input) > 2 and node.input[2] and node.input[2] not in graph.constants:
        return "its bias is computed"
    if node.op_type == "ConvTranspose" and (
        attribute(node, "output_shape") or attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    ):
        return "its padding follows from its output's shape"
    return None


def _gemm_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return "it transposes its input or scales its result"
    if len(node.input) > 2 and node.input[2] and bias_of(graph, node) is None:
        return "its bias is not one constant value an output"
    return _conv_limits(graph, node)


def _mat_mul_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    weight = graph.constants.get(node.input[1])
    if node.input[0] in graph.constants:
        return "its left side is constant"
    return "its weight is no matrix" if weight is not None and len(weight.dims) != 2 else None


def _pool_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    return "it rounds its size up" if attribute(node, "ceil_mode", 0) else None


def _resize_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    mode = attribute(node, "mode", b"nearest").decode()
    if mode == "nearest":
        return None
    way = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    if mode != "linear" or way not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        return f"mode {mode} with {way} has no integer rule"
    if attribute(node, "antialias", 0) or len(before) != PICTURE_RANK or before[:2] != after[:2]:
        return "it does more than interpolate between pixels"
    return None


def _pad_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    value = node.input[2] if len(node.input) > 2 else ""
    return "its padded value is computed" if value and value not in graph.constants else None


def _prelu_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    return None if node.input[1] in graph.constants else "its slope is computed"


def _mean_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    given = node.input[1] if len(node.input) > 1 else ""
    if given and given not in graph.constants:
        return "its axes are computed"
    axes: Any = graph.constant(given) if given else attribute(node, "axes", ())
    return "it reduces nothing" if attribute(node, "noop_with_empty_axes", 0) and not len(axes) else None


_LIMITS = {
    "Conv": _conv_limits,
    "ConvTranspose": _conv_limits,
    "Gemm": _gemm_limits,
    "MatMul": _mat_mul_limits,
    "AveragePool": _pool_limits,
    "Resize": _resize_limits,
    "PRelu": _prelu_limits,
    "Pad": _pad_limits,
    "ReduceMean": _mean_limits,
}
