"""Constants in the one form that all of export looks for: initializers that are no inputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, numpy_helper

__all__ = ["constant_values", "initializer_inputs", "to_initializers"]

NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""Attributes of Constant that hold plain numbers -> the type of the tensor that they stand for."""


def to_initializers(model: onnx.ModelProto) -> None:
    """Turn Constant nodes and sparse initializers into initializers, in place; an output of the network stays a node.

    Text and what the bodies of If, Loop and Scan hold stay as they are.
    """
    graph = model.graph
    outputs = {info.name for info in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        tensor = _tensor(node) if node.op_type == "Constant" and node.output[0] not in outputs else None
        if tensor is None:
            kept.append(node)
        else:
            graph.initializer.append(tensor)
    if len(kept) < len(graph.node):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
    for sparse in graph.sparse_initializer:
        graph.initializer.append(numpy_helper.from_array(_dense(sparse), sparse.values.name))
    del graph.sparse_initializer[:]


def initializer_inputs(model: onnx.ModelProto) -> None:
    """Take initializers out of the inputs, in place: before IR version 4 each had to be one."""
    constants = {tensor.name for tensor in model.graph.initializer}
    if not any(info.name in constants for info in model.graph.input):
        return
    kept = [
        onnx.ValueInfoProto.FromString(info.SerializeToString())
        for info in model.graph.input
        if info.name not in constants
    ]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def constant_values(model: onnx.ModelProto) -> Mapping[str, NDArray[Any]]:
    """Values of the initializers of at most rank 1: sizes, axes, scales, slopes."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if len(tensor.dims) <= 1}


def _tensor(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node under the name of its output; None for text."""
    attribute: AttributeProto
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(attribute.t)
            tensor.name = node.output[0]
            return tensor
        if attribute.name == "sparse_value":
            return numpy_helper.from_array(_dense(attribute.sparse_tensor), node.output[0])
        if attribute.name in NUMBERS:
            value = onnx.helper.get_attribute_value(attribute)
            return numpy_helper.from_array(np.array(value, NUMBERS[attribute.name]), node.output[0])
    return None


def _dense(sparse: onnx.SparseTensorProto) -> NDArray[Any]:
    """A sparse tensor's values in place; its indices are flat, or one a dimension."""
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(list(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense
