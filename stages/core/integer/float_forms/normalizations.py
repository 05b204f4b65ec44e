"""Normalizations, written as means, differences, a root and a quotient."""

from collections.abc import Sequence

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Rewriter, Rule

__all__ = ["RULES"]

MEAN_VARIANCE_EPSILON = 1e-9
RMS_EPSILON = LAYER_EPSILON = 1e-5


def _normalized(to: Rewriter, x: str, axes: Sequence[int], epsilon: float) -> tuple[str, str, str]:
    """(x - mean) / sqrt(variance + epsilon); gives it, the mean, and 1 / that root."""
    mean = to.reduce("ReduceMean", x, axes)
    centred = to.op("Sub", x, mean)
    variance = to.reduce("ReduceMean", to.op("Mul", centred, centred), axes)
    root = to.op("Sqrt", to.op("Add", variance, np.float32(epsilon)))
    return to.op("Div", centred, root), mean, root


def _scaled(to: Rewriter, node: onnx.NodeProto, normalized: str, shape: Sequence[int]) -> None:
    """Times the node's scale, plus its bias, both of a shape that broadcasts."""
    parts = [normalized]
    for index, kind in ((1, "Mul"), (2, "Add")):
        if to.has(node, index):
            value = to.value(node, index)
            operand = node.input[index] if value is None else value.reshape(shape)
            operand = to.reshape(operand, shape) if isinstance(operand, str) and shape else operand
            last = index == 2 or not to.has(node, 2)
            parts.append(to.op(kind, parts[-1], operand, y=node.output[0] if last else ""))


def _batch(to: Rewriter, node: onnx.NodeProto) -> None:
    """A factor and a term a channel, rounded once."""
    shape, values = to.shape(node.input[0]), [to.value(node, index) for index in range(1, 5)]
    if shape is None or any(value is None for value in values) or attribute(node, "training_mode", 0):
        to.keep(node)
        return
    scale, bias, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", LAYER_EPSILON))
    along = [-1, *[1] * (len(shape) - 2)]
    product = to.op("Mul", node.input[0], factor.astype(np.float32).reshape(along))
    to.op("Add", product, (bias - mean * factor).astype(np.float32).reshape(along), y=node.output[0])


def _instance(to: Rewriter, node: onnx.NodeProto) -> None:
    shape = to.shape(node.input[0])
    if shape is None:
        to.keep(node)
        return
    epsilon = attribute(node, "epsilon", LAYER_EPSILON)
    normalized, _, _ = _normalized(to, node.input[0], range(2, len(shape)), epsilon)
    _scaled(to, node, normalized, [-1, *[1] * (len(shape) - 2)])


def _layer(to: Rewriter, node: onnx.NodeProto) -> None:
    shape = to.shape(node.input[0])
    if shape is None:
        to.keep(node)
        return
    axis = attribute(node, "axis", -1) % len(shape)
    epsilon = attribute(node, "epsilon", LAYER_EPSILON)
    normalized, mean, root = _normalized(to, node.input[0], range(axis, len(shape)), epsilon)
    _scaled(to, node, normalized, shape[axis:])
    for index, tensor in ((1, mean), (2, root)):
        if len(node.output) > index and node.output[index]:
            parts = (tensor,) if index == 1 else (np.float32(1), tensor)
            to.op("Identity" if index == 1 else "Div", *parts, y=node.output[index])


def _rms(to: Rewriter, node: onnx.NodeProto) -> None:
    x, shape = node.input[0], to.shape(node.input[0])
    if shape is None:
        to.keep(node)
        return
    axis = attribute(node, "axis", -1) % len(shape)
    square = to.reduce("ReduceMean", to.op("Mul", x, x), range(axis, len(shape)))
    root = to.op("Sqrt", to.op("Add", square, np.float32(attribute(node, "epsilon", RMS_EPSILON))))
    _scaled(to, node, to.op("Div", x, root), shape[axis:])


def _group(to: Rewriter, node: onnx.NodeProto) -> None:
    """Groups of channels become rows; from opset 21 on each channel has its scale, before each group."""
    x, shape, groups = node.input[0], to.shape(node.input[0]), attribute(node, "num_groups")
    if shape is None:
        to.keep(node)
        return
    rows = to.reshape(x, [shape[0], groups, -1])
    normalized, _, _ = _normalized(to, rows, [2], attribute(node, "epsilon", LAYER_EPSILON))
    scale = to.shape(node.input[1])
    if scale == [shape[1]]:
        _scaled(to, node, to.reshape(normalized, shape), [-1, *[1] * (len(shape) - 2)])
        return
    parts = [normalized]
    for index, kind in ((1, "Mul"), (2, "Add")):
        parts.append(to.op(kind, parts[-1], to.reshape(node.input[index], [-1, 1])))
    to.reshape(parts[-1], shape, y=node.output[0])


def _mean_variance(to: Rewriter, node: onnx.NodeProto) -> None:
    x, axes = node.input[0], attribute(node, "axes", [0, 2, 3])
    centred = to.op("Sub", x, to.reduce("ReduceMean", x, axes))
    variance = to.reduce("ReduceMean", to.op("Mul", centred, centred), axes)
    to.op("Div", centred, to.op("Add", to.op("Sqrt", variance), np.float32(MEAN_VARIANCE_EPSILON)), y=node.output[0])


RULES: dict[str, Rule] = {
    "BatchNormalization": _batch,
    "InstanceNormalization": _instance,
    "LayerNormalization": _layer,
    "RMSNormalization": _rms,
    "GroupNormalization": _group,
    "MeanVarianceNormalization": _mean_variance,
}
