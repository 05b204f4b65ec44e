"""YOLOX's graph with its decoding: what many exporters write, and what eight bits cannot hold."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["STRIDES", "decoded_graph"]

STRIDES = (8, 16, 32)


def decoded_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a graph of raw YOLOX outputs decode: boxes in pixels and scores side by side in its output.

    Args:
        model: with one picture [1, 3, H, W] as input and one output [1, anchors, 5 + classes]: offset x, y, logarithm
            of width, height, then probabilities; anchors row by row, the finest grid first. Not changed.

    Returns:
        A copy whose output `decoded`, [1, anchors, 5 + classes], has centre x, y, width, height in pixels of the input
        and the same probabilities.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim[2:])
    (raw,) = graph.output
    columns = raw.type.tensor_type.shape.dim[2].dim_value
    cells, strides = _cells(height, width)
    parts = np.array([2, 2, columns - 4], np.int64)
    graph.initializer.extend(
        numpy_helper.from_array(value, f"decoding_{name}")
        for name, value in (("cells", cells), ("strides", strides), ("parts", parts))
    )
    for node in (
        helper.make_node("Split", [raw.name, "decoding_parts"], ["offsets", "logarithms", "probabilities"], axis=2),
        helper.make_node("Add", ["offsets", "decoding_cells"], ["places"]),
        helper.make_node("Mul", ["places", "decoding_strides"], ["centres"]),
        helper.make_node("Exp", ["logarithms"], ["ratios"]),
        helper.make_node("Mul", ["ratios", "decoding_strides"], ["sizes"]),
        helper.make_node("Concat", ["centres", "sizes", "probabilities"], ["decoded"], axis=2),
    ):
        node.name = f"decoding_{node.output[0]}"
        graph.node.append(node)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("decoded", TensorProto.FLOAT, [1, cells.shape[1], columns]))
    onnx.checker.check_model(changed)
    return changed


def _cells(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of each anchor's cell, [1, anchors, 2], and its stride, [1, anchors, 1]."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells)[np.newaxis].astype(np.float32), np.concatenate(strides)[np.newaxis].astype(np.float32)
