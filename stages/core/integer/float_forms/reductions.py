"""Sums, means and norms over axes, and what is made of them: softmax and its kin, running sums, one-hot vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Array, Rewriter, Rule

__all__ = ["RULES", "reduced_axes"]


def reduced_axes(to: Rewriter, node: onnx.NodeProto) -> list[int] | None:
    """The axes over which a node reduces, counted from the first; None where they or the rank are not known."""
    shape, axes = to.shape(node.input[0]), to.value(node, 1)
    if shape is None or (to.has(node, 1) and axes is None):
        return None
    given = attribute(node, "axes")
    if given is None and axes is not None:
        given = np.atleast_1d(axes).tolist()
    if not given and attribute(node, "noop_with_empty_axes", 0):
        return []
    return sorted(axis % len(shape) for axis in given or range(len(shape)))


def _norm(to: Rewriter, node: onnx.NodeProto) -> None:
    """ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum, ReduceLogSumExp: a sum, with functions before and after."""
    axes, x, y, kept = reduced_axes(to, node), node.input[0], node.output[0], attribute(node, "keepdims", 1)
    if axes is None:
        to.keep(node)
        return
    if node.op_type == "ReduceLogSumExp":
        _log_sum_exp(to, x, axes, kept, y)
        return
    if node.op_type == "ReduceL1":
        x = to.op("Abs", x)
    elif node.op_type in ("ReduceL2", "ReduceSumSquare"):
        x = to.op("Mul", x, x)
    after = {"ReduceL2": "Sqrt", "ReduceLogSum": "Log"}.get(node.op_type)
    total = to.reduce("ReduceSum", x, axes, kept, y="" if after else y) if axes else x
    if after or not axes:
        to.op(after or "Identity", total, y=y)


def _log_sum_exp(to: Rewriter, x: str, axes: Sequence[int], keepdims: int, y: str) -> None:
    largest = to.reduce("ReduceMax", x, axes)
    total = to.reduce("ReduceSum", to.op("Exp", to.op("Sub", x, largest)), axes, keepdims)
    if not keepdims:
        largest = to.reduce("ReduceMax", x, axes, 0)
    to.op("Add", to.op("Log", total), largest, y=y)


def _softmax(to: Rewriter, node: onnx.NodeProto) -> None:
    """LogSoftmax and Hardmax."""
    x, y, shape = node.input[0], node.output[0], to.shape(node.input[0])
    if shape is None:
        to.keep(node)
        return
    axis = attribute(node, "axis", -1) % len(shape)
    if node.op_type == "LogSoftmax":
        rest = to.op("Sub", x, to.reduce("ReduceMax", x, [axis]))
        total = to.op("Log", to.reduce("ReduceSum", to.op("Exp", rest), [axis]))
        to.op("Sub", rest, total, y=y)
    else:
        index = to.op("ArgMax", x, axis=axis, keepdims=1)
        sizes = [-1 if axis == other else 1 for other in range(len(shape))]
        numbers = np.arange(shape[axis], dtype=np.int64).reshape(sizes)
        to.op("Where", to.op("Equal", index, numbers), np.float32(1), np.float32(0), y=y)


def _extreme(to: Rewriter, node: onnx.NodeProto) -> None:
    """The largest or smallest boolean is that of the integers 0 and 1."""
    axes = reduced_axes(to, node)
    if to.element(node.input[0]) != onnx.TensorProto.BOOL or axes is None:
        to.keep(node)
        return
    numbers = to.op("Cast", node.input[0], to=onnx.TensorProto.INT32)
    extreme = to.reduce(node.op_type, numbers, axes, attribute(node, "keepdims", 1))
    to.op("Cast", extreme, y=node.output[0], to=onnx.TensorProto.BOOL)


def _lp_normalization(to: Rewriter, node: onnx.NodeProto) -> None:
    x, axis = node.input[0], attribute(node, "axis", -1)
    if attribute(node, "p", 2) == 1:
        norm = to.reduce("ReduceSum", to.op("Abs", x), [axis])
    else:
        norm = to.op("Sqrt", to.reduce("ReduceSum", to.op("Mul", x, x), [axis]))
    zero = to.op("Equal", norm, np.float32(0))
    to.op("Div", x, to.op("Where", zero, np.float32(1), norm), y=node.output[0])


def _cumsum(to: Rewriter, node: onnx.NodeProto) -> None:
    """A product with a triangle of ones; integers are summed as floats."""
    x, shape, axis = node.input[0], to.shape(node.input[0]), to.value(node, 1)
    if shape is None or axis is None:
        to.keep(node)
        return
    kind, at, rank = to.element(x), int(axis.item()) % len(shape), len(shape)
    whole = kind != onnx.TensorProto.FLOAT
    ones = np.triu(np.ones((shape[at], shape[at]), np.float32), attribute(node, "exclusive", 0))
    ones = np.ascontiguousarray(ones.T if attribute(node, "reverse", 0) else ones)
    total = to.op("Cast", x, to=onnx.TensorProto.FLOAT) if whole else x
    turned = [*(other for other in range(rank) if other != at), at]
    steps: list[tuple[str, list[Array], dict[str, Any]]] = [("MatMul", [ones], {})]
    if at != rank - 1:
        steps = [("Transpose", [], {"perm": turned}), *steps, ("Transpose", [], {"perm": np.argsort(turned).tolist()})]
    steps += [("Cast", [], {"to": kind})] if whole else []
    for index, (name, more, attributes) in enumerate(steps, start=1):
        total = to.op(name, total, *more, y=node.output[0] if index == len(steps) else "", **attributes)


def _one_hot(to: Rewriter, node: onnx.NodeProto) -> None:
    indices, depth, values = node.input[0], to.value(node, 1), to.value(node, 2)
    shape = to.shape(indices)
    if shape is None or depth is None or values is None:
        to.keep(node)
        return
    count, rank = int(depth.item()), len(shape) + 1
    axis = attribute(node, "axis", -1) % rank
    if to.is_float(indices):
        indices = to.op("Cast", indices, to=onnx.TensorProto.INT64)
    wrapped = to.op("Where", to.op("Greater", np.int64(0), indices), to.op("Add", indices, np.int64(count)), indices)
    column = to.reshape(wrapped, [*shape[:axis], 1, *shape[axis:]])
    numbers = np.arange(count, dtype=np.int64).reshape([-1 if axis == other else 1 for other in range(rank)])
    off, on = np.atleast_1d(values)
    to.op("Where", to.op("Equal", column, numbers), np.asarray(on), np.asarray(off), y=node.output[0])


def _global_average_pool(to: Rewriter, node: onnx.NodeProto) -> None:
    shape = to.shape(node.input[0])
    if shape is None:
        to.keep(node)
        return
    to.reduce("ReduceMean", node.input[0], range(2, len(shape)), y=node.output[0])


RULES: dict[str, Rule] = {
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), _norm),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), _extreme),
    **dict.fromkeys(("LogSoftmax", "Hardmax"), _softmax),
    "LpNormalization": _lp_normalization,
    "CumSum": _cumsum,
    "OneHot": _one_hot,
    "GlobalAveragePool": _global_average_pool,
}
