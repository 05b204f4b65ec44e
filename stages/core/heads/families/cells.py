"""Heads whose boxes are an offset from their cell and the logarithm of a size in strides.

YOLOX (Ge et al., 2021) and YuNet (Wu et al., 2023), which adds key points and takes the geometric mean of objectness
and class.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import Evidence, Head, Kind, corners
from stages.core.heads.layouts import Counts, apart, joined
from stages.core.heads.tail import Tail

__all__ = ["CellHead", "propose"]

STRIDES = [8, 16, 32]
"""Of YOLOX and YuNet. ATSS, FCOS and PAA have the same channels at two strides more, and code boxes otherwise."""


class CellHead(Head):
    """Centre (x + column) * stride, size exp(w) * stride."""

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "yunet" if Kind.keypoints in self.kinds else "yolox"

    @property
    def name(self) -> str:
        """The family."""
        return "YuNet-like" if Kind.keypoints in self.kinds else "YOLOX-like"

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return "offsets from the cell, sizes as logarithms"

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Corners of the boxes."""
        values = self.read(Kind.boxes, outputs)
        return corners((values[:, :2] + self.cells) * self.strides, np.exp(values[:, 2:]) * self.strides)

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """Objectness times class; with key points the root of it."""
        products = self.probabilities(Kind.objectness, outputs) * self.probabilities(Kind.classes, outputs)
        return np.sqrt(products) if Kind.keypoints in self.kinds else products

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """Offsets from the cell in strides, all as visible as the box is sure."""
        if Kind.keypoints not in self.kinds:
            return None
        points = self.read(Kind.keypoints, outputs).reshape(self.count, -1, 2)
        xy = (points + self.cells[:, None]) * self.strides[:, None]
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=2)

    def trusted(self, evidence: Evidence) -> str | None:
        """The coding, if boxes, objectness and classes are apart, at YOLOX's strides: joined could be an anchor's."""
        apart = len(self.tensors) == len(self.levels) * len(self.kinds)
        usual = [level.stride for level in self.levels] == STRIDES
        return f"boxes taken as {self.name.removesuffix('-like')}'s" if apart and usual else None


def propose(tail: Tail) -> Iterator[CellHead]:
    """Give every head of cells that the channels allow."""
    counts: Counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: None}
    for levels in apart(tail.grids, counts, anchors=1):
        yield CellHead(tail.height, tail.width, levels)
    for levels in apart(tail.grids, {**counts, Kind.classes: 1, Kind.keypoints: None}, anchors=1):
        if levels[0].views[Kind.keypoints].count % 2 == 0:
            yield CellHead(tail.height, tail.width, levels)
    for levels in joined(tail.grids, {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: None}, anchors=1):
        yield CellHead(tail.height, tail.width, levels)
