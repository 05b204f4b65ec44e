"""A detector's score: mean average precision against labels, and against what the float network finds."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.data.object_labels import ObjectLabels, Objects
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector
from stages.core.heads.matching import match
from stages.core.statistics.average_precision import Evaluated, FoundBoxes, evaluate_boxes, spread
from stages.evaluate.scores import AGREEMENT, MAP, ClassRow, Outputs, OutputScore
from stages.evaluate.shapes import ShapeAgreement

__all__ = ["DetectionScore"]

SIDES = ("float", "quantized")
SIZES = ("small", "medium", "large")


class DetectionScore:
    """mAP of both networks where there are labels, and the agreement.

    The agreement is the mAP50 of the quantized network's boxes with the float network's, from the score threshold on,
    as the truth.
    """

    columns: Sequence[str] = ("labelled", "float_boxes", "quantized_boxes", "missed", "invented")

    def __init__(self, detector: Detector, labels: ObjectLabels | None) -> None:
        self._detector = detector
        self._labels = labels
        self._truth: list[Objects] = []
        self._shown: list[Objects] = []
        self._found: dict[str, list[FoundBoxes]] = {side: [] for side in SIDES}
        self._against_labels: dict[str, Evaluated] = {}
        self._missed = self._invented = 0
        self._outputs = OutputScore()
        self._shapes = ShapeAgreement(detector)

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one picture.

        Raises:
            UserError: if a sample with labels is no picture.
        """
        found = [self._detector.detect(outputs) for outputs in (reference, quantized)]
        for side, detections in zip(SIDES, found, strict=True):
            self._found[side].append(_in_picture(detections, placement))
        shown = [detections.above(self._detector.score_threshold) for detections in found]
        matches = match(*shown)
        self._missed += len(matches.missed)
        self._invented += len(matches.invented)
        self._shapes.add((shown[0], found[1]), (reference, quantized), placement)
        expected = _in_picture(shown[0], placement)
        self._shown.append(Objects.of_boxes(expected.boxes, expected.classes))
        labelled: int | str = ""
        if self._labels is not None:
            if placement is None:
                raise UserError(f"data.evaluation.labels: {name} is no picture: boxes have no size to be scaled to")
            objects = self._labels.of(name, *placement.picture)
            self._truth.append(objects)
            labelled = len(objects.classes)
        self._outputs.add(name, placement, reference, quantized)
        return [labelled, len(shown[0]), len(shown[1]), len(matches.missed), len(matches.invented)]

    def metrics(self) -> dict[str, Any]:
        """Precisions with their 95 % intervals, boxes missed and invented, mean cosine and count."""
        outputs = self._outputs.metrics()
        count = outputs["count"]
        metrics: dict[str, Any] = {}
        if self._labels is not None:
            metrics |= self._precisions(count)
        boxes = sum(len(objects.classes) for objects in self._shown)
        if boxes:
            agreement = self._agreement
            metrics |= {"agreement": agreement.mean(at_half=True), "agreement_map": agreement.mean()}
            metrics |= _interval("agreement", spread(count, agreement, at_half=True)) | self._shapes.metrics()
        else:
            threshold = self._detector.score_threshold
            warn(f"the float network finds no box with a score of {threshold:g} or more in {count} pictures")
        found = {"float": boxes, "missed": self._missed, "invented": self._invented}
        return metrics | {"boxes": found} | outputs

    def by_class(self) -> list[ClassRow]:
        """Objects and mAP50-95 of each labelled class."""
        if self._labels is None:
            return []
        sides = [self._evaluated(side) for side in SIDES]
        counts = Counter(int(number) for objects in self._truth for number in objects.classes)
        return [
            ClassRow(number, counts[number], *(side.of_class(number) for side in sides)) for number in sorted(counts)
        ]

    def value(self, metric: str) -> float | None:
        """mAP50-95 with labels, or the agreement."""
        if metric == MAP and self._labels is not None:
            return self._evaluated("quantized").mean()
        return self._agreement.mean(at_half=True) if metric == AGREEMENT else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """By drawing the pictures anew; the agreement less 1, which is the float network's with itself."""
        count = self._outputs.metrics()["count"]
        if metric == MAP and self._labels is not None:
            return spread(count, self._evaluated("quantized"), self._evaluated("float"))
        ends = spread(count, self._agreement, at_half=True) if metric == AGREEMENT else None
        return None if ends is None else (ends[0] - 1.0, ends[1] - 1.0)

    @cached_property
    def _agreement(self) -> Evaluated:
        return evaluate_boxes(self._shown, self._found["quantized"])

    def _evaluated(self, side: str) -> Evaluated:
        """A network's boxes against the labels; computed once, when all pictures are in."""
        if side not in self._against_labels:
            self._against_labels[side] = evaluate_boxes(self._truth, self._found[side])
        return self._against_labels[side]

    def _precisions(self, count: int) -> dict[str, Any]:
        sides = {side: self._evaluated(side) for side in SIDES}
        metrics: dict[str, Any] = {side: _summary(evaluated) for side, evaluated in sides.items()}
        maps = [metrics[side].get("map") for side in SIDES]
        if None not in maps:
            metrics["difference"] = {"map": maps[1] - maps[0]}
            metrics["difference"] |= _interval("map", spread(count, sides["quantized"], sides["float"]))
        else:
            warn("data.evaluation.labels: the pictures have no labelled object: no mAP")
        return metrics


def _summary(evaluated: Evaluated) -> dict[str, Any]:
    values = {"map": evaluated.mean(), "map50": evaluated.mean(at_half=True)}
    values |= {f"map_{size}": evaluated.mean(size) for size in SIZES}
    return _known(values)


def _known(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _interval(name: str, ends: tuple[float, float] | None) -> dict[str, float]:
    return {} if ends is None else {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _in_picture(detections: Detections, placement: Placement | None) -> FoundBoxes:
    """In pixels of the picture; of a sample that is no picture, of the input."""
    boxes = detections.boxes.astype(np.float64) if placement is None else placement.to_picture(detections.boxes)
    return FoundBoxes(boxes, detections.scores.astype(np.float64), detections.classes)
