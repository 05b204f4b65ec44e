"""Heads of the single-shot detector (Liu et al., SSD, 2016): boxes coded by priors, classes with the background first.

UltraFace and RetinaFace are SSD with priors of their own. Priors are read from the decoding; where a graph ends before
it, those that the two have published are taken if strides, anchors and outputs are theirs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.families.anchors import computed_anchors
from stages.core.heads.head import LEAST_PROBABILITY, Evidence, Head, Kind, corners, softmax
from stages.core.heads.layouts import Counts, apart
from stages.core.heads.tail import Tail

__all__ = ["PriorHead", "propose"]

CENTRE_VARIANCE = np.float32(0.1)
SIZE_VARIANCE = np.float32(0.2)
ULTRAFACE = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
"""Stride -> sides of the priors in pixels (Linzaer, Ultra-Light-Fast-Generic-Face-Detector-1MB)."""
RETINAFACE = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Stride -> sides of the priors in pixels (Deng et al., RetinaFace, 2019; biubug6, Pytorch_Retinaface)."""


@dataclass(frozen=True)
class PriorHead(Head):
    """Centre prior + 0.1 d size, size prior exp(0.2 d).

    Attributes:
        even: cells divide the picture evenly, as UltraFace's do; else the last may end outside.
        published: whose priors these are if the graph has none.
    """

    even: bool = False
    published: str | None = None

    cells_first = True

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "ssd"

    @property
    def name(self) -> str:
        """The family."""
        return f"{self.published}-like" if self.published else "SSD-like"

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return f"{' + '.join(str(len(level.anchors)) for level in self.levels)} priors a cell"

    @property
    def classes(self) -> int:
        """Classes, without the background."""
        return super().classes - 1

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Corners of the boxes."""
        offsets = self.read(Kind.boxes, outputs)[:, :2] * CENTRE_VARIANCE
        return corners(self._centres() + offsets * self.anchors, self.relative_sizes(outputs) * self.anchors)

    def relative_sizes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Width and height of all rows in parts of the prior, [N, 2]."""
        sizes: Floats = np.exp(self.read(Kind.boxes, outputs)[:, 2:] * SIZE_VARIANCE)
        return sizes

    def probabilities(self, kind: Kind, outputs: Mapping[str, Floats]) -> Floats:
        """Softmax over the classes and the background."""
        return softmax(self.read(kind, outputs))

    def logits(self, kind: Kind, probabilities: Floats) -> Floats:
        """Logarithms, whose softmax is the probabilities again."""
        return np.log(np.maximum(probabilities, LEAST_PROBABILITY))

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """Probabilities without the background's."""
        return self.probabilities(Kind.classes, outputs)[:, 1:]

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """Coded as the centres are."""
        if Kind.keypoints not in self.kinds:
            return None
        points = self.read(Kind.keypoints, outputs).reshape(self.count, -1, 2)
        xy = points * CENTRE_VARIANCE * self.anchors[:, None] + self._centres()[:, None]
        return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=2)

    def trusted(self, evidence: Evidence) -> str | None:
        """The priors, if they are known for such levels."""
        return f"priors taken as {self.published} publishes them" if self.published else None

    def _centres(self) -> Floats:
        return (self.cells + np.float32(0.5)) * (self._even_strides if self.even else self.strides)

    @cached_property
    def _even_strides(self) -> Floats:
        """Width and height in pixels of each row's cell, [N, 2]."""
        sizes = [(self.width / level.columns, self.height / level.rows) for level in self.levels]
        counts = [level.count for level in self.levels]
        return np.repeat(np.array(sizes, np.float32), counts, axis=0)


def propose(tail: Tail) -> Iterator[PriorHead]:
    """Give every head of priors that the channels allow and whose priors can be read from the decoding or are known."""
    for extra in ({}, {Kind.keypoints: 10}):
        counts: Counts = {Kind.boxes: 4, Kind.classes: None, **extra}
        for levels in apart(tail.grids, counts, anchors=None):
            if levels[0].views[Kind.classes].count < 2:
                continue
            head = PriorHead(tail.height, tail.width, levels)
            for computed in computed_anchors(head, head.relative_sizes(tail.cut_values), tail):
                yield from (replace(head, levels=computed, even=even) for even in (False, True))
            yield from _published(head)


def _published(head: PriorHead) -> Iterator[PriorHead]:
    """The head with the priors that its levels, anchors and kinds are known for."""
    name, sides = ("RetinaFace", RETINAFACE) if Kind.keypoints in head.kinds else ("UltraFace", ULTRAFACE)
    if {level.stride: len(level.anchors) for level in head.levels} != {stride: len(of) for stride, of in sides.items()}:
        return
    width, height = (head.width, head.height) if name == "UltraFace" else (np.inf, np.inf)  # which clips its priors
    levels = [
        replace(
            level, anchors=tuple((float(min(side, width)), float(min(side, height))) for side in sides[level.stride])
        )
        for level in head.levels
    ]
    yield replace(head, levels=tuple(levels), even=name == "UltraFace", published=name)
