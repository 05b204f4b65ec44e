"""Heads whose boxes are coded by anchors: YOLOv5 and v7 (Ultralytics; Wang et al., 2022), YOLOv3 (Redmon, 2018)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import Evidence, Head, Kind, Level, corners, sigmoid
from stages.core.heads.layouts import Counts, joined, prototype_counts
from stages.core.heads.tail import Tail
from stages.core.heads.verify import row_matrices

__all__ = ["AnchorHead", "computed_anchors", "propose"]

ANCHORS = (3, 2, 4, 5, 6, 1)
"""Of a cell, the usual number first."""
SAME = 1e-3
"""Relative difference up to which an anchor's size is the same in all cells."""


@dataclass(frozen=True)
class AnchorHead(Head):
    """Sizes as multiples of anchors.

    Attributes:
        exponential: YOLOv3's coding, centre (s(x) + column) * stride and size exp(w) * anchor; else YOLOv5's, centre
            (2 s(x) - 0.5 + column) * stride and size (2 s(w))^2 * anchor. s is the logistic function.
        given: the anchors come from the user, not from the graph.
    """

    exponential: bool = False
    given: bool = False

    activated = (Kind.boxes, Kind.objectness, Kind.classes)

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "yolov3" if self.exponential else "yolov5"

    @property
    def name(self) -> str:
        """The family."""
        return "YOLOv3-like" if self.exponential else "YOLOv5-like"

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return f"{len(self.levels[0].anchors)} anchors a cell"

    def trusted(self, evidence: Evidence) -> str | None:
        """The user's anchors: a graph that does not decode has none, and they differ between trainings."""
        return "boxes taken as YOLOv5's, with the anchors given" if self.given else None

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Corners of the boxes."""
        offsets = sigmoid(self.read(Kind.boxes, outputs)[:, :2])
        if not self.exponential:
            offsets = 2 * offsets - np.float32(0.5)
        return corners((offsets + self.cells) * self.strides, self.relative_sizes(outputs) * self.anchors)

    def relative_sizes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Width and height of all rows in parts of the anchor, [N, 2]."""
        values = self.read(Kind.boxes, outputs)[:, 2:]
        return np.exp(values) if self.exponential else (2 * sigmoid(values)) ** 2

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """Objectness times class."""
        return self.probabilities(Kind.objectness, outputs) * self.probabilities(Kind.classes, outputs)

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """In parts of the anchor from the cell's corner (YOLOv5-face; Qi et al., 2021)."""
        if Kind.keypoints not in self.kinds:
            return None
        points = self.read(Kind.keypoints, outputs).reshape(self.count, -1, 2)
        xy = points * self.anchors[:, None] + (self.cells * self.strides)[:, None]
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=2)


def propose(tail: Tail, anchors: Sequence[float] = ()) -> Iterator[AnchorHead]:
    """Give every head of anchors that the channels allow and whose anchors are known.

    Args:
        tail: whose decoding the anchors are read from.
        anchors: w, h, w, h, ... in pixels, as many for each level, the finest first: if the graph does not decode.
    """
    for levels in _layouts(tail):
        for exponential in (False, True):
            head = AnchorHead(tail.height, tail.width, levels, exponential=exponential)
            for anchored in computed_anchors(head, head.relative_sizes(tail.cut_values), tail):
                yield replace(head, levels=anchored)
        if len(anchors) == 2 * sum(len(level.anchors) for level in levels):
            yield AnchorHead(tail.height, tail.width, _with_anchors(levels, anchors), given=True)


def _with_anchors(levels: Sequence[Level], anchors: Sequence[float]) -> tuple[Level, ...]:
    sizes = iter(zip(anchors[::2], anchors[1::2], strict=True))
    return tuple(replace(level, anchors=tuple(islice(sizes, len(level.anchors)))) for level in levels)


def _layouts(tail: Tail) -> Iterator[tuple[Level, ...]]:
    boxes: Counts = {Kind.boxes: 4, Kind.objectness: 1}
    extras: list[Counts] = [{Kind.classes: None}]
    extras += [{Kind.keypoints: 2 * points, Kind.classes: None} for points in (5, 4)]
    extras += [{Kind.classes: None, Kind.masks: count} for count in sorted(prototype_counts(tail))]
    for extra in extras:
        for anchors in ANCHORS:
            yield from joined(tail.grids, {**boxes, **extra}, anchors)


def computed_anchors(head: Head, relative_sizes: Floats, tail: Tail) -> Iterator[tuple[Level, ...]]:
    """Read the anchors from what the graph computes: sizes that are the coded ones times the same number in all cells.

    So it does not matter how an exporter stored them: in pixels, in strides, in parts of the input, multiplied by a
    factor of the coding, for each row or once.

    Args:
        head: whose anchors are not known.
        relative_sizes: [N, 2], width and height in parts of the anchor, of the tail's random values.
        tail: with the decoding.

    Yields:
        The head's levels with anchors in pixels, for each tensor that can be the sizes; both for sizes in pixels and in
        parts of the input.
    """
    for value in tail.values.values():
        for rows, matrix in row_matrices(value, head):
            columns = {2: slice(0, 2), 4: slice(2, 4)}.get(min(matrix.shape[1], 4))
            if rows != slice(0, head.count) or columns is None:
                continue
            sizes = _constant_sizes(head, matrix[:, columns] / relative_sizes)
            for unit in (1, np.array([tail.width, tail.height])) if sizes else ():
                yield tuple(
                    replace(level, anchors=tuple((float(w), float(h)) for w, h in size * unit))
                    for level, size in zip(head.levels, sizes, strict=True)
                )


def _constant_sizes(head: Head, sizes: Floats) -> list[Floats]:
    """Each level's sizes, [anchors, 2], if they are the same in all its cells; else nothing."""
    of_levels, first = [], 0
    for level in head.levels:
        by_anchor = head.unordered(sizes[first : first + level.count], level)
        first += level.count
        middle = np.median(by_anchor, axis=1)
        if not (middle > 0).all() or not (np.abs(by_anchor - middle[:, None]) <= SAME * middle[:, None]).all():
            return []
        of_levels.append(middle)
    return of_levels
