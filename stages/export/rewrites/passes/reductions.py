"""Sums and extremes over axes, as means and pools."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["max_as_pool", "sum_as_mean", "without_empty_axes"]

AXES_ARE_INPUTS = 18
"""From this opset on ReduceMean has its axes as an input."""


def sum_as_mean(match: Match) -> list[onnx.NodeProto] | None:
    """Write a sum over axes as their mean, times their number."""
    node, shape = match.node, match.shape(match.node.input[0])
    axes = match.axes(node)
    if not axes or shape is None or not match.is_float(node.input[0]):
        return None
    keepdims = attribute(node, "keepdims", 1)
    if match.opset < AXES_ARE_INPUTS:
        mean = match.add("ReduceMean", [node.input[0]], "mean", axes=axes, keepdims=keepdims)
    else:
        mean = match.add("ReduceMean", [node.input[0], match.value("axes", axes)], "mean", keepdims=keepdims)
    count = float(np.prod([shape[axis] for axis in axes]))
    return match.finish("Mul", [mean, match.value("count", count)])


def without_empty_axes(match: Match) -> list[onnx.NodeProto] | None:
    """Leave out a constant list of no axes: it says that all are reduced, or none at all."""
    node = match.node
    axes = match.constant(match.input(1))
    if axes is None or axes.size or not match.is_float(node.input[0]):
        return None
    if attribute(node, "noop_with_empty_axes", 0):
        return match.finish("Identity", [node.input[0]])
    return match.finish(node.op_type, [node.input[0]], keepdims=attribute(node, "keepdims", 1))


def max_as_pool(match: Match) -> list[onnx.NodeProto] | None:
    """Write the largest value over all axes behind the channels as GlobalMaxPool."""
    node, shape = match.node, match.shape(match.node.input[0])
    if shape is None or len(shape) < 3 or match.axes(node) != list(range(2, len(shape))):
        return None
    if not match.is_float(node.input[0]):
        return None
    if attribute(node, "keepdims", 1):
        return match.finish("GlobalMaxPool", [node.input[0]])
    pooled = match.add("GlobalMaxPool", [node.input[0]], "pool")
    return match.finish("Reshape", [pooled, match.value("sizes", shape[:2])])
