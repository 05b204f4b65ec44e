"""Transposes before a flattened part: fully connected layers of networks from TensorFlow."""

import numpy as np
import onnx
from onnx import helper

from stages.core.graph.onnx_graph import Graph, attribute
from stages.export.layout.nodes import add_constant, replace_nodes
from stages.export.layout.regions import perm_of

__all__ = ["reorder_weight"]


def reorder_weight(model: onnx.ModelProto, graph: Graph, transpose: onnx.NodeProto) -> bool:
    """Reorder the weight of a matrix product instead of its input, where a Transpose is flattened in between.

    Args:
        model: changed in place.
        graph: a view of it.
        transpose: a Transpose of it.

    Returns:
        Whether the Transpose could be removed so.
    """
    perm, source = perm_of(graph, transpose), transpose.input[0]
    flat = _only_consumer(graph, transpose.output[0], {"Reshape", "Flatten"})
    product = None if flat is None else _only_consumer(graph, flat.output[0], {"MatMul", "Gemm"})
    if flat is None or product is None or source not in graph.shapes or perm[:1] != [0]:
        return False
    sizes, weight = graph.shapes[source], graph.constant(product.input[1])
    rows = int(np.prod(sizes[1:]))
    fits = product.input[0] == flat.output[0] and not attribute(product, "transA", 0)
    if not fits or weight is None or weight.ndim != 2 or graph.shapes.get(flat.output[0]) != [sizes[0], rows]:
        return False
    order = np.arange(rows).reshape(sizes[1:]).transpose([axis - 1 for axis in perm[1:]]).ravel()
    axis = 1 if attribute(product, "transB", 0) else 0
    reordered = weight.take(np.argsort(order), axis)
    product.input[1] = add_constant(model, graph, f"{product.output[0]}/reordered", reordered)
    to = add_constant(model, graph, f"{flat.output[0]}/sizes", np.array([sizes[0], rows], np.int64))
    flat.CopyFrom(helper.make_node("Reshape", [source, to], list(flat.output), name=flat.name))
    replace_nodes(model, [node for node in graph.nodes if node.output[0] != transpose.output[0]])
    return True


def _only_consumer(graph: Graph, tensor: str, kinds: set[str]) -> onnx.NodeProto | None:
    """The only node that reads a tensor, if it is one of these operators."""
    consumers = graph.consumers.get(tensor, [])
    if len(consumers) != 1 or tensor in graph.outputs or tensor in graph.captured:
        return None
    return consumers[0] if consumers[0].op_type in kinds else None
