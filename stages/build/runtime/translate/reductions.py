"""Means, sums and softmax over axes."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import FloatSum, Mean, Opcode, Softmax
from stages.build.runtime.movement import physical
from stages.build.runtime.translate.attributes import scaled_of
from stages.build.runtime.translate.layout import in_memory
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators import Operator, fixed_point

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

SOFTMAX_OF_ONE_AXIS = 13
"""The opset from which on Softmax works along one axis."""


def _mean(to: Translation, node: onnx.NodeProto, operator: fixed_point.Mean) -> None:
    x, y = node.input[0], node.output[0]
    attributes = Mean(operator.multipliers[0], scaled_of(operator), to.reduction(x, y, operator.axes))
    to.emit(Opcode.mean, [to.operand(x)], to.result(y), attributes)


def _float_sum(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    shape = to.shape(x)
    axes = list(range(2, len(shape)))
    if node.op_type != "GlobalAveragePool":
        constant = to.constants[node.input[1]].tolist() if len(node.input) > 1 and node.input[1] else []
        axes = [axis % len(shape) for axis in attribute(node, "axes", constant) or range(len(shape))]
    divisor = 1 if node.op_type == "ReduceSum" else int(np.prod([shape[axis] for axis in axes]))
    to.emit(Opcode.float_sum, [to.operand(x)], to.result(y), FloatSum(divisor, to.reduction(x, y, axes)))


def _softmax(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    shape = to.shape(x)
    opset = next(each.version for each in to.model.opset_import if not each.domain)
    axis = attribute(node, "axis", -1 if opset >= SOFTMAX_OF_ONE_AXIS else 1) % len(shape)
    if opset < SOFTMAX_OF_ONE_AXIS and axis != len(shape) - 1:
        raise to.unsupported(" over several axes")
    at = in_memory(range(len(shape))).index(axis)
    stored = physical(shape)
    outer, inner = (int(np.prod(part, dtype=np.int64)) for part in (stored[:at], stored[at + 1 :]))
    to.emit(Opcode.softmax, [to.operand(x)], to.result(y), Softmax(outer, stored[at], inner))


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {fixed_point.Mean: _mean}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {
    "GlobalAveragePool": _float_sum,
    "ReduceMean": _float_sum,
    "ReduceSum": _float_sum,
    "Softmax": _softmax,
}
