"""Means, sums, extremes and softmax over axes."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import Kind, Mean, Opcode, Reduce, ReduceFunction, Softmax
from stages.build.runtime.translate.attributes import scaled_of
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators import Operator, fixed_point

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

FUNCTIONS = {
    "ReduceMax": ReduceFunction.max,
    "ReduceMean": ReduceFunction.sum,
    "ReduceMin": ReduceFunction.min,
    "ReduceProd": ReduceFunction.product,
    "ReduceSum": ReduceFunction.sum,
}


def _mean(to: Translation, node: onnx.NodeProto, operator: fixed_point.Mean) -> None:
    x, y = node.input[0], node.output[0]
    attributes = Mean(operator.multipliers[0], scaled_of(operator), to.reduction(x, y, operator.axes))
    to.emit(Opcode.mean, [to.operand(x)], to.result(y), attributes)


def _reduce(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    to.need_kind(x, Kind.f32, Kind.f64, Kind.i32, Kind.i64)
    shape = to.shape(x)
    if len(node.input) > 1 and node.input[1] and node.input[1] not in to.constants:
        raise to.unsupported(" over computed axes")
    constant = to.constants[node.input[1]].reshape(-1).tolist() if len(node.input) > 1 and node.input[1] else []
    given = attribute(node, "axes", constant)
    none = not given and attribute(node, "noop_with_empty_axes", 0)
    axes = [] if none else [axis % len(shape) for axis in given or range(len(shape))]
    divisor = int(np.prod([shape[axis] for axis in axes])) if node.op_type == "ReduceMean" else 1
    attributes = Reduce(FUNCTIONS[node.op_type], divisor, to.reduction(x, y, axes))
    to.emit(Opcode.reduce, [to.operand(x)], to.result(y), attributes)


def _softmax(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    to.need_kind(x, Kind.f32, Kind.f64)
    attributes = Softmax(to.lines(x, attribute(node, "axis", -1)))
    to.emit(Opcode.softmax, [to.operand(x)], to.result(y), attributes)


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {fixed_point.Mean: _mean}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {
    **dict.fromkeys(FUNCTIONS, _reduce),
    "Softmax": _softmax,
}
