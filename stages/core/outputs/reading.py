"""How an output's values are read: as they are, or as the logits of probabilities that a sigmoid makes of them.

A logit of -4000 is as good as one of -40. So the error of logits is that of their probabilities: of the values
themselves a few very low ones would make all of the variance, and what decides would count for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import PICTURE_RANK, Graph

__all__ = ["PlaceSummary", "Reading", "may_be_logits", "takes_a_picture"]

Array = NDArray[np.float32]
LEAST_PLACES = 64
"""Logits of places, at least."""
MOST_POSITIVE = 0.05
"""Logits of places are above 0 where something is found, which is seldom."""
LEAST_LOGIT, FOUND_LOGIT = -2.0, -0.85
"""They go down to a probability of 0.1 and less, and up to 0.3 and more."""
PICTURE_CHANNELS = (1, 3)


class Reading(Enum):
    """What an output's values stand for."""

    values = "values"
    sigmoid = "probabilities"

    def of(self, values: Array) -> Array:
        """What is read off an output, in its shape; what is infinite or no number stays so."""
        if self is Reading.values:
            return values
        with np.errstate(over="ignore"):  # far below 0 a probability is 0
            return np.where(np.isfinite(values), 1.0 / (1.0 + np.exp(-values)), values).astype(np.float32)


def may_be_logits(shape: Sequence[int]) -> bool:
    """Whether an output has one value for each of many places in a picture."""
    by_place = shape[1] == 1 if len(shape) == PICTURE_RANK else len(shape) > 1 and shape[-1] == 1
    return by_place and int(np.prod(shape)) >= LEAST_PLACES


def takes_a_picture(graph: Graph) -> bool:
    """Whether an input has a picture's shape, NCHW with one channel or three."""
    shapes = [graph.shapes.get(name, []) for name in graph.inputs]
    return any(len(shape) == PICTURE_RANK and shape[0] == 1 and shape[1] in PICTURE_CHANNELS for shape in shapes)


@dataclass
class PlaceSummary:
    """What is seen of the float values of an output that may be logits, picture by picture.

    Attributes:
        low: least value.
        high: greatest.
        positive: how many values are above 0.
        values: how many there are.
    """

    low: float = np.inf
    high: float = -np.inf
    positive: int = 0
    values: int = 0

    def add(self, values: Array) -> None:
        """Take in one picture's values."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.positive += int((values > 0).sum())
        self.values += values.size

    @property
    def are_logits(self) -> bool:
        """Whether the values are above 0 here and there: a sigmoid behind the network makes probabilities of them."""
        rare = self.positive <= MOST_POSITIVE * self.values
        return rare and self.low <= LEAST_LOGIT and self.high >= FOUND_LOGIT
