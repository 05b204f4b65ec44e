"""What each layer of a network does: multiplications and elements moved, for a SOC's cost model."""

import math
from collections.abc import Iterable, Sequence

import onnx

from stages.core.cost import LayerWork
from stages.core.graph import Graph, attribute
from stages.quantize.layers import Layer

__all__ = ["layer_work"]

VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
"""Operators that name the same memory anew."""


def layer_work(graph: Graph, layers: Sequence[Layer]) -> list[LayerWork]:
    """Count what layers do, one entry a layer, in their order.

    A tensor without a static shape counts nothing; export writes none of floats.
    """
    return [_work(graph, layer) for layer in layers]


def _work(graph: Graph, layer: Layer) -> LayerWork:
    node = layer.first
    weight = node.input[1] if layer.weighted(graph) else None
    moves = node.op_type not in VIEWS
    taken = [name for name in dict.fromkeys(layer.operands(graph)) if name != weight]
    return LayerWork(
        layer.name,
        layer.kind,
        _macs(graph, node),
        _elements(graph, taken) if moves else 0,
        _elements(graph, filter(None, layer.nodes[-1].output)) if moves else 0,
        0 if weight is None else math.prod(graph.constants[weight].dims),
    )


def _macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiplications of one picture; zeros in padding count, as in the board's log."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    shapes = [_shape(graph, name) for name in (*node.input[:2], node.output[0])]
    if any(shape is None for shape in shapes):
        return 0
    taken, weight, made = (shape or [] for shape in shapes)
    if node.op_type == "Conv":
        return math.prod(made) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(taken) * math.prod(weight[1:])
    axis = 0 if node.op_type == "Gemm" and attribute(node, "transA", 0) else -1
    return math.prod(made) * taken[axis]


def _elements(graph: Graph, names: Iterable[str]) -> int:
    return sum(math.prod(shape) for shape in (_shape(graph, name) for name in names) if shape is not None)


def _shape(graph: Graph, name: str) -> list[int] | None:
    constant = graph.constants.get(name)
    return graph.shapes.get(name) if constant is None else list(constant.dims)
