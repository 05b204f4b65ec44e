"""Top-1 and top-5, agreement, and the cosine of the logits."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.errors import UserError
from stages.core.metrics import cosine

__all__ = ["ClassificationScore", "classes_ranked"]

TOP = 5


def classes_ranked(logits: NDArray[np.float32]) -> list[int]:
    """The five best classes, best first; of equal scores the lower index first."""
    return [int(index) for index in np.argsort(-logits.reshape(-1), kind="stable")[:TOP]]


@dataclass
class ClassificationScore:
    """Counts over pictures, one call of `add` each."""

    count: int = 0
    hits: dict[str, dict[str, int]] = field(
        default_factory=lambda: {"float": {"top1": 0, "top5": 0}, "quantized": {"top1": 0, "top5": 0}}
    )
    agreed: int = 0
    cosines: list[float] = field(default_factory=list)

    def add(
        self, label: int, float_logits: NDArray[np.float32], quantized_logits: NDArray[np.float32]
    ) -> tuple[list[int], list[int]]:
        """Take in one picture; gives both networks' five best classes.

        Raises:
            UserError: if the label is not a class of the network.
        """
        if label >= float_logits.size:
            raise UserError(f"data.evaluation.labels: class {label}, but the network has {float_logits.size} classes")
        ranked = classes_ranked(float_logits), classes_ranked(quantized_logits)
        for side, best in zip(("float", "quantized"), ranked, strict=True):
            self.hits[side]["top1"] += best[0] == label
            self.hits[side]["top5"] += label in best
        self.agreed += ranked[0][0] == ranked[1][0]
        self.cosines.append(cosine(float_logits, quantized_logits))
        self.count += 1
        return ranked

    def metrics(self) -> dict[str, Any]:
        """Accuracies and agreement as shares of the pictures, the mean cosine of the logits, the count."""
        shares = {
            side: {name: hits / self.count for name, hits in counts.items()} for side, counts in self.hits.items()
        }
        return shares | {
            "agreement": self.agreed / self.count,
            "cosine": float(np.mean(self.cosines)),
            "count": self.count,
        }


