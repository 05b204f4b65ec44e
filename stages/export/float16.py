"""Networks in half precision (float16), as many exporters write them on request: read as float32."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, numpy_helper

__all__ = ["has_float16", "in_float32"]

TYPE_ATTRIBUTES = {"to", "dtype"}
"""Attributes whose number is a tensor's type: of Cast, and of operators that make numbers."""


def has_float16(model: onnx.ModelProto) -> bool:
    """Whether an input, a weight or a constant is float16."""
    types = {info.type.tensor_type.elem_type for info in model.graph.input}
    for graph in _graphs(model.graph):
        types.update(tensor.data_type for tensor in graph.initializer)
        types.update(attribute.t.data_type for node in graph.node for attribute in node.attribute)
    return TensorProto.FLOAT16 in types


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give a network whose float16 tensors are float32.

    Weights keep their values, which float32 has too; features are no longer rounded to float16.

    Args:
        model: not changed.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for graph in _graphs(changed.graph):
        for tensor in graph.initializer:
            _widen(tensor)
        for info in (*graph.input, *graph.output, *graph.value_info):
            if info.type.tensor_type.elem_type == TensorProto.FLOAT16:
                info.type.tensor_type.elem_type = TensorProto.FLOAT
        for node in graph.node:
            for attribute in node.attribute:
                _widen_attribute(attribute)
    return changed


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those in its nodes' attributes, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.type == AttributeProto.GRAPH else [])):
                yield from _graphs(inner)


def _widen_attribute(attribute: onnx.AttributeProto) -> None:
    if attribute.type == AttributeProto.TENSOR:
        _widen(attribute.t)
    if attribute.name in TYPE_ATTRIBUTES and attribute.type == AttributeProto.INT:
        attribute.i = TensorProto.FLOAT if attribute.i == TensorProto.FLOAT16 else attribute.i


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
