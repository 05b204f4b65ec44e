"""Reading a head's values from outputs that a graph has decoded, in part or whole."""

from collections.abc import Mapping, Sequence

import numpy as np

from stages.core.heads.detections import Detections, Floats, Predictions
from stages.core.heads.head import Columns, Head, Kind, Stage
from stages.core.heads.verify import row_matrices

__all__ = ["can_read", "read_outputs"]

SELECTED_COLUMNS = 6
"""Of an output whose rows operators such as TopK have chosen: x0, y0, x1, y1, score, class."""


def can_read(head: Head, outputs: Mapping[str, Sequence[int | str]]) -> bool:
    """Whether boxes can be read from a whole graph's outputs, name -> shape."""
    evidence = head.evidence
    if evidence is None:
        return False
    if evidence.selectors:
        return any(_is_selected(shape) for shape in outputs.values())
    return {columns.tensor for columns in evidence.columns} <= set(outputs)


def read_outputs(head: Head, outputs: Mapping[str, Floats]) -> Detections:
    """Give all boxes of a whole graph's outputs, each with its best class.

    What the graph decodes is taken as it is; the rest is decoded here.

    Args:
        head: with evidence of what `can_read` allows.
        outputs: name -> value.
    """
    evidence = head.evidence
    assert evidence is not None
    if evidence.selectors:
        return _selected(next(value for value in outputs.values() if _is_selected(value.shape)))
    decoded: dict[Kind, Floats] = {}
    raw: dict[Kind, Floats] = {}
    for kinds, values, columns in _by_kinds(head, evidence.columns, outputs):
        if columns.stage is Stage.decoded:
            decoded[kinds[-1]] = values
        else:
            raw |= {kind: head.logits(kind, values) if columns.stage else values for kind in kinds}
    cut_values = head.unread(raw)
    boxes, scores = decoded.get(Kind.boxes, decoded.get(Kind.sizes)), decoded.get(Kind.classes)
    points = decoded.get(Kind.keypoints)
    return Predictions(
        head.boxes(cut_values) if boxes is None else boxes,
        head.scores(cut_values) if scores is None else scores,
        points if points is not None or Kind.keypoints not in raw else head.keypoints(cut_values),
        raw.get(Kind.masks),
    ).best()


def _by_kinds(
    head: Head, all_columns: tuple[Columns, ...], outputs: Mapping[str, Floats]
) -> list[tuple[tuple[Kind, ...], Floats, Columns]]:
    """Values of each group of kinds, [N, count], in pixels where they are boxes or points."""
    groups: dict[tuple[Kind, ...], list[Columns]] = {}
    for columns in all_columns:
        groups.setdefault(columns.kinds, []).append(columns)
    return [
        (kinds, np.concatenate([_read(head, columns, outputs) for columns in sorted(group, key=_start)]), group[0])
        for kinds, group in groups.items()
        if kinds
    ]


def _start(columns: Columns) -> int:
    return columns.start


def _read(head: Head, columns: Columns, outputs: Mapping[str, Floats]) -> Floats:
    matrices = row_matrices(np.asarray(outputs[columns.tensor], np.float32), head)
    matrix = next(matrix for rows, matrix in matrices if (rows.start, rows.stop) == (columns.start, columns.stop))
    values = matrix[:, columns.first : columns.first + columns.count]
    if columns.stage is not Stage.decoded:
        return values
    size = np.array([head.width, head.height], np.float32) if columns.relative else np.ones(2, np.float32)
    if columns.form is not None:
        boxes: Floats = columns.form.read(values) * np.concatenate([size, size])
        return boxes
    if Kind.keypoints in columns.kinds:
        points = values.reshape(head.count, -1, 3 if columns.count % 3 == 0 else 2)
        visible = points[..., 2:] if points.shape[2] == 3 else np.ones_like(points[..., :1])
        return np.concatenate([points[..., :2] * size, visible], axis=2)
    return values


def _is_selected(shape: Sequence[int | str]) -> bool:
    return len(shape) == 3 and shape[0] == 1 and shape[2] == SELECTED_COLUMNS


def _selected(output: Floats) -> Detections:
    rows = output[0]
    return Detections(rows[:, :4], rows[:, 4], np.round(rows[:, 5]).astype(np.int64))
