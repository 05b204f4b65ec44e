"""What detectors find, written by hand: boxes of 40 x 40 pixels side by side, 50 pixels from one to the next."""

from collections.abc import Sequence

import numpy as np

from stages.compare.gather.observed_boxes import ObservedBoxes, PictureBoxes
from stages.core.heads.detections import Detections


def detections(*boxes: tuple[int, float, int], side: float = 40.0) -> Detections:
    """Boxes by place, score and class, the best first."""
    ordered = sorted(boxes, key=lambda box: -box[1])
    corners = [(50.0 * place, 0.0, 50.0 * place + side, side) for place, _, _ in ordered]
    return Detections(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in ordered], np.float32),
        np.array([number for *_, number in ordered], np.int64),
    )


def picture(
    reference: Detections, quantized: Detections, cut: Detections | None = None, name: str = "a.jpg"
) -> PictureBoxes:
    """A picture whose boxes are shown from the score 0.4 on."""
    return PictureBoxes(name, None, reference, quantized, cut, 0.4)


def observed(*pictures: PictureBoxes) -> ObservedBoxes:
    return ObservedBoxes("YOLOv8-like", 0.4, pictures)


def row(places: Sequence[int] | int, score: float = 0.8, number: int = 0) -> Detections:
    """Boxes of one class and score in these places, or in so many."""
    return detections(*((place, score, number) for place in (range(places) if isinstance(places, int) else places)))
