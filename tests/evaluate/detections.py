"""A detector whose outputs are its boxes, and pictures that it was shown."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx

from stages.core.data.coco_labels import CocoLabels
from stages.core.data.objects import Objects
from stages.core.data.preprocess import Placement
from stages.core.graph.session import Runner
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector
from stages.core.heads.nms import nms
from stages.core.heads.recognize import recognize
from stages.evaluate.detection import DetectionScore
from tests.core.heads.exporters import HEIGHT, WIDTH, yolox

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


def labels(**pictures: Objects) -> CocoLabels:
    """Objects of pictures, as a COCO file has them."""
    objects = {f"{name}.png": found for name, found in pictures.items()}
    return CocoLabels("labels", objects, dict.fromkeys(objects, ()), {})


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


def placement(ratio: float = 1.0, left: int = 0) -> Placement:
    """A picture of 400 x 400 in the input, scaled and moved to the right."""
    side = round(400 * ratio)
    return Placement((400, 400), (side, side), 0, left)


def float_boxes(name: str) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """What the float network shows in pixels of the picture, computed without the stages: boxes, classes, its size."""
    picture = cv2.imread(f"evaluation/{name}")
    height, width = picture.shape[:2]
    ratio = min(HEIGHT / height, WIDTH / width)
    rows, columns = round(height * ratio), round(width * ratio)
    top, left = (HEIGHT - rows) // 2, (WIDTH - columns) // 2
    canvas = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    canvas[top : top + rows, left : left + columns] = cv2.resize(picture, (columns, rows))
    values = ((canvas[:, :, ::-1].astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None]
    head = recognize(yolox())
    network = onnx.load("out/export/model.onnx")  # cut, under the names of the head's tensors
    found = nms(head.decode(Runner(network).run({"images": values})).above(0.2), 0.6)
    corners = np.clip(found.boxes, -1e6, 1e6)  # random weights give a box of a million pixels
    boxes = (corners - np.array([left, top, left, top])) / np.array([columns / width, rows / height] * 2)
    return boxes, found.classes, (height, width)


def write_yolo_labels() -> int:
    """Label the `detector` project's pictures with the float network's boxes, as YOLO text files; gives how many."""
    Path("labels").mkdir()
    count = 0
    for path in sorted(Path("evaluation").iterdir()):
        boxes, classes, (height, width) = float_boxes(path.name)
        size = np.array([width, height])
        lines = [
            " ".join(map(str, [number, *((box[:2] + box[2:]) / 2 / size), *((box[2:] - box[:2]) / size)]))
            for box, number in zip(boxes, classes, strict=True)
        ]
        Path(f"labels/{path.stem}.txt").write_text("\n".join(lines))
        count += len(lines)
    return count
