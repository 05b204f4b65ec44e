"""Deciding what is quantized, at which width: from the graph, the SOC's operators and the wanted bits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx

from stages.core.config import QuantConfig, SocConfig
from stages.core.errors import UserError
from stages.core.graph import Graph, attribute

__all__ = ["FeaturePlace", "Placement", "WeightPlace", "nearest_width", "place"]

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
FUSES = WEIGHTED | {"Add"}  # operators that take an activation in
# Operators that may take a constant which is neither weight nor bias.
TAKES_CONSTANTS = {"Add", "Concat", "Div", "MatMul", "Max", "Min", "Mul", "PRelu", "Sub"}
# Operators whose output codes are input codes: they need no parameters of their own.
PASS_CODES = {
    "DepthToSpace", "Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip


@dataclass(frozen=True)
class FeaturePlace:
    """A tensor to quantize: at `bits`, with the range of tensor `source` (itself unless its codes are passed on)."""

    tensor: str
    node: str
    bits: int
    source: str


@dataclass(frozen=True)
class WeightPlace:
    """A weight to quantize: `axis` is its output-channel axis."""

    tensor: str
    node: str
    bits: int
    axis: int


@dataclass(frozen=True)
class Placement:
    """Everything to quantize, in graph order, and what deserves a line in the report."""

    features: list[FeaturePlace]
    weights: list[WeightPlace]
    notes: list[str]


def nearest_width(wanted: int, allowed: Iterable[int]) -> int:
    """Give the narrowest allowed width that holds the wanted one, or the widest allowed if none does."""
    widths = sorted(allowed)
    return next((width for width in widths if width >= wanted), widths[-1])


def place(graph: Graph, soc: SocConfig, quant: QuantConfig) -> Placement:
    """Place quantizers.

    A tensor is quantized if an operator that runs in integers makes or takes it, except inside a fused layer and, on a
    SOC with float outputs, where a weighted operator ends the network. Of the widths that all
    those operators can do it gets the narrowest that holds the wanted one, else the widest.

    Raises:
        UserError: if the SOC's operators around a tensor share no width.
    """
    operators = {node.name: _operator(graph, node) for node in graph.nodes}
    integer = {name for name, kind in operators.items() if kind in soc.operators and soc.operators[kind].feature_bits}
    fused = _fused_layers(graph, soc, integer)
    inside = {node.output[0] for node in fused.values()}
    owners = {name: graph.producers[name].name for name in graph.float_tensors if name in graph.producers}

    def touching(tensor: str) -> list[str]:
        """Integer operators that make or take a tensor; a fused layer has two that make it."""
        made = [graph.producers[tensor]] if tensor in graph.producers else []
        made += [fused[node.name] for node in made if node.name in fused]
        if soc.float_outputs and tensor in graph.outputs and any(node.op_type in WEIGHTED for node in made):
            made = []
        return [node.name for node in (*made, *graph.consumers.get(tensor, [])) if node.name in integer]

    quantized = [tensor for tensor in graph.float_tensors if tensor not in inside and touching(tensor)]
    sources = _code_sources(graph, quantized, integer)
    common: dict[str, set[int]] = {}
    for tensor in quantized:
        for name in touching(tensor):
            widths = set(soc.operators[operators[name]].feature_bits)
            common[sources[tensor]] = common.get(sources[tensor], widths) & widths
            if not common[sources[tensor]]:
                raise UserError(f"the {soc.name}'s operators around {tensor!r} share no feature width (conf/soc)")
    bits = {source: nearest_width(quant.feature_bits, widths) for source, widths in common.items()}
    features = [FeaturePlace(t, owners.get(t, t), bits[sources[t]], sources[t]) for t in quantized]
    weights = [
        WeightPlace(
            node.input[1], node.name, nearest_width(quant.weight_bits, weight_widths), _channel_axis(graph, node)
        )
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.name in integer and node.input[1] in graph.constants
        if (weight_widths := soc.operators[operators[node.name]].weight_bits)
    ]
    return Placement(features, weights, _notes(graph, soc, quant, integer, features, weights))


def _operator(graph: Graph, node: onnx.NodeProto) -> str:
    return "DepthwiseConv" if graph.is_depthwise(node) else str(node.op_type)


def _fused_layers(graph: Graph, soc: SocConfig, integer: set[str]) -> dict[str, onnx.NodeProto]:
    """Map each activation that the SOC folds into the operator before to that operator."""
    fused = {}
    for node in graph.nodes:
        if node.op_type not in soc.fused_activations or not node.input:
            continue
        producer = graph.producers.get(node.input[0])
        alone = len(graph.consumers.get(node.input[0], [])) == 1 and node.input[0] not in graph.outputs
        if producer is not None and producer.op_type in FUSES and producer.name in integer and alone:
            fused[node.name] = producer
    return fused


def _code_sources(graph: Graph, quantized: Sequence[str], integer: set[str]) -> dict[str, str]:
    """Map each quantized tensor to the one whose codes it passes on (itself for most)."""
    sources: dict[str, str] = {}
    for tensor in quantized:
        producer = graph.producers.get(tensor)
        passes = producer is not None and producer.op_type in PASS_CODES and producer.name in integer
        origin = producer.input[0] if passes and producer is not None else tensor
        sources[tensor] = sources.get(origin, tensor)
    return sources


def _channel_axis(graph: Graph, node: onnx.NodeProto) -> int:
    """The weight's axis that counts output channels."""
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) - 1
    return 0


def _notes(
    graph: Graph,
    soc: SocConfig,
    quant: QuantConfig,
    integer: set[str],
    features: Sequence[FeaturePlace],
    weights: Sequence[WeightPlace],
) -> list[str]:
    """Lines for the report: what runs in float, and what runs narrower or wider than wanted."""
    makes_float = {graph.producers[t].name for t in graph.float_tensors if t in graph.producers}
    notes = [
        f"{node.name} ({node.op_type}) runs in float: the {soc.name} has no integer {node.op_type}"
        for node in graph.nodes
        if node.name not in integer and node.name in makes_float
    ]
    weighted = {place.tensor for place in weights}
    notes += [
        f"{node.name} ({node.op_type}) keeps its constant operand {name} in float"
        for node in graph.nodes
        if node.name in integer and node.op_type in TAKES_CONSTANTS
        for name in node.input
        if name in graph.constants and name not in weighted
    ]
    notes += [
        f"{place.tensor} has {place.bits}-bit codes, not {quant.feature_bits}: no width nearer to it serves all "
        f"operators around it on the {soc.name}"
        for place in features
        if place.bits != quant.feature_bits
    ]
    notes += [
        f"{place.node} has {place.bits}-bit weights, not {quant.weight_bits}: the {soc.name} does "
        f"{', '.join(map(str, soc.operators[_operator(graph, node)].weight_bits))} bits there"
        for place in weights
        for node in graph.nodes
        if node.name == place.node and place.bits != quant.weight_bits
    ]
    return notes
