"""Whether a head explains what the graph computes: the same numbers from the same values of the last convolutions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import BoxForm, Columns, Evidence, Head, Kind, Level, Stage
from stages.core.heads.tail import Tail

__all__ = ["row_matrices", "verify"]

TOLERANCE = 1e-3
"""Difference allowed between a head's number and the graph's, in pixels or relative to larger numbers."""
SAMPLED_ROWS = 40
"""A match is first looked for in so many rows."""


@dataclass(frozen=True)
class _Expected:
    """What a head expects in some columns of all rows; `kinds` to `relative` as of `Columns`.

    Attributes:
        values: [N, columns].
        tolerance: number below which a difference is not relative.
    """

    kinds: tuple[Kind, ...]
    stage: Stage
    values: Floats
    tolerance: float = 1.0
    form: BoxForm | None = None
    relative: bool = False

    @property
    def count(self) -> int:
        return int(self.values.shape[1])

    def seen(self, tensor: str, rows: slice, first: int) -> Columns:
        """These columns in a tensor."""
        return Columns(
            self.kinds, self.stage, tensor, int(rows.start), int(rows.stop), first, self.count, self.form, self.relative
        )


@dataclass(frozen=True)
class _Seen:
    """Columns of a tensor that are what a head expects, and by how much they differ."""

    columns: Columns
    error: float

    @property
    def stage(self) -> Stage:
        return self.columns.stage

    @property
    def count(self) -> int:
        """Rows."""
        return self.columns.stop - self.columns.start


def verify(head: Head, tail: Tail) -> Evidence | None:
    """Find what a head expects among the graph's outputs.

    Where operators such as TopK choose rows, every tensor before them is looked at, else the outputs alone. An output
    counts if all its columns are explained.

    Args:
        head: what the tail may be.
        tail: with random values.

    Returns:
        None if some row or some kind of values of the head is not in the graph.
    """
    with np.errstate(all="ignore"):  # the exponential of a wrong head may overflow
        expected = sorted(_expected(head, tail), key=lambda columns: (-columns.count, -columns.stage))
    chosen = {output for output in tail.outputs if tail.selectors and output not in tail.values}
    seen: dict[tuple[Kind, int, int], _Seen] = {}
    explained = set()
    for tensor in tail.values if tail.selectors else tail.outputs:
        for rows, matrix in row_matrices(tail.values[tensor], head) if tensor in tail.values else ():
            matches = _explain(tensor, matrix, rows, expected)
            explained.update([tensor] if matches else [])
            for sight in matches:
                for kind in sight.columns.kinds:
                    key = (kind, sight.columns.start, sight.columns.stop)
                    seen[key] = max(sight, seen.get(key, sight), key=lambda sight: sight.stage)
    of_kinds = {kind: _covering(head, [sight for (of, *_), sight in seen.items() if of is kind]) for kind in head.kinds}
    if not all(of_kinds.values()):
        return None
    sights = [sight for of_kind in of_kinds.values() for sight in of_kind]
    return Evidence(
        stages={kind: min(sight.stage for sight in of_kind) for kind, of_kind in of_kinds.items()},
        tensors={kind: tuple(sight.columns.tensor for sight in of_kind) for kind, of_kind in of_kinds.items()},
        shapes={sight.columns.tensor: tail.values[sight.columns.tensor].shape for sight in sights},
        columns=tuple(dict.fromkeys(sight.columns for sight in sights)),
        difference=max(sight.error for sight in sights),
        selectors=tail.selectors,
        others=tuple(output for output in tail.outputs if output not in explained and output not in chosen),
    )


def _covering(head: Head, sights: Sequence[_Seen]) -> list[_Seen]:
    """The sight of all rows, or those of each level if they are further decoded; nothing if a level is missing."""
    whole = [sight for sight in sights if sight.count == head.count]
    levels = [] if len(head.levels) == 1 else [sight for sight in sights if sight.count < head.count]
    complete = [some for some in (whole, levels) if sum(sight.count for sight in some) == head.count]
    return max(complete, key=lambda some: min(sight.stage for sight in some), default=[])


def _expected(head: Head, tail: Tail) -> Iterator[_Expected]:
    """All that an exporter may return of a head."""
    outputs = tail.cut_values
    for kind in head.kinds:
        yield _Expected((kind,), Stage.raw, head.read(kind, outputs))
    for kind in set(head.activated).intersection(head.kinds):
        yield _Expected((kind,), Stage.activated, head.probabilities(kind, outputs))
    predictions = head.predict(outputs)
    scored = tuple(kind for kind in (Kind.objectness, Kind.classes) if kind in head.kinds)
    yield _Expected(scored, Stage.decoded, predictions.scores)
    all_classes = np.minimum(predictions.scores.sum(axis=1, keepdims=True), 1)  # Rockchip's exporter
    no_objectness = np.ones((head.count, 1), np.float32)  # YOLOv6's exporter
    yield from (_Expected((), Stage.decoded, values) for values in (all_classes, no_objectness))
    size = np.array([tail.width, tail.height], np.float32)
    located = tuple(kind for kind in (Kind.boxes, Kind.sizes) if kind in head.kinds)
    for relative in (False, True):
        unit = 1 / size if relative else np.ones(2, np.float32)
        tolerance = float(np.min(unit))
        scaled = predictions.boxes * np.concatenate([unit, unit])
        for form in BoxForm:
            yield _Expected(located, Stage.decoded, form.write(scaled), tolerance, form, relative)
        if predictions.keypoints is not None:
            points = np.concatenate([predictions.keypoints[..., :2] * unit, predictions.keypoints[..., 2:]], axis=2)
            for values in (points, points[..., :2]):
                flat = values.reshape(head.count, -1)
                yield _Expected((Kind.keypoints,), Stage.decoded, flat, tolerance, relative=relative)


def _explain(tensor: str, matrix: Floats, rows: slice, expected: Sequence[_Expected]) -> list[_Seen]:
    """What a tensor's columns are from left to right, with the difference of each; nothing if some are unknown."""
    matches: list[_Seen] = []
    first = 0
    while first < matrix.shape[1]:
        for columns in expected:
            seen = matrix[:, first : first + columns.count]
            error = _difference(seen, columns.values[rows], columns.tolerance)
            if error <= TOLERANCE:
                matches.append(_Seen(columns.seen(tensor, rows, first), error))
                first += columns.count
                break
        else:
            return []
    return matches


