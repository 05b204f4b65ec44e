"""Heads of centre points: a map of scores whose peaks are objects (Zhou et al., Objects as Points, 2019)."""

from collections.abc import Iterator, Mapping

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import Evidence, Head, Kind, corners
from stages.core.heads.layouts import apart
from stages.core.heads.tail import Tail

__all__ = ["CenterHead", "propose"]

STRIDE = 4
LANDMARKS = 10


class CenterHead(Head):
    """CenterFace (Xu et al., 2019): centre (offset + column + 0.5) * 4, size exp(scale) * 4; y is before x."""

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "centerface"

    @property
    def name(self) -> str:
        """The family."""
        return "CenterFace-like"

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return "centre points, sizes as logarithms"

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Corners of the boxes."""
        offsets = self.read(Kind.boxes, outputs)[:, ::-1]
        return corners((offsets + self.cells + np.float32(0.5)) * self.strides, self._sizes(outputs))

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """The logistic function of the score map."""
        return self.probabilities(Kind.classes, outputs)

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """In parts of the box from its upper left corner."""
        points = self.read(Kind.keypoints, outputs).reshape(self.count, -1, 2)[..., ::-1]
        xy = points * self._sizes(outputs)[:, None] + self.boxes(outputs)[:, None, :2]
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=2)

    def trusted(self, evidence: Evidence) -> str | None:
        """Which of two pairs is the size: the one that the graph computes first, as CenterFace's does."""
        return "of the two pairs of channels the first taken as scale, the second as offset"

    def _sizes(self, outputs: Mapping[str, Floats]) -> Floats:
        return np.exp(self.read(Kind.sizes, outputs)[:, ::-1]) * self.strides


def propose(tail: Tail) -> Iterator[CenterHead]:
    """Give the head of centre points, if one level has the channels of CenterFace."""
    counts = {Kind.classes: 1, Kind.sizes: 2, Kind.boxes: 2, Kind.keypoints: LANDMARKS}
    for levels in apart(tail.grids, counts, anchors=1):
        if [level.stride for level in levels] == [STRIDE]:
            yield CenterHead(tail.height, tail.width, levels)
            return  # the next has the two pairs the other way round
