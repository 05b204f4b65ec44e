"""A detector's score: mean average precision against labels, and against what the float network finds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.data.objects import ObjectLabels, Objects
from stages.core.data.preprocess import Placement
from stages.core.heads.detector import Detector
from stages.core.heads.matching import match
from stages.evaluate.precisions import SIDES, Precisions
from stages.evaluate.scores import AGREEMENT, BOXES, MAP, ClassRow, Outputs, OutputScore
from stages.evaluate.shapes import Seen, ShapeKind, shape_kinds, wanted_shapes

__all__ = ["DetectionScore"]


class DetectionScore:
    """mAP of both networks where there are labels, and the agreement: of boxes, masks and key points.

    The agreement is the mAP50 of what the quantized network finds with what the float network shows, from the score
    threshold on, as the truth.

    Args:
        detector: the networks' decoding.
        labels: None: there are none.
        kinds: of shapes that are scored; None: all that the detector gives.
    """

    columns: Sequence[str] = ("labelled", "float_boxes", "quantized_boxes", "missed", "invented")

    def __init__(
        self, detector: Detector, labels: ObjectLabels | None, kinds: Sequence[ShapeKind] | None = None
    ) -> None:
        self._detector = detector
        self._labels = labels
        self._precisions = [Precisions(kind) for kind in (shape_kinds(detector) if kinds is None else kinds)]
        self._counts: Counter[int] = Counter()
        self._boxes = self._missed = self._invented = 0
        self._outputs = OutputScore()

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one picture.

        Raises:
            UserError: if a sample with labels is no picture.
        """
        seen = [Seen(self._detector.detect(outputs), outputs, placement) for outputs in (reference, quantized)]
        shown = [each.detections.above(self._detector.score_threshold) for each in seen]
        matches = match(*shown)
        self._boxes += len(shown[0])
        self._missed += len(matches.missed)
        self._invented += len(matches.invented)
        objects = None if self._labels is None else self._objects(name, placement, self._labels)
        for precisions in self._precisions:
            precisions.add(Seen(shown[0], reference, placement), seen, objects)
        self._outputs.add(name, placement, reference, quantized)
        labelled = "" if objects is None else len(objects.classes)
        return [labelled, len(shown[0]), len(shown[1]), len(matches.missed), len(matches.invented)]

    def metrics(self) -> dict[str, Any]:
        """Precisions with their 95 % intervals, boxes missed and invented, mean cosine and count."""
        outputs = self._outputs.metrics()
        metrics: dict[str, Any] = {}
        for precisions in self._precisions:
            for side, values in precisions.label_metrics().items():
                metrics[side] = metrics.get(side, {}) | values
        if self._boxes:
            for precisions in self._precisions:
                metrics |= precisions.agreement_metrics()
        else:
            threshold, count = self._detector.score_threshold, outputs["count"]
            warn(f"the float network finds no box with a score of {threshold:g} or more in {count} pictures")
        found = {"float": self._boxes, "missed": self._missed, "invented": self._invented}
        return metrics | {"boxes": found} | outputs

    def by_class(self) -> list[ClassRow]:
        """Objects and mAP50-95 of each labelled class, of boxes and of the other shapes that have labels."""
        labelled = {each.prefix: each for each in self._precisions if each.labelled}
        if BOXES not in labelled:
            return []
        boxes = labelled.pop(BOXES)
        return [
            ClassRow(number, count, *boxes.of_class(number), of_shapes=_of_shapes(labelled.values(), number))
            for number, count in sorted(self._counts.items())
        ]

    def value(self, metric: str) -> float | None:
        """MAP with labels or AGREEMENT, of any shape that the detector gives."""
        kind = self._kind(metric)
        return kind and kind[0].value(kind[1])

    def interval(self, metric: str) -> tuple[float, float] | None:
        """By drawing the pictures anew; the agreement less 1, which is the float network's with itself."""
        kind = self._kind(metric)
        return kind and kind[0].interval(kind[1])

    def _kind(self, metric: str) -> tuple[Precisions, str] | None:
        """The shape that a metric is of, and MAP or AGREEMENT."""
        for precisions in self._precisions:
            for name in (MAP, AGREEMENT):
                if metric == f"{precisions.prefix}{name}":
                    return precisions, name
        return None

    def _objects(self, name: str, placement: Placement | None, labels: ObjectLabels) -> Objects:
        """The labelled objects of a picture, with the shapes that the network gives."""
        if placement is None:
            raise UserError(f"data.evaluation.labels: {name} is no picture: boxes have no size to be scaled to")
        objects = labels.of(name, *placement.picture, wanted_shapes(self._detector))
        self._counts.update(objects.classes.tolist())
        return objects


def _of_shapes(shapes: Iterable[Precisions], number: int) -> dict[str, float | None]:
    """Columns of the shapes beside boxes."""
    return {
        f"{shape.prefix}{side}": value
        for shape in shapes
        for side, value in zip(SIDES, shape.of_class(number), strict=True)
    }
