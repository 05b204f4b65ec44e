"""What is counted over the evaluation pictures, one score a task."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.data.labels import class_count
from stages.core.data.preprocess import Placement
from stages.core.statistics.metrics import cosine

__all__ = ["ClassificationScore", "OutputScore", "Outputs", "Score", "classes_ranked"]

TOP_CLASSES = 5
Outputs = Mapping[str, NDArray[np.float32]]


class Score(Protocol):
    """Takes in pictures one by one and gives metrics at the end."""

    COLUMNS: ClassVar[list[str]]

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in both networks' outputs on one sample; gives the sample's `COLUMNS`.

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


class OutputScore:
    """How far the outputs move: the cosine of all outputs, averaged over the pictures."""

    COLUMNS: ClassVar[list[str]] = ["cosine"]

    def __init__(self) -> None:
        self._cosines: list[float] = []

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one sample, whatever it is."""
        del name, placement
        mean = float(np.mean([cosine(reference[name], quantized[name]) for name in reference]))
        self._cosines.append(mean)
        return [mean]

    def metrics(self) -> dict[str, Any]:
        """Mean cosine and count."""
        return {"cosine": float(np.mean(self._cosines)), "count": len(self._cosines)}


class ClassificationScore:
    """Top-1 and top-5 of both networks, their agreement, and the mean cosine of the logits."""

    COLUMNS: ClassVar[list[str]] = ["label", "float_top5", "quantized_top5"]

    def __init__(self, labels: Iterable[int | None]) -> None:
        self._labels = iter(labels)
        self._hits = {side: {"top1": 0, "top5": 0} for side in ("float", "quantized")}
        self._agreed = 0
        self._logits = OutputScore()

    def add(self, name: str, placement: Placement | None, reference: Outputs, quantized: Outputs) -> list[Any]:
        """Take in one picture, whose label is the next one.

        Raises:
            UserError: if the network's output is not one score a class, or the label is not one of its classes.
        """
        classes = class_count({name: list(array.shape) for name, array in reference.items()})
        (expected,), (actual,) = reference.values(), quantized.values()
        label = next(self._labels)
        if label is None or label >= classes:
            raise UserError(f"data.evaluation.labels: class {label}, but the network has {classes} classes")
        ranked = classes_ranked(expected), classes_ranked(actual)
        for hits, best in zip(self._hits.values(), ranked, strict=True):
            hits["top1"] += best[0] == label
            hits["top5"] += label in best
        self._agreed += ranked[0][0] == ranked[1][0]
        self._logits.add(name, placement, reference, quantized)
        return [label, *(" ".join(map(str, best)) for best in ranked)]

    def metrics(self) -> dict[str, Any]:
        """Accuracies and agreement as shares of the pictures, cosine, count."""
        logits = self._logits.metrics()
        count = logits["count"]
        shares: dict[str, Any] = {
            side: {name: hits / count for name, hits in counts.items()} for side, counts in self._hits.items()
        }
        return shares | {"agreement": self._agreed / count} | logits


def classes_ranked(logits: NDArray[np.float32]) -> list[int]:
    """The five best classes, best first; of equal scores the lower index first."""
    return [int(index) for index in np.argsort(-logits.reshape(-1), kind="stable")[:TOP_CLASSES]]
