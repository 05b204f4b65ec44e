"""Mean average precision as COCO defines it, computed by pycocotools; and its spread over the pictures."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

__all__ = [
    "AREAS",
    "MOST_FOUND",
    "Annotation",
    "Evaluated",
    "FoundBoxes",
    "TrueBoxes",
    "evaluate_annotations",
    "evaluate_boxes",
    "spread",
    "true_annotations",
]

Annotation = dict[str, Any]
"""An object as COCO's JSON has it."""

AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0, float("inf")), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf")),
}  # fmt: skip
"""Pixels of the picture that an object covers (COCO). A box that is found counts under `all` whatever its size."""
MOST_FOUND = 100
RESAMPLES = 200
INTERVAL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


class TrueBoxes(Protocol):
    """What is to be found in a picture, as `stages.core.data.object_labels.Objects` has it."""

    @property
    def boxes(self) -> NDArray[np.float64]:
        """[N, 4]."""
        ...

    @property
    def classes(self) -> NDArray[np.int64]:
        """[N]."""
        ...

    @property
    def crowd(self) -> NDArray[np.bool_]:
        """[N]."""
        ...

    @property
    def areas(self) -> NDArray[np.float64]:
        """[N]."""
        ...


@dataclass(frozen=True)
class FoundBoxes:
    """What was found in a picture.

    Attributes:
        boxes: [N, 4], x0, y0, x1, y1 in pixels of the picture.
        scores: [N].
        classes: [N].
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


class Evaluated:
    """The matches of all pictures, from which precisions follow, also those of some of the pictures.

    A precision is None where there is nothing to find.
    """

    def __init__(self, evaluation: COCOeval) -> None:
        self._evaluation = evaluation
        self._matches = np.array(evaluation.evalImgs, object).reshape(-1, len(AREAS), len(evaluation.params.imgIds))
        self._precision = self._accumulated(None)

    @property
    def classes(self) -> list[int]:
        """Classes that there are in the truth or were found."""
        return [int(number) for number in self._evaluation.params.catIds]

    @property
    def precisions(self) -> Any:
        """[IoU .5 to .95, recall 0 to 1, class, area]; -1 where there is nothing to find."""
        return self._precision

    def mean(self, area: str = "all", *, at_half: bool = False) -> float | None:
        """Mean over classes and IoU .5, .55, ..., .95, or at .5."""
        return _mean(self._precision[:1] if at_half else self._precision, list(AREAS).index(area))

    def of_class(self, number: int) -> float | None:
        """Mean over IoU of a class."""
        return _mean(self._precision[:, :, [self.classes.index(number)]], 0)

    def resampled(self, pictures: NDArray[np.int64], *, at_half: bool = False) -> float | None:
        """The mean over these pictures, some of them several times."""
        precision = self._accumulated(pictures)
        return _mean(precision[:1] if at_half else precision, 0)

    def _accumulated(self, pictures: NDArray[np.int64] | None) -> Any:
        evaluation, matches = self._evaluation, self._matches
        areas = evaluation.params.areaRng
        if pictures is not None:
            matches = matches[:, :1, pictures]
            evaluation.params.areaRng = areas[:1]
            evaluation._paramsEval.areaRng = areas[:1]
        evaluation.evalImgs = list(matches.ravel())
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        evaluation.params.areaRng = evaluation._paramsEval.areaRng = areas
        return evaluation.eval["precision"][..., 0]


def evaluate_boxes(truth: Sequence[TrueBoxes], found: Sequence[FoundBoxes]) -> Evaluated:
    """Match what was found in each picture with what there is.

    Args:
        truth: for each picture.
        found: for the same pictures.
    """
    return evaluate_annotations(
        [true_annotations(boxes) for boxes in truth], [_found_annotations(boxes) for boxes in found], "bbox"
    )


def evaluate_annotations(
    truth: Sequence[Sequence[Annotation]],
    found: Sequence[Sequence[Annotation]],
    kind: str,
    sigmas: NDArray[np.float64] | None = None,
    most: int = MOST_FOUND,
) -> Evaluated:
    """Match annotations as COCO's JSON has them, of each picture; `found` have a score.

    Args:
        truth: for each picture.
        found: for the same pictures.
        kind: pycocotools' `iouType`: bbox, segm or keypoints.
        sigmas: [K], how precisely each key point can be placed, in parts of the object's size (OKS).
        most: found ones of a class in a picture that count, the best ones.
    """
    classes = sorted({int(one["category_id"]) for side in (truth, found) for picture in side for one in picture})
    with contextlib.redirect_stdout(io.StringIO()):
        wanted, results = _dataset(classes, truth), _dataset(classes, found)
        evaluation = COCOeval(wanted, results, kind)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = list(map(list, AREAS.values())), list(AREAS)
        evaluation.params.maxDets = [most]
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
    return Evaluated(evaluation)


def true_annotations(boxes: TrueBoxes) -> list[Annotation]:
    """What is to be found in a picture, as COCO's JSON has it: classes, boxes, areas, crowds."""
    return [
        annotation | {"area": float(area), "iscrowd": int(crowd)}
        for annotation, area, crowd in zip(_annotations(boxes), boxes.areas, boxes.crowd, strict=True)
    ]


def spread(
    pictures: int, quantized: Evaluated, reference: Evaluated | None = None, *, at_half: bool = False
) -> tuple[float, float] | None:
    """The 95 % interval of a mean, or of its difference to a reference, over pictures drawn anew (bootstrap).

    Args:
        pictures: how many there are.
        quantized: their matches.
        reference: the same pictures' matches of another network; None: no difference.
        at_half: of the mean at IoU .5.

    Returns:
        None for a single picture, or if too few pictures have anything to find.
    """
    rng = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES if pictures > 1 else 0):
        drawn = rng.integers(0, pictures, pictures)
        value = quantized.resampled(drawn, at_half=at_half)
        base = 0.0 if reference is None else reference.resampled(drawn, at_half=at_half)
        if value is not None and base is not None:
            values.append(value - base)
    if len(values) < RESAMPLES // 2:
        return None
    low, high = np.percentile(values, INTERVAL)
    return float(low), float(high)


def _mean(precision: Any, area: int) -> float | None:
    values = precision[..., area]
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _found_annotations(boxes: FoundBoxes) -> list[Annotation]:
    return [
        annotation | {"area": annotation["bbox"][2] * annotation["bbox"][3], "score": float(score)}
        for annotation, score in zip(_annotations(boxes), boxes.scores, strict=True)
    ]


def _annotations(boxes: TrueBoxes | FoundBoxes) -> list[Annotation]:
    return [
        {"category_id": int(number), "bbox": [x0, y0, x1 - x0, y1 - y0]}
        for (x0, y0, x1, y1), number in zip(boxes.boxes.tolist(), boxes.classes, strict=True)
    ]


def _dataset(classes: Sequence[int], pictures: Sequence[Sequence[Annotation]]) -> COCO:
    annotations: list[Annotation] = []
    for index, picture in enumerate(pictures):
        for annotation in picture:
            # 0 would mean: not matched
            annotations.append({"id": len(annotations) + 1, "image_id": index, "iscrowd": 0} | annotation)
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": index, "height": 0, "width": 0} for index in range(len(pictures))],
        "annotations": annotations,
        "categories": [{"id": number} for number in classes],
    }
    dataset.createIndex()
    return dataset
