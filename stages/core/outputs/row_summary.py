"""Rows of values: whether one of each stands out, as the best of class scores does."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["RowSummary"]

LEAST_VALUES = 3
"""Of fewer values in a row none stands out."""
CLEAR_GAP = 1.0
"""The best of a row stands out by so many standard deviations of the rest. Of noise one in 20 does, of class scores of
characters nearly all do, of ImageNet's on odd photos two in 5."""
LEANING = 1.5
"""Class scores reach so many times as far above their mean as below: of ImageNet's 2.4, of embeddings 1.1."""
MOST_VALUES = 2**16
"""Of a picture that are looked at, in rows evenly spaced: a detector has millions."""
CLEAR_ROWS, CLEAR_SOMETIMES = 0.5, 0.25
"""Parts of the rows."""


@dataclass
class RowSummary:
    """What is seen of rows of values, picture by picture.

    Attributes:
        pictures: how many.
        count: rows.
        clear: rows of which one value stands out.
        leaning: rows that reach much farther above their mean than below.
        best: where the greatest values were.
    """

    pictures: int = 0
    count: int = 0
    clear: int = 0
    leaning: int = 0
    best: set[int] = field(default_factory=set)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in one picture's rows [rows, values]."""
        self.pictures += 1
        if rows.shape[1] < LEAST_VALUES:
            return
        rows = rows[:: -(-rows.size // MOST_VALUES)]
        values = np.partition(rows.astype(np.float64), -2, axis=1)  # the two greatest last
        first, second, rest, mean = values[:, -1], values[:, -2], values[:, :-1], values.mean(axis=1)
        self.count += len(rows)
        self.clear += int((first - second > CLEAR_GAP * rest.std(axis=1)).sum())
        self.leaning += int((first - mean > LEANING * (mean - values.min(axis=1))).sum())
        self.best.update(np.unique(rows.argmax(axis=1)).tolist())

    @property
    def stand_out(self) -> bool:
        """Whether one value of most rows stands out."""
        return self.clear > CLEAR_ROWS * self.count

    @property
    def balanced(self) -> bool:
        """Whether hardly a row's best stands out, and most reach as far below their mean as above."""
        return self.clear <= CLEAR_SOMETIMES * self.count and self.leaning <= CLEAR_ROWS * self.count
