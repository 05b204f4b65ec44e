"""FastestDet's head (Ma, FastestDet, 2022): one level, boxes in parts of the picture."""

from collections.abc import Iterator, Mapping

import numpy as np

from stages.core.heads.detections import Floats
from stages.core.heads.head import LEAST_PROBABILITY, Evidence, Head, Kind, Stage, corners, sigmoid, softmax
from stages.core.heads.layouts import apart
from stages.core.heads.tail import Tail

__all__ = ["FastestDetHead", "propose"]

OBJECTNESS_POWER = np.float32(0.6)
CLASS_POWER = np.float32(0.4)


class FastestDetHead(Head):
    """Centre (tanh(x) + column) * stride, size s(w) * the picture's; s is the logistic function."""

    @property
    def kind(self) -> str:
        """The coding's name."""
        return "fastestdet"

    @property
    def name(self) -> str:
        """The family."""
        return "FastestDet-like"

    @property
    def coding(self) -> str:
        """How boxes are coded."""
        return "offsets by tanh, sizes in parts of the picture"

    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Corners of the boxes."""
        values = self.read(Kind.boxes, outputs)
        picture = np.array([self.width, self.height], np.float32)
        return corners((np.tanh(values[:, :2]) + self.cells) * self.strides, sigmoid(values[:, 2:]) * picture)

    def probabilities(self, kind: Kind, outputs: Mapping[str, Floats]) -> Floats:
        """The logistic function of the objectness, softmax over the classes."""
        values = self.read(kind, outputs)
        return softmax(values) if kind is Kind.classes else sigmoid(values)

    def logits(self, kind: Kind, probabilities: Floats) -> Floats:
        """Of classes logarithms, whose softmax is the probabilities again."""
        if kind is Kind.classes:
            return np.log(np.maximum(probabilities, LEAST_PROBABILITY))
        return super().logits(kind, probabilities)

    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """Objectness^0.6 times class^0.4."""
        objectness = self.probabilities(Kind.objectness, outputs)
        return objectness**OBJECTNESS_POWER * self.probabilities(Kind.classes, outputs) ** CLASS_POWER

    def trusted(self, evidence: Evidence) -> str | None:
        """The coding, if the graph computes the probabilities as FastestDet's does."""
        computed = min(evidence.stages[Kind.objectness], evidence.stages[Kind.classes])
        return "boxes taken as FastestDet's" if computed is Stage.activated else None


def propose(tail: Tail) -> Iterator[FastestDetHead]:
    """Give the head, if it is the network's only level."""
    counts = {Kind.objectness: 1, Kind.boxes: 4, Kind.classes: None}
    for levels in apart(tail.grids, counts, anchors=1):
        if len(levels) == 1 and levels[0].views[Kind.classes].count > 1:
            yield FastestDetHead(tail.height, tail.width, levels)
