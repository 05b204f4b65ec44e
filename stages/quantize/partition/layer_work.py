"""What each layer of a network does: multiplications and elements moved, for a SOC's cost model."""

import math
from collections.abc import Iterable, Sequence

import onnx

from stages.core.cost import LayerWork
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators import BY_KIND, BY_ONNX_TYPE, VIEWS
from stages.quantize.partition.layers import Layer

__all__ = ["folded", "layer_work"]


def layer_work(graph: Graph, layers: Sequence[Layer]) -> list[LayerWork]:
    """Count the work of layers, in their order.

    An activation that is folded into the weighted layer before it (`folded`) adds none. A tensor without a static shape
    counts as none; export writes no such float tensors.
    """
    inside = folded(graph, layers)
    return [_work(graph, layer, layer.name in inside) for layer in layers]


def folded(graph: Graph, layers: Sequence[Layer]) -> dict[str, str]:
    """Find activations that run inside the weighted layer before them, whose output has no other consumer.

    Their codes are counted and simulated as layers of their own; on the unit they are a table in the loop over tiles.
    Source: the vendor's runtime lists relu, relu6, prelu, leaky_relu, tanh, silu, sigmoid, swish as fused; for a T41
    the open runtime's manual (third party) says so of SiLU.

    Returns:
        The activation's layer -> the weighted layer.
    """
    producers = {layer.output: layer for layer in layers}
    inside = {}
    for layer in layers:
        before = producers.get(layer.first.input[0]) if _is_activation(layer) else None
        if before is None or not before.weighted(graph):
            continue
        shared = before.output in graph.outputs or before.output in graph.captured
        consumers = [node.name for node in graph.consumers.get(before.output, [])]
        if not shared and {*consumers} <= {*layer.names}:
            inside[layer.name] = before.name
    return inside


def _work(graph: Graph, layer: Layer, inside: bool) -> LayerWork:
    node = layer.first
    weight = node.input[1] if layer.weighted(graph) else None
    outputs = _elements(graph, filter(None, layer.nodes[-1].output))
    inputs = _elements(graph, (name for name in dict.fromkeys(layer.operands(graph)) if name != weight))
    if node.op_type in VIEWS or inside:
        inputs = outputs = 0
    elif node.op_type == "Slice":
        inputs = outputs  # elements that it leaves out are not read
    return LayerWork(
        layer.name,
        layer.kind,
        _multiplications(graph, node),
        inputs,
        outputs,
        math.prod(graph.constants[weight].dims) if weight else 0,
    )


def _multiplications(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiplications of one picture; zeros in padding count, as in the board's log."""
    record = BY_ONNX_TYPE.get(node.op_type)
    shapes = [_shape(graph, name) for name in (*node.input[:2], node.output[0])]
    if record is None or not record.weighted or None in shapes:
        return 0
    x, weight, y = (shape or [] for shape in shapes)
    transposed = node.op_type == "Gemm" and attribute(node, "transA", 0)
    return record.multiplications(x[::-1] if transposed else x, weight, y)


def _is_activation(layer: Layer) -> bool:
    return layer.kind in BY_KIND and BY_KIND[layer.kind].activation


def _elements(graph: Graph, names: Iterable[str]) -> int:
    return sum(math.prod(shape) for shape in (_shape(graph, name) for name in names) if shape is not None)


def _shape(graph: Graph, name: str) -> list[int] | None:
    constant = graph.constants.get(name)
    return graph.shapes.get(name) if constant is None else list(constant.dims)
