"""Networks in another precision, float16 as many exporters write on request or float64: read as float32."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

from stages.core.graph.onnx_graph import attribute

__all__ = ["in_float32", "other_precision"]

HALF_TYPES = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
FLOAT_TYPES = {*HALF_TYPES, TensorProto.DOUBLE}
"""Types that become float32."""
TYPE_ATTRIBUTES = {"to", "dtype"}
"""Attributes whose number is a tensor's type: of Cast, and of operators that make numbers."""


def other_precision(model: onnx.ModelProto) -> str | None:
    """The precision that a network is in, if it is not float32.

    Returns:
        float64 if an input is, float16 or bfloat16 if an input, a weight or a constant is; None for others. A network
        that computes in float64 between its float32 inputs and outputs is "float64 in places".
    """
    inputs = {info.type.tensor_type.elem_type for info in model.graph.input}
    types = set(inputs)
    for graph in _graphs(model.graph):
        types.update(tensor.data_type for tensor in graph.initializer)
        types.update(each.t.data_type for node in graph.node for each in node.attribute)
    if TensorProto.DOUBLE in inputs:
        return "float64"
    half = next((name for kind, name in HALF_TYPES.items() if kind in types), None)
    return half or ("float64 in places" if TensorProto.DOUBLE in types or _casts_to_double(model) else None)


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a network whose floats are all float32.

    Weights of half precision keep their values, which float32 has too; features are no longer rounded to it. Weights
    of float64 are rounded to float32.

    Args:
        model: not changed.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for graph in _graphs(changed.graph):
        for tensor in graph.initializer:
            _widen(tensor)
        for info in (*graph.input, *graph.output, *graph.value_info):
            if info.type.tensor_type.elem_type in FLOAT_TYPES:
                info.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for each in node.attribute:
                _widen_attribute(each)
    return changed


def _casts_to_double(model: onnx.ModelProto) -> bool:
    nodes = (node for graph in _graphs(model.graph) for node in graph.node if node.op_type == "Cast")
    return any(attribute(node, "to") == TensorProto.DOUBLE for node in nodes)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those in its nodes' attributes, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for each in node.attribute:
            for inner in (*each.graphs, *([each.g] if each.type == AttributeProto.GRAPH else [])):
                yield from _graphs(inner)


def _widen_attribute(changed: onnx.AttributeProto) -> None:
    if changed.type == AttributeProto.TENSOR:
        _widen(changed.t)
    if changed.name in TYPE_ATTRIBUTES and changed.type == AttributeProto.INT:
        changed.i = TensorProto.FLOAT if changed.i in FLOAT_TYPES else changed.i


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in FLOAT_TYPES:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
