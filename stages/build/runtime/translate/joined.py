"""Concat: operands one behind the other."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.build.runtime.contract import Clamp, Concat, ConcatPart, Opcode, Scaled
from stages.build.runtime.movement import physical
from stages.build.runtime.translate.attributes import scaled_of
from stages.build.runtime.translate.layout import in_memory
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators import Operator, fixed_point

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

NO_SCALING = Scaled(1, Clamp(0, 0))


def _codes(to: Translation, node: onnx.NodeProto, operator: fixed_point.Concat) -> None:
    _concat(to, node, operator.axis, scaled_of(operator), operator.multipliers)


def _floats(to: Translation, node: onnx.NodeProto) -> None:
    _concat(to, node, attribute(node, "axis"), NO_SCALING, (0,) * len(node.input))


def _concat(to: Translation, node: onnx.NodeProto, axis: int, scaled: Scaled, multipliers: tuple[int, ...]) -> None:
    y = node.output[0]
    shape = to.shape(y)
    at = in_memory(range(len(shape))).index(axis % len(shape))
    lengths = [int(np.prod(physical(to.shape(name))[at:], dtype=np.int64)) for name in node.input]
    outer = int(np.prod(physical(shape)[:at], dtype=np.int64))
    parts = [ConcatPart(length, multiplier) for length, multiplier in zip(lengths, multipliers, strict=True)]
    inputs = [to.operand(name) for name in node.input]
    to.emit(Opcode.concat, inputs, to.result(y), Concat(outer, scaled, tuple(parts)))


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {fixed_point.Concat: _codes}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {"Concat": _floats}
