"""A close look at the outputs of layers: histogram and channels' ranges over all pictures, and pairs of values.

Which layers are the worst is known when the last picture has run, so all are looked at, in constant memory: bins,
channels and a fixed number of pairs a tensor.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.networks import Networks
from stages.compare.gather.units import in_code_units
from stages.core.statistics.histogram import TensorCollector
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["PAIRS", "CloseUp", "LayerCloseUps"]

PAIRS = 2048
"""Pairs of values a tensor, over all pictures."""
GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Multiples of it, less their whole part, fill 0..1 evenly and in step with no image's width."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class CloseUp:
    """A tensor on the debug pictures, in the units of its codes.

    Attributes:
        statistics: of the float network's values, all of them.
        reference: float32 [PAIRS], some of them.
        quantized: float32 [PAIRS], the integer model's values in the same places, all layers before quantized too.
    """

    statistics: TensorStatistics
    reference: Array
    quantized: Array


class LayerCloseUps:
    """Takes in pictures one by one.

    Args:
        networks: whose layers to look at.
        pictures: how many there will be; each gives its share of the pairs.
    """

    def __init__(self, networks: Networks, pictures: int) -> None:
        self._collectors = {name: TensorCollector() for name in networks.layers}
        self._pairs = {name: np.zeros((2, PAIRS), np.float32) for name in networks.layers}
        self._factors, self._pictures, self._seen = networks.params.factors, pictures, 0

    def add(self, comparison: Comparison) -> None:
        """Take in one picture."""
        positions = np.arange(*(PAIRS * (self._seen + step) // self._pictures for step in (0, 1)))
        for name, collector in self._collectors.items():
            if not comparison.expected[name].size:
                continue
            sides = [
                in_code_units(name, side[name], self._factors) for side in (comparison.expected, comparison.actual)
            ]
            collector.add(sides[0])
            chosen = (positions * GOLDEN_RATIO % 1.0 * sides[0].size).astype(np.int64)
            for pairs, values in zip(self._pairs[name], sides, strict=True):
                pairs[positions] = values.reshape(-1)[chosen]
        self._seen += 1

    def of(self, tensor: str) -> CloseUp:
        """The close-up of a tensor that was not empty."""
        return CloseUp(self._collectors[tensor].finish(), *self._pairs[tensor])
