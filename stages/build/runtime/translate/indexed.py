"""Elements at computed indices, indices of the largest elements, and elements placed at indices."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from stages.build.runtime.contract import (
    BroadcastAxis,
    Extreme,
    Kind,
    Opcode,
    Pick,
    PickedAxis,
    Place,
    PlaceFunction,
    TopK,
)
from stages.build.runtime.movement import positions
from stages.build.runtime.translate.layout import in_memory, strides
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators import Operator

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

REDUCTIONS = {
    b"none": PlaceFunction.assign,
    b"add": PlaceFunction.add,
    b"mul": PlaceFunction.mul,
    b"max": PlaceFunction.max,
    b"min": PlaceFunction.min,
}


def _gather(to: Translation, node: onnx.NodeProto) -> None:
    x, indices = (to.shape(name) for name in node.input)
    axis = attribute(node, "axis", 0) % len(x)
    of_x, of_indices = strides(x), strides(indices)
    steps_x = [*of_x[:axis], *[0] * len(indices), *of_x[axis + 1 :]]
    steps_indices = [*[0] * axis, *of_indices, *[0] * (len(x) - axis - 1)]
    _pick(to, node, [PickedAxis(x[axis], of_x[axis], 0)], (steps_x, steps_indices))


def _gather_elements(to: Translation, node: onnx.NodeProto) -> None:
    _pick(to, node, *_along_axis(to, node))


def _gather_nd(to: Translation, node: onnx.NodeProto) -> None:
    _pick(to, node, *_along_axes(to, node, attribute(node, "batch_dims", 0)))


def _along_axis(to: Translation, node: onnx.NodeProto) -> tuple[list[PickedAxis], tuple[list[int], list[int]]]:
    """An index for every element, along one axis."""
    x, indices = (to.shape(name) for name in node.input[:2])
    axis, of_x = attribute(node, "axis", 0) % len(x), strides(x)
    steps = [0 if other == axis else step for other, step in enumerate(of_x)]
    return [PickedAxis(x[axis], of_x[axis], 0)], (steps, strides(indices))


def _along_axes(
    to: Translation, node: onnx.NodeProto, batch: int = 0
) -> tuple[list[PickedAxis], tuple[list[int], list[int]]]:
    """Indices of the first axes, in the last axis of the tensor of indices."""
    x, indices = (to.shape(name) for name in node.input[:2])
    of_x, of_indices, count = strides(x), strides(indices), indices[-1]
    picked = [PickedAxis(x[batch + k], of_x[batch + k], k * of_indices[-1]) for k in range(count)]
    rest = of_x[batch + count :]
    steps_x = [*of_x[:batch], *[0] * (len(indices) - 1 - batch), *rest]
    return picked, (steps_x, [*of_indices[:-1], *[0] * len(rest)])


def _axes(shape: Sequence[int], steps: tuple[Sequence[int], Sequence[int]]) -> tuple[BroadcastAxis, ...]:
    """The axes of a tensor as they lie in memory, with the steps that two operands take along each."""
    if not shape:
        return (BroadcastAxis(1, 0, 0),)
    lists = (in_memory(list(values)) for values in (shape, *steps))
    return tuple(BroadcastAxis(length, a, b) for length, a, b in zip(*lists, strict=True))


def _pick(
    to: Translation, node: onnx.NodeProto, picked: Sequence[PickedAxis], steps: tuple[Sequence[int], Sequence[int]]
) -> None:
    y = node.output[0]
    to.need_kind(node.input[1], Kind.i32, Kind.i64)
    attributes = Pick(tuple(picked), _axes(to.shape(y), steps))
    to.emit(Opcode.pick, [to.operand(name) for name in node.input], to.result(y), attributes)


def _scatter(to: Translation, node: onnx.NodeProto) -> None:
    to.need_kind(node.input[1], Kind.i32, Kind.i64)
    picked, steps = _along_axes(to, node) if node.op_type == "ScatterND" else _along_axis(to, node)
    function = REDUCTIONS[attribute(node, "reduction", b"none")]
    attributes = Place(function, tuple(picked), _axes(to.shape(node.input[2]), steps))
    inputs = [to.operand(name) for name in node.input]
    to.emit(Opcode.place, inputs, to.result(node.output[0]), attributes)


def _extreme(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    axis = attribute(node, "axis", 0) % len(to.shape(x))
    lines = to.lines(x, axis)
    ends = (int(node.op_type == "ArgMax"), attribute(node, "select_last_index", 0))
    if attribute(node, "keepdims", 1):
        to.emit(Opcode.extreme, [to.operand(x)], to.result(y), Extreme(*ends, lines))
        return
    number, rows = to.last(x, axis), int(np.prod(to.shape(y), dtype=np.int64))
    attributes = Extreme(*ends, type(lines)(rows, lines.length, 1))
    to.arranged(y, positions(to.shape(y)), lambda output: to.emit(Opcode.extreme, [number], output, attributes))


def _top_k(to: Translation, node: onnx.NodeProto) -> None:
    x, count = node.input[0], to.constants.get(node.input[1])
    to.need_kind(x, Kind.f32, Kind.f64, Kind.i32, Kind.i64)
    if count is None:
        raise to.unsupported(" with a computed number")
    lines = to.lines(x, attribute(node, "axis", -1))
    largest = attribute(node, "largest", 1)
    for index, name in enumerate(node.output):
        if name:
            attributes = TopK(largest, index, int(count.item()), lines)
            to.emit(Opcode.top_k, [to.operand(x)], to.result(name), attributes)


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "ArgMax": _extreme,
    "ArgMin": _extreme,
    "TopK": _top_k,
}
