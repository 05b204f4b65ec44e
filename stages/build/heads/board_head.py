"""A detector's head on the board: where its values lie in the memory of the network's outputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.build.board_outputs import BoardOutput, exported_shape
from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.heads.families.anchors import AnchorHead
from stages.core.heads.families.cells import CellHead
from stages.core.heads.head import Head, Kind, Level, View
from stages.core.heads.head_file import ExportedHead

__all__ = ["BoardHead", "Place", "board_head", "why_raw"]

BOX_VALUES = 4  # x, y, width, height


@dataclass(frozen=True)
class Place:
    """Where a head's tensor lies in memory: the values of a cell beside each other, cells row by row.

    Attributes:
        output: its number.
        first: element of the output with which the tensor begins.
        channels: values of a cell.
    """

    output: int
    first: int
    channels: int


@dataclass(frozen=True)
class BoardHead:
    """A head and its tensors' places.

    Attributes:
        head: how values become boxes.
        places: tensor of the head -> where it is.
        sizes: elements of each output of the network, the head's and others.
        logits: values come before the logistic function, or softmax, as they leave the last convolutions.
    """

    head: Head
    places: dict[str, Place]
    sizes: tuple[int, ...]
    logits: bool = True


def board_head(
    exported: ExportedHead | None, detector: DetectorConfig, outputs: Sequence[BoardOutput], height: int, width: int
) -> BoardHead | None:
    """Give the head that the board decodes.

    A network that ends at its head's last convolutions has the exported head. Other outputs are decoded if a kind is
    named, and three forms of them are known: one tensor [1, rows, 5 + classes] of all strides (yolox); a picture-shaped
    output a stride, with 5 + classes channels an anchor; three outputs a stride, in the order box, objectness, classes
    (yolox).

    Args:
        exported: the network's head; None if it has none that is known.
        detector: `model.detector`.
        outputs: all outputs, in order.
        height: of the input in pixels.
        width: of the input in pixels.

    Returns:
        None if nothing is to be decoded, or not on the board.

    Raises:
        UserError: if a kind is named and the outputs have none of the known forms, or anchors are missing.
    """
    if detector.function is not None or detector.kind is DetectorKind.none:
        return None
    if exported is not None and exported.cut:
        numbers = {output.name: number for number, output in enumerate(outputs)}
        places = {name: Place(numbers[name], 0, outputs[numbers[name]].shape[-1]) for name in exported.head.tensors}
        return BoardHead(exported.head, places, _sizes(outputs))
    if detector.kind is DetectorKind.auto:
        return None
    classes = detector.classes or (exported.head.classes if exported else None)
    if classes is None:
        raise UserError("model.detector.classes=null: no head is known that says how many there are: give the number")
    if detector.kind is DetectorKind.yolov5 and not detector.anchors:
        raise UserError(
            "model.detector.kind=yolov5: outputs that are not cut are decoded as they leave the last convolutions, "
            "with model.detector.anchors: give them, or leave model.cut=true and model.outputs=[]"
        )
    return _named_head(detector, classes, outputs, height, width)


def _sizes(outputs: Sequence[BoardOutput]) -> tuple[int, ...]:
    return tuple(math.prod(output.shape) for output in outputs)


def why_raw(exported: ExportedHead | None, detector: DetectorConfig) -> str | None:
    """Say why the board does not decode, where `board_head` gives None; None of a network without a known head."""
    if detector.function is not None:
        return f"model.detector.function={detector.function} runs on the PC alone"
    if detector.kind is DetectorKind.none:
        return "model.detector.kind=none"
    if exported is not None:
        return f"the network does not end at its {exported.head.name} head's last convolutions (model.cut=true)"
    return None


def _named_head(
    detector: DetectorConfig, classes: int, outputs: Sequence[BoardOutput], height: int, width: int
) -> BoardHead:
    """The head that `model.detector` describes."""
    grids = [
        Level(stride, height // stride, width // stride, {}, anchors)
        for stride, anchors in zip(detector.strides, _anchors(detector), strict=True)
    ]
    row_values = BOX_VALUES + 1 + classes
    found = _find_views(detector, grids, outputs, row_values)
    if found is None:
        raise UserError(_misfit(detector, outputs, grids, row_values))
    views, places = found
    levels = tuple(
        Level(grid.stride, grid.rows, grid.columns, of_level, grid.anchors)
        for grid, of_level in zip(grids, views, strict=True)
    )
    anchored = detector.kind is DetectorKind.yolov5
    head: Head = AnchorHead(height, width, levels, given=True) if anchored else CellHead(height, width, levels)
    return BoardHead(head, places, _sizes(outputs), anchored if detector.logits is None else detector.logits)


def _anchors(detector: DetectorConfig) -> list[tuple[tuple[float, float], ...]]:
    """Each stride's; of an anchor-free kind one of the cell's size."""
    if detector.kind is DetectorKind.yolox:
        return [((stride, stride),) for stride in detector.strides]
    pairs = list(zip(detector.anchors[::2], detector.anchors[1::2], strict=True))
    count = len(pairs) // len(detector.strides)
    return [tuple(pairs[i * count : (i + 1) * count]) for i in range(len(detector.strides))]


def _find_views(
    detector: DetectorConfig, grids: Sequence[Level], outputs: Sequence[BoardOutput], row_values: int
) -> tuple[list[dict[Kind, View]], dict[str, Place]] | None:
    """Each stride's views, and where their tensors are; None if the outputs' shapes have none of the known forms."""
    anchor_free = detector.kind is DetectorKind.yolox
    shapes, names = [output.shape for output in outputs], [output.name for output in outputs]
    channels = row_values * len(grids[0].anchors)
    if anchor_free and shapes == [(1, sum(grid.count for grid in grids), row_values)]:
        firsts = [row_values * sum(grid.count for grid in grids[:i]) for i in range(len(grids))]
        tensors = [f"{names[0]}, stride {grid.stride}" for grid in grids]  # a tensor has one grid's values
        places = {tensor: Place(0, first, row_values) for tensor, first in zip(tensors, firsts, strict=True)}
        return [_joined_views(tensor, row_values) for tensor in tensors], places
    whole = {name: Place(number, 0, shape[-1]) for number, (name, shape) in enumerate(zip(names, shapes, strict=True))}
    if shapes == [(1, grid.rows, grid.columns, channels) for grid in grids]:
        return [_joined_views(name, row_values) for name in names], whole
    parts = {Kind.boxes: BOX_VALUES, Kind.objectness: 1, Kind.classes: row_values - BOX_VALUES - 1}
    if anchor_free and shapes == [(1, grid.rows, grid.columns, part) for grid in grids for part in parts.values()]:
        tensors_of = [names[i : i + len(parts)] for i in range(0, len(names), len(parts))]
        return [
            {kind: View(name, 0, part, part) for name, (kind, part) in zip(of_grid, parts.items(), strict=True)}
            for of_grid in tensors_of
        ], whole
    return None


def _joined_views(tensor: str, row_values: int) -> dict[Kind, View]:
    """The views where box, objectness and classes are beside each other in a row."""
    parts: Mapping[Kind, tuple[int, int]] = {
        Kind.boxes: (0, BOX_VALUES),
        Kind.objectness: (BOX_VALUES, 1),
        Kind.classes: (BOX_VALUES + 1, row_values - BOX_VALUES - 1),
    }
    return {kind: View(tensor, first, count, row_values) for kind, (first, count) in parts.items()}


def _misfit(detector: DetectorConfig, outputs: Sequence[BoardOutput], grids: Sequence[Level], row_values: int) -> str:
    channels, classes = row_values * len(grids[0].anchors), row_values - BOX_VALUES - 1
    given = ", ".join(f"{output.name} {exported_shape(output)}" for output in outputs)
    wanted = " and ".join(str([1, channels, grid.rows, grid.columns]) for grid in grids)
    if detector.kind is DetectorKind.yolox:
        cells = sum(grid.count for grid in grids)
        wanted += f", or {[1, cells, channels]}, or box, objectness and classes apart for each stride"
    return (
        f"model.detector: kind={detector.kind.value}, strides {detector.strides} and {classes} classes need "
        f"outputs of shape {wanted}; the network's are {given}: name the tensors in model.outputs"
    )
