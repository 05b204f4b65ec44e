"""Which boxes of one network another one finds too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.core.heads.detections import Detections
from stages.core.heads.nms import intersection_over_union

__all__ = ["Matches", "match"]

SAME_OBJECT = 0.5
"""Intersection over union from which two boxes of a class are the same object."""


@dataclass(frozen=True)
class Matches:
    """Which boxes of two networks are the same objects.

    Attributes:
        pairs: [N, 2], index in the reference and in the other.
        missed: indices in the reference that the other does not find.
        invented: indices in the other that the reference does not have.
    """

    pairs: NDArray[np.int64]
    missed: NDArray[np.int64]
    invented: NDArray[np.int64]


def match(reference: Detections, other: Detections) -> Matches:
    """Match boxes of a class: the best of `other` first, each with the box that it overlaps most and that is free.

    Args:
        reference: shown boxes, the best first.
        other: shown boxes, the best first.
    """
    free = np.ones(len(reference), bool)
    pairs = []
    for index in range(len(other)):
        overlaps = np.zeros(len(reference), np.float32)
        candidates = free & (reference.classes == other.classes[index])
        overlaps[candidates] = intersection_over_union(other.boxes[index], reference.boxes[candidates])
        if len(overlaps) and overlaps.max() >= SAME_OBJECT:
            best = int(overlaps.argmax())
            free[best] = False
            pairs.append((best, index))
    indices = np.array(pairs, np.int64).reshape(-1, 2)
    return Matches(indices, np.flatnonzero(free), np.setdiff1d(np.arange(len(other)), indices[:, 1]))