def _difference(seen: Floats, values: Floats, least: float) -> float:
    """Largest difference, relative to the largest number of the row or to `least`; infinite if it is not small."""
    if seen.shape != values.shape:
        return np.inf
    sampled = slice(None, None, max(len(seen) // SAMPLED_ROWS, 1))
    for some in (sampled, slice(None)):
        scale = np.maximum(np.abs(values[some]).max(axis=1, keepdims=True), least)
        error = float((np.abs(seen[some] - values[some]) / scale).max())
        if not error <= TOLERANCE:
            return np.inf
    return error


def row_matrices(value: Floats, head: Head) -> Iterator[tuple[slice, Floats]]:
    """Give what rows of a head a tensor may hold: all of them or those of a level, and their columns as a matrix.

    Known are [N, K] and [K, N], for each level also [C, H, W], [H, W, C] and [A, H, W, K], axes of size 1 before them.
    """
    shape = value.shape or (1,)
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    value = value.reshape(shape)
    ends = np.cumsum([level.count for level in head.levels]).tolist()
    levels = [(slice(end - level.count, end), level) for end, level in zip(ends, head.levels, strict=True)]
    for rows in (slice(0, ends[-1]), *(rows for rows, _ in levels if len(levels) > 1)):
        count = rows.stop - rows.start
        if shape[0] == count:
            yield rows, value.reshape(count, -1)
        elif shape[-1] == count:
            yield rows, value.reshape(-1, count).T
    for rows, level in levels:
        for grid in _as_grids(value, level):
            yield rows, head.ordered(grid)


def _as_grids(value: Floats, level: Level) -> Iterator[Floats]:
    """A level's values, [anchors, cells, K], from a tensor that has the grid's rows and columns as axes."""
    size, anchors, cells = (level.rows, level.columns), len(level.anchors), level.rows * level.columns
    if value.shape == size and anchors == 1:
        yield value.reshape(1, cells, 1)
    if value.ndim == 4 and value.shape[:3] == (anchors, *size):
        yield value.reshape(anchors, cells, -1)
    if value.ndim == 3 and value.shape[1:] == size and value.shape[0] % anchors == 0:
        yield value.reshape(anchors, -1, cells).transpose(0, 2, 1)
    if value.ndim == 3 and value.shape[:2] == size and value.shape[2] % anchors == 0:
        yield value.reshape(cells, anchors, -1).transpose(1, 0, 2)
