"""A YOLOX detector's accuracy: from its raw output to boxes, and from boxes to COCO's mean average precision."""

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError

__all__ = ["Boxes", "decode", "mean_average_precision", "precisions", "read_labels", "require_metric", "suppress"]

INPUT_SIZE = 416
"""Height and width of the input in pixels."""
STRIDES = (8, 16, 32)
MIN_SCORE = 0.01
NMS_IOU = 0.65
MAX_BOXES = 100
"""Boxes a picture that are kept, the best ones."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Boxes of one picture.

    Attributes:
        corners: [n, 4], left, top, right, bottom in pixels.
        classes: [n].
        scores: [n]; ones for labels.
    """

    corners: Array
    classes: NDArray[np.int64]
    scores: Array


def precisions(outputs: NDArray[np.float32], pictures: Sequence[Path], data: Path) -> dict[str, Any]:
    """Mean average precision of raw outputs, at IoU .5 to .95 and at .5.

    Args:
        outputs: [pictures, anchors, 5 + classes].
        pictures: the files, in the order of the outputs; `labels/NAME.txt` lies beside their folder in DIR.
        data: DIR.

    Raises:
        UserError: if a picture cannot be read, a label file is not what it should be, or nothing is labelled.
    """
    predicted, labelled = [], []
    for output, path in zip(outputs, pictures, strict=True):
        picture = cv2.imread(str(path))
        if picture is None:
            raise UserError(f"{path} cannot be read as a picture")
        height, width = picture.shape[:2]
        predicted.append(suppress(decode(output), min(INPUT_SIZE / height, INPUT_SIZE / width)))
        labelled.append(read_labels(data / "coco_train128" / "labels" / f"{path.stem}.txt", height, width))
    if not any(len(boxes.classes) for boxes in labelled):
        raise UserError(f"{data / 'coco_train128' / 'labels'} holds no label of any of the {len(pictures)} pictures")
    overall, at_half = mean_average_precision(predicted, labelled)
    return {"map": overall, "map50": at_half}


def decode(output: NDArray[np.float32]) -> Boxes:
    """Turn a raw output into boxes above the confidence, the best class of each, in pixels of the input.

    The centre is (offset + grid) * stride, the size exp(offset) * stride, the score objectness * class (Ge et al.,
    YOLOX, 2021). Anchors come row by row, the finest grid first.

    Args:
        output: [anchors, 5 + classes]: centre x, y, width, height, objectness and class scores between 0 and 1.
    """
    values = output.astype(np.float64)
    sides = [INPUT_SIZE // stride for stride in STRIDES]
    grid = np.concatenate([np.stack(np.meshgrid(range(n), range(n)), axis=-1).reshape(-1, 2) for n in sides])
    strides = np.repeat(STRIDES, [n * n for n in sides])[:, np.newaxis]
    centres, extents = (values[:, :2] + grid) * strides, np.exp(values[:, 2:4]) * strides
    scores = values[:, 4:5] * values[:, 5:]
    best = scores.max(axis=1)
    kept = best > MIN_SCORE
    corners = np.concatenate([centres - extents / 2, centres + extents / 2], axis=1)
    return Boxes(corners[kept], scores.argmax(axis=1)[kept].astype(np.int64), best[kept])


def suppress(boxes: Boxes, scale: float | Array) -> Boxes:
    """Drop a box that overlaps a better one of its class, keep the best, and give them in pixels of the picture.

    Args:
        boxes: in pixels of the input.
        scale: pixels of the input a pixel of the picture; an array [4] has them for x, y, x, y.
    """
    left_top, right_bottom = boxes.corners[:, :2], boxes.corners[:, 2:]
    rectangles = np.concatenate([left_top, right_bottom - left_top], axis=1)
    kept: list[int] = []
    # OpenCV's NMSBoxesBatched moves classes apart by the farthest coordinate, which one enormous box makes useless
    for number in np.unique(boxes.classes):
        (members,) = np.nonzero(boxes.classes == number)
        among = cv2.dnn.NMSBoxes(rectangles[members].tolist(), boxes.scores[members].tolist(), MIN_SCORE, NMS_IOU)
        kept += members[np.asarray(among, dtype=np.int64)].tolist()
    best = sorted(kept, key=lambda index: (-boxes.scores[index], index))[:MAX_BOXES]
    return Boxes(boxes.corners[best] / scale, boxes.classes[best], boxes.scores[best])


def read_labels(path: Path, height: int, width: int) -> Boxes:
    """Read a picture's labels: lines of class, centre x, centre y, width, height, relative to the picture's size.

    A picture without a file shows none of the classes.

    Raises:
        UserError: if a line is not five numbers.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        values = np.array(lines, dtype=np.float64).reshape(len(lines), 5)
    except ValueError as error:
        raise UserError(f"{path}: a line must be five numbers: class, centre x, y, width, height") from error
    size = np.array([width, height])
    centres, extents = values[:, 1:3] * size, values[:, 3:] * size
    corners = np.concatenate([centres - extents / 2, centres + extents / 2], axis=1)
    return Boxes(corners, values[:, 0].astype(np.int64), np.ones(len(lines)))


def require_metric() -> None:
    """Refuse to start without the library that computes the metric.

    Raises:
        UserError: if pycocotools is not there.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise UserError("a detector is scored with pycocotools: pip install -e .")


def mean_average_precision(predicted: Sequence[Boxes], labelled: Sequence[Boxes]) -> tuple[float, float]:
    """COCO's mean average precision over the classes that are labelled, by pycocotools.

    Unlike in COCO's own summary a predicted box counts whatever its size: a broken network's are enormous.

    Args:
        predicted: for each picture, with scores.
        labelled: for the same pictures.

    Returns:
        The mean over IoU .5, .55, ..., .95, and that at .5.
    """
    from pycocotools.coco import COCO  # noqa: PLC0415  an extra, which only detectors need
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset, results.dataset = _dataset(labelled), _dataset(predicted)
        truth.createIndex()
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, float("inf")]], ["all"]
        evaluation.params.maxDets = [MAX_BOXES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # [IoU, recall, class, area, limit]; -1 where a class is not labelled
    overall, at_half = (float(part[part > -1].mean()) for part in (precision, precision[0]))
    return overall, at_half


def _dataset(pictures: Sequence[Boxes]) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for index, boxes in enumerate(pictures):
        for (left, top, right, bottom), number, score in zip(
            boxes.corners.tolist(), boxes.classes.tolist(), boxes.scores.tolist(), strict=True
        ):
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,  # 0 would mean: not matched
                    "image_id": index,
                    "category_id": number,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "score": score,
                }
            )
    classes = sorted({annotation["category_id"] for annotation in annotations})
    return {
        "images": [{"id": index} for index in range(len(pictures))],
        "annotations": annotations,
        "categories": [{"id": number} for number in classes],
    }
