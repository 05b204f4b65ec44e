"""What is counted over the evaluation pictures: classes and outputs, and the form of every score."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.data.labels import class_count
from stages.core.data.preprocess import Placement
from stages.core.statistics.metrics import cosine

__all__ = [
    "ACCURACY",
    "AGREEMENT",
    "BOXES",
    "KEYPOINTS",
    "KEYPOINT_AGREEMENT",
    "KEYPOINT_MAP",
    "MAP",
    "MASKS",
    "MASK_AGREEMENT",
    "MASK_MAP",
    "OWN",
    "ClassRow",
    "ClassificationScore",
    "OutputScore",
    "Outputs",
    "Score",
    "classes_ranked",
]

ACCURACY, MAP, AGREEMENT, OWN = "accuracy", "map", "agreement", "own"
"""Metrics that networks are ranked by: top-1, mAP50-95, the same answer as the float network's, the user's own."""
BOXES, MASKS, KEYPOINTS = "", "mask_", "keypoint_"
"""What stands before MAP and AGREEMENT in the names of a detector's metrics."""
MASK_MAP, KEYPOINT_MAP = f"{MASKS}{MAP}", f"{KEYPOINTS}{MAP}"
MASK_AGREEMENT, KEYPOINT_AGREEMENT = f"{MASKS}{AGREEMENT}", f"{KEYPOINTS}{AGREEMENT}"
TOP_CLASSES = 5
Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class ClassRow:
    """What both networks make of a class.

    Attributes:
        number: of the class.
        count: labelled pictures or objects of it.
        of_float: the float network's top-1 or mAP50-95 of the class; None where there is nothing to find.
        of_quantized: the quantized network's.
        of_shapes: of masks and key points, where a detector and its labels have them, by the column's name.
    """

    number: int
    count: int
    of_float: float | None
    of_quantized: float | None
    of_shapes: Mapping[str, float | None] = field(default_factory=dict, kw_only=True)


class Score(Protocol):
    """Takes in pictures one by one and gives metrics at the end."""

    @property
    def columns(self) -> Sequence[str]:
        """Headings of what `add` gives."""
        ...

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in both networks' outputs on one sample; gives the sample's `columns`.

        Args:
            name: of the sample inside its source.
            placement: where in the input the picture lies; None if the sample is no picture.
            reference: the float network's outputs.
            quantized: the quantized network's.
        """
        ...

    def metrics(self) -> dict[str, Any]:
        """Give the metrics over all pictures; `cosine` and `count` are among them."""
        ...

    def by_class(self) -> list[ClassRow]:
        """Give a row for each class, in order; none where there are no labels."""
        ...

    def value(self, metric: str) -> float | None:
        """Give one of the metrics that networks are ranked by, of the quantized network, and compute no other.

        Returns:
            None if the score has no such metric, or the pictures do not give it.
        """
        ...

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Give the 95 % interval over the pictures of such a metric less the float network's; None if unknown."""
        ...


class OutputScore:
    """How far the outputs move: the cosine of all outputs, averaged over the pictures."""

    columns: Sequence[str] = ("cosine",)

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one sample, whatever it is."""
        del name, placement
        mean = float(np.mean([cosine(reference[name], quantized[name]) for name in reference]))
        self._sum += mean
        self._count += 1
        return [mean]

    def metrics(self) -> dict[str, Any]:
        """Mean cosine and count."""
        return {"cosine": self._sum / self._count, "count": self._count}

    def by_class(self) -> list[ClassRow]:
        """Nothing: outputs have no classes."""
        return []

    def value(self, metric: str) -> float | None:
        """None: networks are ranked by the cosine of the least similar output."""
        del metric
        return None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """None."""
        del metric
        return None


class ClassificationScore:
    """Top-1 and top-5 of both networks, their agreement, and the mean cosine of the outputs.

    Args:
        labels: of the pictures in their order; None: only the agreement and the cosine are counted.
    """

    columns: Sequence[str] = ("label", "float_top5", "quantized_top5")

    def __init__(self, labels: Iterable[int | None] | None) -> None:
        self._labels = None if labels is None else iter(labels)
        self._hits = {side: {"top1": 0, "top5": 0} for side in ("float", "quantized")}
        self._of_class: dict[int, list[int]] = {}
        self._agreed = 0
        self._logits = OutputScore()

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one picture, whose label is the next one.

        Raises:
            UserError: if the network's output is not one score a class, or the label is not one of its classes.
        """
        classes = class_count({name: list(array.shape) for name, array in reference.items()})
        (expected,), (actual,) = reference.values(), quantized.values()
        ranked = classes_ranked(expected), classes_ranked(actual)
        self._agreed += ranked[0][0] == ranked[1][0]
        self._logits.add(name, placement, reference, quantized)
        shown = [" ".join(map(str, best)) for best in ranked]
        if self._labels is None:
            return ["", *shown]
        label = next(self._labels)
        if label is None or label >= classes:
            raise UserError(f"data.evaluation.labels: class {label}, but the network has {classes} classes")
        counts = self._of_class.setdefault(label, [0, 0, 0])
        counts[0] += 1
        for side, (hits, best) in enumerate(zip(self._hits.values(), ranked, strict=True), 1):
            hits["top1"] += best[0] == label
            hits["top5"] += label in best
            counts[side] += best[0] == label
        return [label, *shown]

    def metrics(self) -> dict[str, Any]:
        """Accuracies and agreement as shares of the pictures, cosine, count."""
        logits = self._logits.metrics()
        count = logits["count"]
        shares: dict[str, Any] = {
            side: {name: hits / count for name, hits in counts.items()}
            for side, counts in (self._hits if self._labels is not None else {}).items()
        }
        return shares | {"agreement": self._agreed / count} | logits

    def by_class(self) -> list[ClassRow]:
        """Top-1 of the pictures of each class."""
        return [
            ClassRow(number, count, *(hits / count for hits in of_sides))
            for number, (count, *of_sides) in sorted(self._of_class.items())
        ]

    def value(self, metric: str) -> float | None:
        """Accuracy or agreement."""
        metrics = self.metrics()
        return {ACCURACY: metrics.get("quantized", {}).get("top1"), AGREEMENT: metrics["agreement"]}.get(metric)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """None: a share of so many pictures says how far it can be off."""
        del metric
        return None


def classes_ranked(logits: NDArray[np.float32]) -> list[int]:
    """The five best classes, best first; of equal scores the lower index first."""
    return [int(index) for index in np.argsort(-logits.reshape(-1), kind="stable")[:TOP_CLASSES]]
