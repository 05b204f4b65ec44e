"""Answers that a user reads off an output: the best class, what is above a threshold; and how many quantizing changes.

An answer that the float network itself gives by a hair is none to lose: it counts as changed only where the float
network clearly prefers its own.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.core.outputs.output_kind import OutputKind, class_axis

__all__ = ["AnswerCounter", "Answers"]

Array = NDArray[np.float32]
Counts = NDArray[np.int64]
CLEAR = 0.2
"""A class is clearly preferred by so much of the best score's height above the mean, in several rows at least of the
deviation of all scores; a probability, by so much."""
THRESHOLD = 0.5
"""Of probabilities."""


@dataclass(frozen=True)
class Answers:
    """Answers over all pictures.

    Attributes:
        count: of those that are not the most usual one on both sides: a background says nothing.
        changed: of these, how many are clearly others after quantizing.
        distinct: different answers of the float network; of one alone it cannot be told whether it is ever another.
        noun: what one is.
    """

    count: int
    changed: int
    distinct: int
    noun: str

    @property
    def share(self) -> float:
        """The part that changes."""
        return self.changed / self.count if self.count else 0.0


@dataclass
class AnswerCounter:
    """Counts answers picture by picture, of whichever kind the output turns out to be."""

    _of_class: dict[int, int] = field(default_factory=dict)
    _changed_from: dict[int, int] = field(default_factory=dict)
    _rows: int = 0
    _above: int = 0
    _crossed: int = 0

    def add(self, expected: Array, actual: Array) -> None:
        """Take in one picture's float and quantized values."""
        self._above += int(((expected > THRESHOLD) | (actual > THRESHOLD)).sum())
        crossed = (expected > THRESHOLD) != (actual > THRESHOLD)
        self._crossed += int((crossed & (np.abs(actual - expected) > CLEAR)).sum())
        axis = class_axis(expected.shape)
        if axis is None:
            return
        scores, others = (np.moveaxis(side, axis, -1).reshape(-1, side.shape[axis]) for side in (expected, actual))
        best, chosen = scores.argmax(axis=1), others.argmax(axis=1)
        rows = np.arange(len(scores))
        height = scores[rows, best] - scores.mean(axis=1)
        if len(rows) > 1:  # of two classes a row alone cannot tell what is clear
            height = np.maximum(height, scores.std())
        changed = (best != chosen) & (scores[rows, best] - scores[rows, chosen] > CLEAR * height)
        self._rows += len(scores)
        for counts, classes in ((self._of_class, best), (self._changed_from, best[changed])):
            numbers, times = np.unique(classes, return_counts=True)
            for number, count in zip(numbers.tolist(), times.tolist(), strict=True):
                counts[number] = counts.get(number, 0) + count

    def answers(self, kind: OutputKind) -> Answers | None:
        """The answers of an output of some kind; None where nothing is decided by it."""
        if kind.is_share or kind is OutputKind.logits:  # logits are counted as probabilities
            least = 0 if kind is OutputKind.logits else THRESHOLD
            return Answers(self._above, self._crossed, 1 + bool(self._above), f"values above {least}")
        if not kind.has_classes or not self._rows:
            return None
        changed = sum(self._changed_from.values())
        if kind is OutputKind.class_scores:
            return Answers(self._rows, changed, len(self._of_class), "best classes")
        usual = max(self._of_class, key=lambda number: (self._of_class[number], -number))
        count = self._rows - self._of_class[usual] + self._changed_from.get(usual, 0)
        noun = "pixels" if kind is OutputKind.segmentation else "steps"
        return Answers(count, changed, len(self._of_class), noun)
