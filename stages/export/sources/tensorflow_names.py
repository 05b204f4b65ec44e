"""Names of nodes that tf2onnx has made, as the layers of the source are called.

tf2onnx numbers what it adds (`conv/Conv2D__8`), or gives it no more than its type (`Conv__84`). TFLite's converter
joins the names of the operators that it fuses (`re_lu/Relu;bn/FusedBatchNorm;conv/Conv2D`), the last computed first.
"""

import re
from collections.abc import Mapping

import onnx

from stages.core.graph.onnx_graph import Graph

__all__ = ["name_nodes"]

WORDS: Mapping[str, tuple[str, ...]] = {
    "Clip": ("relu6", "clip", "minimum", "maximum"),
    "Conv": ("conv", "depthwise"),
    "ConvTranspose": ("conv", "deconv"),
    "DequantizeLinear": ("quant",),
    "Gemm": ("matmul", "dense"),
    "MatMul": ("matmul", "dense", "einsum"),
    "QuantizeLinear": ("quant",),
    "Relu": ("relu",),
    "Transpose": ("transpose",),
}
"""What TensorFlow's names of these operators have in them; a name without it is another operator's."""
NUMBER = re.compile(r"(?:__\d+|:\d+|_Gemm|_prequant|_dequant)+$")
"""What tf2onnx adds to a name."""
CALLS = re.compile(r"(?:^|(?<=/))(?:Stateful)?PartitionedCall(?:_\d+)?/")
CONSTANT = re.compile(r"/(?:merged_input|ReadVariableOp|read|kernel|weights)(?:_\d+)?$")
ADDED = re.compile(r"^(?:\w+|Func/.*)$")
"""Names without a layer: a type alone, or an argument of a function."""


def name_nodes(model: onnx.ModelProto) -> None:
    """Name each node as its layer; one that shares a layer's name ends with its own type.

    Args:
        model: what tf2onnx makes; changed in place.
    """
    graph = Graph(model)
    nodes = list(model.graph.node)
    # a node with a layer's very name has the first right to it
    nodes.sort(key=lambda node: bool(NUMBER.search(node.name)) or not _layer(node.name))
    names: dict[str, str] = {}
    used: set[str] = set()
    for node in nodes:
        base = _layer(node.name) or _layer(node.output[0]) or _neighbour(graph, node, names) or node.op_type
        words = WORDS.get(node.op_type)
        foreign = words is not None and not any(word in base.rpartition("/")[2].lower() for word in words)
        name = unique = f"{base}/{node.op_type}" if (foreign or base in used) and base != node.op_type else base
        count = 1
        while unique in used:
            count += 1
            unique = f"{name}_{count}"
        used.add(unique)
        node.name = names[node.output[0]] = unique


def _layer(text: str) -> str:
    """The layer in a name; "" if there is none."""
    name = CALLS.sub("", NUMBER.sub("", text)).partition(";")[0]
    return "" if ADDED.fullmatch(name) and (NUMBER.search(text) or name.startswith("Func/")) else name


def _neighbour(graph: Graph, node: onnx.NodeProto, names: Mapping[str, str]) -> str:
    """The layer next to a node that has no name of its own: that of its weight, its input, or its only consumer."""
    words = WORDS.get(node.op_type, (node.op_type.lower(),))
    weight = _layer(node.input[1]) if len(node.input) > 1 and node.input[1] in graph.constants else ""
    given = _layer(node.input[0]) if node.input else ""
    for name in (CONSTANT.sub("", weight), given):
        if any(word in name.rpartition("/")[2].lower() for word in words):
            return name
    consumers = graph.consumers.get(node.output[0], [])
    after = _layer(consumers[0].name) if len(consumers) == 1 else ""
    return after or given or (names.get(node.input[0], "") if node.input else "")
