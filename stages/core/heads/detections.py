"""What a detector found in a picture."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Detections", "Floats", "Predictions"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """Boxes, the best first after non-maximum suppression, in the head's order before it.

    Attributes:
        boxes: [N, 4], x0, y0, x1, y1 in pixels of the network's input.
        scores: [N], 0..1.
        classes: [N], counted from 0, without the background.
        keypoints: [N, K, 3], x and y in pixels and how visible, 0..1; None where the head has none.
        masks: [N, M], coefficients of the network's mask prototypes; None where the head has none.
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]
    keypoints: Floats | None = None
    masks: Floats | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Keep the rows of an index or a mask, in its order."""
        return type(self)(
            self.boxes[index],
            self.scores[index],
            self.classes[index],
            None if self.keypoints is None else self.keypoints[index],
            None if self.masks is None else self.masks[index],
        )

    def above(self, score_threshold: float) -> Self:
        """Keep what reaches the threshold, as the board does."""
        return self.select(self.scores >= np.float32(score_threshold))


@dataclass(frozen=True)
class Predictions:
    """All that a head says: a row for each cell and anchor.

    Attributes:
        boxes: [N, 4], as in `Detections`.
        scores: [N, C], 0..1, of every class.
        keypoints: [N, K, 3] or None, as in `Detections`.
        masks: [N, M] or None, as in `Detections`.
    """

    boxes: Floats
    scores: Floats
    keypoints: Floats | None = None
    masks: Floats | None = None

    def best(self) -> Detections:
        """Give each row its best class, the first of equal ones."""
        classes = self.scores.argmax(axis=1).astype(np.int64)
        scores = np.take_along_axis(self.scores, classes[:, None], axis=1)[:, 0]
        return Detections(self.boxes, scores, classes, self.keypoints, self.masks)
