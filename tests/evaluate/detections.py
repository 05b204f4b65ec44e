"""A detector whose outputs are its boxes, and pictures that it was shown."""

from typing import Any

import numpy as np

from stages.core.data.object_labels import ObjectLabels, Objects
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector
from stages.evaluate.detection import DetectionScore

LEFT, RIGHT, SMALL = (10, 10, 110, 110), (200, 10, 300, 110), (10, 200, 30, 220)


def outputs(*boxes: tuple[Any, ...]) -> dict[str, np.ndarray]:
    """Boxes x0, y0, x1, y1, class, score; rows of zeros after them."""
    rows = np.zeros((1, 3, 6), np.float32)
    rows[0, : len(boxes)] = np.array(boxes).reshape(-1, 6)
    return {"boxes": rows}


def _decode(values: Any) -> Detections:
    rows = values["boxes"][0]
    return Detections(rows[:, :4], rows[:, 5], rows[:, 4].astype(np.int64))


DETECTOR = Detector(_decode, one_to_one=False, score_threshold=0.3, nms_threshold=0.6, name="boxes")


def objects(*boxes: tuple[Any, ...]) -> Objects:
    """Boxes x0, y0, x1, y1, class."""
    rows = np.array(boxes, np.float64).reshape(-1, 5)
    return Objects.of_boxes(rows[:, :4], rows[:, 4].astype(np.int64))


def labels(**pictures: Objects) -> ObjectLabels:
    """Objects of pictures, as a COCO file has them."""
    return ObjectLabels("labels", None, {f"{name}.png": found for name, found in pictures.items()})


def detection_score(labelled: bool) -> DetectionScore:
    """Two pictures: in the first quantization moves a box and invents one, in the second nothing changes.

    Labelled are a box of class 0 in each picture and a small one of class 1 in the second.
    """
    truth = labels(a=objects((*LEFT, 0)), b=objects((*RIGHT, 0), (*SMALL, 1)))
    score = DetectionScore(DETECTOR, truth if labelled else None)
    pictures = {
        "a.png": (outputs((*LEFT, 0, 0.9)), outputs((10, 10, 110, 82, 0, 0.9), (*RIGHT, 1, 0.5))),
        "b.png": (outputs((*RIGHT, 0, 0.8), (*SMALL, 1, 0.2)),) * 2,
    }
    place = None if not labelled else placement()
    for name, pair in pictures.items():
        score.add(name, place, *pair)
    return score


def placement(ratio: float = 1.0, left: int = 0) -> Any:
    """A picture of 400 x 400 in the input, scaled and moved to the right."""
    from stages.core.data.preprocess import Placement

    side = round(400 * ratio)
    return Placement((400, 400), (side, side), 0, left)
