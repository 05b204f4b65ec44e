"""A head is believed only if its numbers are the graph's."""

from dataclasses import replace

import numpy as np
import pytest

from stages.core.heads.head import Kind, Level, Stage
from stages.core.heads.recognize import recognize
from stages.core.heads.tail import find_tail
from stages.core.heads.verify import row_matrices, verify
from tests.core.heads import exporters


def test_evidence_names_where_and_how_far() -> None:
    model = exporters.yolov8(layout="apart")
    boxes, scores = (output.name for output in model.graph.output)
    evidence = recognize(model).evidence
    assert evidence.stages == {Kind.boxes: Stage.decoded, Kind.classes: Stage.decoded}
    assert evidence.tensors == {Kind.boxes: (boxes,), Kind.classes: (scores,)}
    assert evidence.shapes == {boxes: (1, 4, 126), scores: (1, 3, 126)}
    assert evidence.difference < 1e-4
    assert evidence.others == ()


def test_another_point_in_the_cell_is_not_the_graphs() -> None:
    model = exporters.yolov8(layout="apart")
    head = recognize(model)
    assert verify(head, find_tail(model)) is not None
    assert verify(replace(head, point=0.0), find_tail(model)) is None


def test_a_prior_that_is_one_percent_off_is_not_the_graphs() -> None:
    model = exporters.ssd({8: (10, 16), 16: (32, 48)})
    head = recognize(model)
    levels = [replace(level, anchors=tuple((w * 1.01, h) for w, h in level.anchors)) for level in head.levels]
    assert verify(replace(head, levels=tuple(levels)), find_tail(model)) is None


def test_one_wrong_stride_is_seen() -> None:
    model = exporters.yolox(decoded=True)
    head = recognize(model)
    levels = (*head.levels[:2], replace(head.levels[2], stride=33))
    assert verify(replace(head, levels=levels), find_tail(model)) is None


def rows_of(value: np.ndarray, anchors: int, *, cells_first: bool = False) -> list[np.ndarray]:
    head = recognize(exporters.fastestdet())
    level = Level(16, 4, 6, head.levels[0].views, ((1, 1),) * anchors)
    family = type("Cells", (type(head),), {"cells_first": cells_first})
    return [matrix for _, matrix in row_matrices(value, family(64, 96, (level,)))]


@pytest.mark.parametrize("cells_first", [False, True])
def test_layouts_of_one_level(cells_first: bool) -> None:
    """A value that says its anchor, cell and column, in each layout."""
    anchor, cell, column = np.meshgrid(np.arange(3), np.arange(24), np.arange(5), indexing="ij")
    values = (100 * cell + 10 * anchor + column).astype(np.float32)
    expected = (values.swapaxes(0, 1) if cells_first else values).reshape(72, 5)
    grid = values.reshape(3, 4, 6, 5)
    layouts = {
        "rows": expected[None],
        "columns": expected.T[None],
        "[1, A, H, W, K]": grid[None],
        "[1, A * K, H, W]": grid.transpose(0, 3, 1, 2).reshape(1, 15, 4, 6),
        "[1, H, W, A * K]": grid.transpose(1, 2, 0, 3).reshape(1, 4, 6, 15),
    }
    for name, value in layouts.items():
        matrices = rows_of(np.ascontiguousarray(value), 3, cells_first=cells_first)
        assert any(np.array_equal(matrix, expected) for matrix in matrices), name
    assert rows_of(np.zeros((1, 7, 9), np.float32), 3) == []
