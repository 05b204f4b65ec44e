"""Heads whose boxes are distances from a point to the four sides.

YOLOv8, v9, v10, v11, v12 and 26 (Ultralytics), NanoDet and PicoDet give each distance as a distribution over bins
(distribution focal loss; Li et al., Generalized Focal Loss, 2020), YOLOv6 and SCRFD (Guo et al., 2021) as a number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import Evidence, Head, Kind, Level, Stage, sigmoid, softmax
from stages.core.heads.layouts import Counts, apart, joined, prototype_counts
from stages.core.heads.tail import Tail

__all__ = ["DistanceHead", "propose"]

SIDES = 4
NANODET_BINS = 8
USUAL_BINS = {NANODET_BINS: 4, 16: 4, 17: 3}
"""Bins -> the most levels: NanoDet and PicoDet have 8, Ultralytics 16, PP-YOLOE 17. Others are believed only if the
graph decodes, as are more levels: GFL has 17 bins on five, and its points in the cells' corners."""
SCRFD_ANCHORS = 2
ANCHORS = (1, SCRFD_ANCHORS, 3)
"""Of a cell: SCRFD has 2 at the same point."""
POINT, POINT_WITH_SCORE = 2, 3
"""Values of a key point: x and y, and how visible it is. Of 6 values a row their number does not tell which."""


@dataclass(frozen=True)
class DistanceHead(Head):
    """Distances to the four sides.

    Attributes:
        bins: of each distance's distribution, in strides; 1: the distance itself.
        point: where in its cell a row's point is: 0.5, the middle, or 0, the upper left corner.
        in_pixels: distances of one bin are pixels, not strides.
        keypoint_gain: key points are their values times this, from the cell's corner at 2 and from the point at 1.
        keypoint_size: values of a key point: 2, x and y, or 3, the logit of being visible too.
    """

    bins: int = 1
    point: float = 0.5
    in_pixels: bool = False
    keypoint_gain: int = 1
    keypoint_size: int = 3

    cells_first = True

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "yolov8"

    @property
    def name(self) -> str:
        """The family."""
        if self.bins == 1:
            return "YOLO26-like" if self.point else "SCRFD-like"
        if self.one_to_one:
            return "YOLOv10-like"
        if self.bins == NANODET_BINS:
            return "NanoDet-like" if self.point else "NanoDet-Plus-like"
        return "YOLOv8-like"

    @property
    def one_to_one(self) -> bool:
        """Whether the graph takes the best rows without NMS (Wang et al., YOLOv10, 2024)."""
        return self.evidence is not None and self.evidence.selectors == ("TopK",)

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return f"{self.bins} distance bins" if self.bins > 1 else "distances to the four sides"

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Points less and plus the distances."""
        distances = self.read(Kind.boxes, outputs)
        if self.bins > 1:
            weighted = softmax(distances.reshape(-1, SIDES, self.bins)) * np.arange(self.bins, dtype=np.float32)
            distances = weighted.sum(axis=2)
        if not self.in_pixels:
            distances = distances * self.strides
        points = self._points()
        return np.concatenate([points - distances[:, :2], points + distances[:, 2:]], axis=1)

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """The logistic function of each class."""
        return self.probabilities(Kind.classes, outputs)

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """From the point in strides; a point without a value for it is visible."""
        if Kind.keypoints not in self.kinds:
            return None
        points = self.read(Kind.keypoints, outputs).reshape(self.count, -1, self.keypoint_size)
        origin = self.cells * self.strides if self.keypoint_gain == 2 else self._points()
        xy = points[..., :2] * self.keypoint_gain * self.strides[:, None] + origin[:, None]
        visible = sigmoid(points[..., 2:]) if self.keypoint_size == POINT_WITH_SCORE else np.ones_like(xy[..., :1])
        return np.concatenate([xy, visible], axis=2)

    @property
    def keypoint_count(self) -> int:
        """Key points of a row; 0 where the head gives none."""
        view = self.levels[0].views.get(Kind.keypoints)
        return view.count // self.keypoint_size if view else 0

    def trusted(self, evidence: Evidence) -> str | None:
        """Where the points are, by the family.

        Two tensors a level with as many channels could be anything: the graph must show that one is scores, or join
        them. Distances of one bin are trusted with two anchors a cell alone, which are SCRFD's; its key points are
        x and y.
        """
        scored = evidence.stages[Kind.classes] > Stage.raw
        if not scored and (self.bins == 1 or evidence.tensors[Kind.boxes] != evidence.tensors[Kind.classes]):
            return None
        if self.bins == 1:
            coded = (self.point, self.in_pixels, self.keypoint_gain) == (0, False, 1)
            scored_points = Kind.keypoints in self.kinds and self.keypoint_size == POINT_WITH_SCORE
            scrfd = len(self.levels[0].anchors) == SCRFD_ANCHORS and coded and not scored_points
            return "points taken in the cells' corners, distances in strides" if scrfd else None
        if len(self.levels) > USUAL_BINS.get(self.bins, 0) or Kind.keypoints in self.kinds:
            return None
        one_output = len({tensor for tensors in evidence.tensors.values() for tensor in tensors}) == 1
        nanodet_plus = self.bins == NANODET_BINS and len(self.levels) == 4 and one_output
        if nanodet_plus != (self.point == 0):
            return None
        return f"points taken in the cells' {'corners' if nanodet_plus else 'middles'}"

    def _points(self) -> Floats:
        return (self.cells + np.float32(self.point)) * self.strides


def propose(tail: Tail) -> Iterator[DistanceHead]:
    """Give every head of distances that the channels allow."""
    for levels, bins in _layouts(tail):
        head = DistanceHead(tail.height, tail.width, levels, bins=bins)
        codings = product((0.5, 0.0), (False, True) if bins == 1 else (False,), _keypoint_codings(levels[0]))
        for point, in_pixels, (gain, size) in codings:
            yield replace(head, point=point, in_pixels=in_pixels, keypoint_gain=gain, keypoint_size=size)


def _keypoint_codings(level: Level) -> list[tuple[int, int]]:
    """The gains of key points and the values of each that their number allows; of a head without any the defaults."""
    view = level.views.get(Kind.keypoints)
    if view is None:
        return [(1, POINT_WITH_SCORE)]
    sizes = [size for size in (POINT_WITH_SCORE, POINT) if view.count % size == 0]
    return list(product((2, 1), sizes))


def _layouts(tail: Tail) -> Iterator[tuple[tuple[Level, ...], int]]:
    """Levels and their bins."""
    extras: list[Counts] = [{}, {Kind.keypoints: None}]
    extras += [{Kind.masks: count} for count in sorted(prototype_counts(tail))]
    for extra, anchors in product(extras, ANCHORS):
        counts: Counts = {Kind.boxes: None, Kind.classes: None, **extra}
        for levels in apart(tail.grids, counts, anchors):
            bins, rest = divmod(levels[0].views[Kind.boxes].count, SIDES)
            if not rest and (bins == 1 or anchors == 1):
                yield levels, bins
    for bins in USUAL_BINS:
        for order in permutations((Kind.boxes, Kind.classes)):
            counts = {kind: SIDES * bins if kind is Kind.boxes else None for kind in order}
            yield from ((levels, bins) for levels in joined(tail.grids, counts, anchors=1))
