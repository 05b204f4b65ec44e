"""What the network's outputs are on the board: order, shape, codes; and where a detector's numbers lie in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph
from stages.core.integer.qparams import NetworkParams
from stages.core.integer.quant_params import QuantParams

__all__ = ["BoardOutput", "Level", "View", "board_outputs", "levels"]

BOX = 4  # x, y, width, height
SPLIT = 3  # outputs a stride where box, objectness and classes are apart


@dataclass(frozen=True)
class BoardOutput:
    """One output tensor.

    Attributes:
        name: of the tensor in the exported graph.
        shape: as it lies in the board's memory: NHWC for a picture-shaped one, else as in the graph.
        codes: what its codes mean; None where the board gives float32.
    """

    name: str
    shape: tuple[int, ...]
    codes: QuantParams | None


@dataclass(frozen=True)
class View:
    """Numbers of each row: value k of row i is element `first + i * step + k` of an output."""

    output: int
    first: int
    step: int


@dataclass(frozen=True)
class Level:
    """One stride of a detector: a row of numbers for each cell (row by row) and for each of the cell's anchors.

    Attributes:
        stride: pixels of the input a cell.
        columns: cells from left to right.
        rows: cells from top to bottom.
        anchors: w, h, w, h, ... in pixels; empty without anchors.
        box: where x, y, width, height lie.
        objectness: where the objectness lies.
        classes: where the classes' scores lie.
    """

    stride: int
    columns: int
    rows: int
    anchors: tuple[float, ...]
    box: View
    objectness: View
    classes: View


def board_outputs(graph: Graph, params: NetworkParams) -> list[BoardOutput]:
    """Describe a network's outputs in order: those that have codes give codes, the others float32."""
    codes = {entry.tensor: entry.codes for entry in params.features}
    return [BoardOutput(name, _on_board(graph.shapes[name]), codes.get(name)) for name in graph.outputs]


def _on_board(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) != PICTURE_RANK:
        return tuple(shape)
    batch, channels, height, width = shape
    return (batch, height, width, channels)


def levels(detector: DetectorConfig, outputs: Sequence[BoardOutput], height: int, width: int) -> list[Level]:
    """Find a detector's rows in its outputs.

    Three forms are known: one tensor [1, rows, 5 + classes] of all strides (yolox); a picture-shaped one a stride, with
    5 + classes channels an anchor; three a stride, in the order box, objectness, classes (yolox).

    Args:
        detector: of a kind other than none.
        outputs: all outputs, in order.
        height: of the input in pixels.
        width: of the input in pixels.

    Raises:
        UserError: if the outputs have none of these forms.
    """
    values = BOX + 1 + detector.classes
    count = len(detector.strides)
    each = len(detector.anchors) // count
    grids = [(stride, height // stride, width // stride) for stride in detector.strides]
    per_cell = each // 2 or 1
    free = detector.kind is DetectorKind.yolox
    shapes = [output.shape for output in outputs]

    def found(views: Sequence[tuple[View, View, View]]) -> list[Level]:
        return [
            Level(stride, columns, rows, tuple(detector.anchors[i * each : (i + 1) * each]), *views[i])
            for i, (stride, rows, columns) in enumerate(grids)
        ]

    if free and shapes == [(1, sum(rows * columns for _, rows, columns in grids), values)]:
        firsts = [values * sum(r * c for _, r, c in grids[:i]) for i in range(count)]
        return found([_together(0, first, values) for first in firsts])
    if shapes == [(1, rows, columns, per_cell * values) for _, rows, columns in grids]:
        return found([_together(i, 0, values) for i in range(count)])
    parts = (BOX, 1, detector.classes)
    if free and shapes == [(1, rows, columns, part) for _, rows, columns in grids for part in parts]:
        triples = [[View(SPLIT * i + j, 0, part) for j, part in enumerate(parts)] for i in range(count)]
        return found([(box, objectness, classes) for box, objectness, classes in triples])
    raise UserError(_misfit(detector, outputs, grids, per_cell * values))


def _together(output: int, first: int, step: int) -> tuple[View, View, View]:
    return View(output, first, step), View(output, first + BOX, step), View(output, first + BOX + 1, step)


def _misfit(
    detector: DetectorConfig, outputs: Sequence[BoardOutput], grids: Sequence[tuple[int, int, int]], channels: int
) -> str:
    given = ", ".join(f"{output.name} {_as_exported(output.shape)}" for output in outputs)
    wanted = " and ".join(str([1, channels, rows, columns]) for _, rows, columns in grids)
    if detector.kind is DetectorKind.yolox:
        total = sum(rows * columns for _, rows, columns in grids)
        wanted += f", or {[1, total, channels]}, or box, objectness and classes apart for each stride"
    return (
        f"model.detector: kind={detector.kind.value}, strides {detector.strides} and {detector.classes} classes take "
        f"outputs of shape {wanted}; the network's are {given}: name the tensors in model.outputs"
    )


def _as_exported(shape: Sequence[int]) -> list[int]:
    """The shape in the graph of one on the board."""
    if len(shape) != PICTURE_RANK:
        return list(shape)
    batch, height, width, channels = shape
    return [batch, channels, height, width]
