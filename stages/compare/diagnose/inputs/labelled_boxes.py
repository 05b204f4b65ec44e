"""Some of the evaluation pictures with their objects: evidence of how a detector is fed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stages.compare.diagnose.inputs.input_fit import Array
from stages.core.data.objects import Objects
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import LEAST_SCORE, Detector
from stages.core.heads.matching import match

__all__ = ["LabelledBoxes", "log_likelihood"]

FEW = 8
"""Pictures of all glances together, about."""


@dataclass(frozen=True)
class LabelledBoxes:
    """Pictures with their objects.

    Attributes:
        samples: uint8 [H, W, C] each, in the configured colour.
        placements: of each picture in its sample.
        objects: of each picture, one or more.
        detector: decodes the float network's outputs.
    """

    samples: Sequence[NDArray[np.uint8]]
    placements: Sequence[Placement]
    objects: Sequence[Objects]
    detector: Detector

    def likelihoods(self, outputs: Iterable[Mapping[str, Floats]]) -> Array:
        """Log-likelihood of each picture's objects, float64 [P], by what the network finds in the pictures."""
        found = (self.detector.detect(output) for output in outputs)
        pictures = zip(found, self.placements, self.objects, strict=True)
        return np.array(
            [
                log_likelihood(replace(boxes, boxes=placement.to_picture(boxes.boxes).astype(np.float32)), objects)
                for boxes, placement, objects in pictures
            ]
        )

    def glances(self) -> "Sequence[LabelledBoxes]":
        """A few of the pictures, then some more, each evenly over all."""
        step = max(len(self.samples) // FEW, 1)
        return [self._part(start, 2 * step) for start in (0, step)]

    def _part(self, start: int, step: int) -> Self:
        chosen = slice(start, None, step)
        return type(self)(self.samples[chosen], self.placements[chosen], self.objects[chosen], self.detector)

    def chance(self, _: int) -> float:
        """What a network reaches that finds nothing."""
        return float(np.log(LEAST_SCORE))


def log_likelihood(found: Detections, objects: Objects) -> float:
    """How likely a network makes what there is in a picture, in nats an object.

    Each object counts by the score of the box that shows it, each other box by the probability that it is wrong.

    Args:
        found: after suppression, in pixels of the picture, the best first.
        objects: one or more.
    """
    count = len(objects.classes)
    truth = Detections(objects.boxes.astype(np.float32), np.ones(count, np.float32), objects.classes)
    matches = match(truth, found)
    scores = np.clip(found.scores.astype(np.float64), LEAST_SCORE, 1.0 - LEAST_SCORE)
    shown, invented = scores[matches.pairs[:, 1]], scores[matches.invented]
    total = np.log(shown).sum() + len(matches.missed) * np.log(LEAST_SCORE) + np.log1p(-invented).sum()
    return float(total) / count
