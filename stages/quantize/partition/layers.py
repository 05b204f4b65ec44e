"""The layers of a network: nodes that a SOC runs as one. Most are one node; some have an activation folded in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from stages.core.base.errors import UserError
from stages.core.config.schema import SocConfig
from stages.core.graph.onnx_graph import Graph, attribute, captured_names
from stages.core.integer.operators import BY_ONNX_TYPE, WEIGHTED
from stages.quantize.partition.nodes import bounded, clamp_bounds

__all__ = [
    "CLAMP_TYPES",
    "Layer",
    "find_layers",
    "first_and_last_layers",
    "head_layers",
    "layers_until",
]

CLAMP_TYPES = {"Relu", "Clip"}
GATED_KINDS = {"Sigmoid": "Silu", "HardSigmoid": "HardSwish"}
"""ONNX type of f -> kind of the layer x * f(x)."""


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
        """The node that consumes the layer's inputs."""
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

    @property
    def quantizes_constants(self) -> bool:
        """Whether constant operands of its first node are quantized like features."""
        record = BY_ONNX_TYPE.get(self.first.op_type)
        return record is not None and record.constant_operands

    def weighted(self, graph: Graph) -> bool:
        """Whether it multiplies its input by a constant weight."""
        return self.first.op_type in WEIGHTED and self.first.input[1] in graph.constants

    def operands(self, graph: Graph) -> list[str]:
        """Inputs that are features: computed float tensors, and constants that are quantized like them."""
        names = [name for name in self.first.input if name in graph.float_names]
        if self.quantizes_constants and not self.gated:
            names = [name for name in self.first.input if name]
        return names


def find_layers(graph: Graph, soc: SocConfig) -> list[Layer]:
    """Group the nodes into layers, in the order of their last nodes.

    Raises:
        UserError: for a node without a name of its own, by which layers are told apart; export gives each node one.
    """
    _require_names(graph)
    follower: dict[str, tuple[str, onnx.NodeProto]] = {}
    bit_widths = soc.bit_widths
    for node in graph.nodes:
        after = _only_consumer(graph, node)
        if after is None:
            continue
        gate = GATED_KINDS.get(node.op_type)
        if (
            gate in bit_widths
            and after.op_type == "Mul"
            and _gates(node, soc)
            and sorted(after.input) == sorted((node.input[0], *node.output))
        ):
            follower[node.name] = (str(gate), after)
        elif _fuses_clamp(node) and after.op_type in CLAMP_TYPES & set(soc.fused_activations) and bounded(graph, after):
            if soc.follows_converter and clamp_bounds(graph, after)[0] != 0.0:
                continue  # it runs by itself
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


def _gates(node: onnx.NodeProto, soc: SocConfig) -> bool:
    """Whether a function is one whose product with its input is a layer: TPU-MLIR knows HardSwish's own slope alone."""
    if node.op_type != "HardSigmoid" or not soc.follows_converter:
        return True
    return bool(np.isclose(attribute(node, "alpha", 0.2), 1 / 6) and attribute(node, "beta", 0.5) == 0.5)


def _require_names(graph: Graph) -> None:
    seen: set[str] = set()
    for node in graph.nodes:
        if not node.name or node.name in seen:
            fault = f"the name {node.name}, which another node has too" if node.name else "no name"
            what = f"the {node.op_type} that computes {node.output[0]}"
            raise UserError(f"{what} has {fault}: run `dvc repro export`, which names all")
        seen.add(node.name)


def _kind(graph: Graph, node: onnx.NodeProto) -> str:
    return "DepthwiseConv" if graph.is_depthwise(node) else str(node.op_type)


def _only_consumer(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """The only consumer of a node's only output, if it has one."""
    if len(node.output) != 1 or node.output[0] in graph.outputs or node.output[0] in graph.captured:
        return None
    consumers = graph.consumers.get(node.output[0], [])
    return consumers[0] if len(consumers) == 1 else None


def _fuses_clamp(node: onnx.NodeProto) -> bool:
    """Whether the operator's end clamp serves as a Relu or Clip."""
    record = BY_ONNX_TYPE.get(node.op_type)
    return record is not None and record.fuses_clamp


def head_layers(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Find a detector's head: the last weighted layers before each output and all layers after them.

    Returns:
        Names of layers. Source: Sophgo's calibration guide, which keeps "the last three convolution layers and
        everything after" of a YOLO in float.
    """
    producers = {name: layer for layer in layers for node in layer.nodes for name in node.output}
    head: set[str] = set()
    pending = list(graph.outputs)
    while pending:
        layer = producers.get(pending.pop())
        if layer is None or layer.name in head:
            continue
        head.add(layer.name)
        if layer.first.op_type not in WEIGHTED:
            pending.extend(name for name in layer.first.input if name)
    return head


def layers_until(layers: Sequence[Layer], nodes: Collection[str]) -> set[str]:
    """Find the layers of some nodes and all layers that they follow from.

    Args:
        layers: of the network, in graph order.
        nodes: names.

    Returns:
        Names of layers.
    """
    found, needed = set[str](), set[str]()
    for layer in reversed(layers):
        outputs = {name for node in layer.nodes for name in node.output}
        if not outputs.isdisjoint(needed) or not {node.name for node in layer.nodes}.isdisjoint(nodes):
            found.add(layer.name)
            needed.update(name for node in layer.nodes for name in node.input)
    return found


def first_and_last_layers(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Find the first and the last weighted layers.

    The first are those that a network input reaches without passing another weighted layer, the last those that
    reach a network output so.

    Returns:
        Names of layers.
    """
    names: set[str] = set()
    from_inputs, to_outputs = set(graph.inputs), set(graph.outputs)
    for layer in layers:
        if not from_inputs.isdisjoint(_inputs_of(layer)):
            if layer.weighted(graph):
                names.add(layer.name)
            else:
                from_inputs.update(layer.nodes[-1].output)
    for layer in reversed(layers):
        if not to_outputs.isdisjoint(layer.nodes[-1].output):
            if layer.weighted(graph):
                names.add(layer.name)
            else:
                to_outputs.update(_inputs_of(layer))
    return names


def _inputs_of(layer: Layer) -> set[str]:
    """All inputs of a layer's nodes, also inside the body of a Loop or If."""
    return {name for node in layer.nodes for name in (*node.input, *captured_names(node)) if name}
