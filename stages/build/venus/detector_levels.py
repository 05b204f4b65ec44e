"""Where a detector's boxes, objectness and class scores are in its outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.build.venus.board_outputs import BoardOutput, exported_shape
from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind

__all__ = ["Level", "View", "detector_levels"]

BOX_VALUES = 4  # x, y, width, height


@dataclass(frozen=True)
class View:
    """Values of each row: value k of row i is element `first + i * step + k` of an output."""

    output: int
    first: int
    step: int


@dataclass(frozen=True)
class Level:
    """One stride of a detector: a row of values for each cell (row by row) and for each of the cell's anchors.

    Attributes:
        stride: pixels of the input a cell.
        columns: cells from left to right.
        rows: cells from top to bottom.
        anchors: w, h, w, h, ... in pixels; empty without anchors.
        box: where x, y, width, height are.
        objectness: where the objectness is.
        classes: where the classes' scores are.
    """

    stride: int
    columns: int
    rows: int
    anchors: tuple[float, ...]
    box: View
    objectness: View
    classes: View


@dataclass(frozen=True)
class _Grid:
    """The cells of one stride."""

    stride: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        return self.rows * self.columns


def detector_levels(detector: DetectorConfig, outputs: Sequence[BoardOutput], height: int, width: int) -> list[Level]:
    """Find a detector's rows in its outputs.

    Three forms are known: one tensor [1, rows, 5 + classes] of all strides (yolox); a picture-shaped output a stride,
    with 5 + classes channels an anchor; three outputs a stride, in the order box, objectness, classes (yolox).

    Args:
        detector: of a kind other than none.
        outputs: all outputs, in order.
        height: of the input in pixels.
        width: of the input in pixels.

    Raises:
        UserError: if the outputs have none of these forms.
    """
    grids = [_Grid(stride, height // stride, width // stride) for stride in detector.strides]
    anchor_sides = len(detector.anchors) // len(grids)
    row_values = BOX_VALUES + 1 + detector.classes
    channels = (anchor_sides // 2 or 1) * row_values
    views = _find_views(detector, grids, [output.shape for output in outputs], row_values, channels)
    if views is None:
        raise UserError(_misfit(detector, outputs, grids, channels))
    return [
        Level(
            grid.stride,
            grid.columns,
            grid.rows,
            tuple(detector.anchors[i * anchor_sides : (i + 1) * anchor_sides]),
            *views[i],
        )
        for i, grid in enumerate(grids)
    ]


def _find_views(
    detector: DetectorConfig,
    grids: Sequence[_Grid],
    shapes: Sequence[tuple[int, ...]],
    row_values: int,
    channels: int,
) -> list[tuple[View, View, View]] | None:
    """Box, objectness and classes of each stride; None if the outputs' shapes have none of the known forms."""
    anchor_free = detector.kind is DetectorKind.yolox
    if anchor_free and list(shapes) == [(1, sum(grid.cells for grid in grids), row_values)]:
        firsts = [row_values * sum(grid.cells for grid in grids[:i]) for i in range(len(grids))]
        return [_joined_views(0, first, row_values) for first in firsts]
    if list(shapes) == [(1, grid.rows, grid.columns, channels) for grid in grids]:
        return [_joined_views(i, 0, row_values) for i in range(len(grids))]
    parts = (BOX_VALUES, 1, detector.classes)
    if anchor_free and list(shapes) == [(1, grid.rows, grid.columns, part) for grid in grids for part in parts]:
        box, objectness, classes = parts
        return [
            (View(3 * i, 0, box), View(3 * i + 1, 0, objectness), View(3 * i + 2, 0, classes))
            for i in range(len(grids))
        ]
    return None


def _joined_views(output: int, first: int, step: int) -> tuple[View, View, View]:
    """The views where box, objectness and classes are beside each other in a row."""
    return View(output, first, step), View(output, first + BOX_VALUES, step), View(output, first + BOX_VALUES + 1, step)


def _misfit(detector: DetectorConfig, outputs: Sequence[BoardOutput], grids: Sequence[_Grid], channels: int) -> str:
    given = ", ".join(f"{output.name} {exported_shape(output)}" for output in outputs)
    wanted = " and ".join(str([1, channels, grid.rows, grid.columns]) for grid in grids)
    if detector.kind is DetectorKind.yolox:
        cells = sum(grid.cells for grid in grids)
        wanted += f", or {[1, cells, channels]}, or box, objectness and classes apart for each stride"
    return (
        f"model.detector: kind={detector.kind.value}, strides {detector.strides} and {detector.classes} classes need "
        f"outputs of shape {wanted}; the network's are {given}: name the tensors in model.outputs"
    )
