"""GridSample: pixels between which a point lies, picked by computed indices and weighted by how near they are."""

from itertools import product

import numpy as np
import onnx

from stages.core.graph.onnx_graph import PICTURE_RANK, attribute
from stages.core.integer.float_forms.rewriter import Rewriter, Rule

__all__ = ["RULES"]

ONE = np.float32(1)
BETWEEN, NEAREST = {b"linear", b"bilinear"}, {b"nearest"}


def _grid_sample(to: Rewriter, node: onnx.NodeProto) -> None:
    x, y, mode = to.shape(node.input[0]), to.shape(node.output[0]), attribute(node, "mode", b"linear")
    if x is None or y is None or len(x) != PICTURE_RANK or mode not in BETWEEN | NEAREST:
        to.keep(node)
        return
    points = int(np.prod(y[2:]))
    flat = to.reshape(node.input[1], [x[0], 1, points, 2])
    places = [_place(to, node, flat, axis, x[3 - axis]) for axis in (0, 1)]
    pixels = to.reshape(node.input[0], [x[0], x[1], x[2] * x[3]])
    if mode in NEAREST:
        corners = [[(to.op("Round", place), "")] for place in places]
    else:
        corners = [_neighbours(to, place) for place in places]
    total = ""
    for (column, across), (row, down) in product(*corners):
        part = _picked(to, node, pixels, (column, row), x)
        if across:
            part = to.op("Mul", part, to.op("Mul", across, down))
        total = to.op("Add", total, part) if total else part
    to.reshape(total, y, y=node.output[0])


def _place(to: Rewriter, node: onnx.NodeProto, grid: str, axis: int, size: int) -> str:
    """Where points lie along an axis, in pixels: -1 and 1 are the outer edges, or the outer pixels' centres."""
    ends = (np.array([value], np.int64) for value in (axis, axis + 1, 3))
    shifted = to.op("Add", to.reshape(to.op("Slice", grid, *ends), [0, 1, -1]), ONE)
    corners = attribute(node, "align_corners", 0)
    if corners:
        place = to.op("Mul", shifted, np.float32((size - 1) / 2))
    else:
        place = to.op("Div", to.op("Sub", to.op("Mul", shifted, np.float32(size)), ONE), np.float32(2))
    padding = attribute(node, "padding_mode", b"zeros")
    if padding == b"border":
        return to.op("Clip", place, np.float32(0), np.float32(size - 1))
    if padding == b"reflection":
        first, length = np.float32(0 if corners else -0.5), np.float32(max(size - 1, 1) if corners else size)
        return _reflected(to, place, first, length)
    return place


def _reflected(to: Rewriter, place: str, first: np.float32, length: np.float32) -> str:
    """A triangle wave between the first place and the last one."""
    period = np.float32(2) * length
    rest = to.op("Sub", place, first)
    rest = to.op("Sub", rest, to.op("Mul", to.op("Floor", to.op("Div", rest, period)), period))
    folded = to.op("Sub", length, to.op("Abs", to.op("Sub", rest, length)))
    return to.op("Add", folded, first)


def _neighbours(to: Rewriter, place: str) -> list[tuple[str, str]]:
    """The pixels before and behind a place, with their weights."""
    before = to.op("Floor", place)
    behind = to.op("Sub", place, before)
    return [(before, to.op("Sub", ONE, behind)), (to.op("Add", before, ONE), behind)]


def _picked(to: Rewriter, node: onnx.NodeProto, pixels: str, place: tuple[str, str], x: list[int]) -> str:
    """Pixels at whole places [batch, channels, points]; outside the picture 0, or the nearest one."""
    sizes, inside, index = (x[3], x[2]), "", ""
    for at, size, step in zip(place, sizes, (1, x[3]), strict=True):
        held = to.op("Clip", at, np.float32(0), np.float32(size - 1))
        same = to.op("Equal", held, at)
        inside = to.op("And", inside, same) if inside else same
        whole = to.op("Mul", to.op("Cast", held, to=onnx.TensorProto.INT64), np.int64(step))
        index = to.op("Add", index, whole) if index else whole
    spread = np.array([x[0], x[1], 1], np.int64)
    picked = to.op("GatherElements", pixels, to.op("Expand", index, spread), axis=2)
    if attribute(node, "padding_mode", b"zeros") != b"zeros":
        return picked
    return to.op("Where", inside, picked, np.float32(0))


RULES: dict[str, Rule] = {"GridSample": _grid_sample}
