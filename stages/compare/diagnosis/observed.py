"""What the debug pictures make of every feature, against the range of its codes and what calibration saw."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.compare.networks import along_channels
from stages.core.qparams import FeatureParams, QuantParams

__all__ = ["Observed", "Observer"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Observed:
    """A feature of the float network on the debug pictures, in the units of its codes.

    Attributes:
        channel_low: float64 [C], smallest value of each channel (axis 1).
        channel_high: float64 [C], largest.
        values: how many there were.
        clipped: how many lie beyond what codes stand for.
        beyond: how many lie beyond what calibration saw.
        energy: sum of the squared values.
        clipped_energy: sum of the squared distances of those clipped from the range of the codes.
        beyond_energy: sum of the squared distances of those beyond from what calibration saw.
    """

    channel_low: NDArray[np.float64]
    channel_high: NDArray[np.float64]
    values: int
    clipped: int
    beyond: int
    energy: float
    clipped_energy: float
    beyond_energy: float

    @property
    def low(self) -> float:
        """Smallest value."""
        return float(self.channel_low.min())

    @property
    def high(self) -> float:
        """Largest value."""
        return float(self.channel_high.max())

    @property
    def clipped_part(self) -> float:
        """Error of clipping alone, squared, in parts of the signal."""
        return self.clipped_energy / self.energy if self.energy else 0.0

    @property
    def beyond_part(self) -> float:
        """The same of a range that is just what calibration saw."""
        return self.beyond_energy / self.energy if self.energy else 0.0


class Observer:
    """Takes in pictures one by one."""

    def __init__(self, params: QuantParams) -> None:
        self._features, self._factors = params.features, params.factors
        self.by_tensor: dict[str, Observed] = {}

    def add(self, values: Mapping[str, Array]) -> None:
        """Take in one picture: what the float network is fed and makes, tensor -> values."""
        for entry in self._features:
            if entry.tensor in values and values[entry.tensor].size:
                made = values[entry.tensor]
                if entry.tensor in self._factors:
                    made = made / along_channels(self._factors[entry.tensor], made.ndim)
                found, known = _observe(made, entry), self.by_tensor.get(entry.tensor)
                self.by_tensor[entry.tensor] = _joined(known, found) if known else found


def _observe(values: Array, entry: FeatureParams) -> Observed:
    channels = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1) if values.ndim > 1 else values.reshape(1, -1)
    scales = entry.scales.astype(np.float64)[:, np.newaxis]
    low, high = -entry.zero_point * scales, (entry.codes.top - entry.zero_point) * scales
    wide = channels.astype(np.float64)
    clipped = _outside(wide, low - scales / 2, high + scales / 2)  # within half a step rounding does no worse
    beyond = _outside(wide, np.array(min(entry.seen_low, 0.0)), np.array(max(entry.seen_high, 0.0)))
    return Observed(
        channels.min(axis=1).astype(np.float64),
        channels.max(axis=1).astype(np.float64),
        channels.size,
        len(clipped),
        len(beyond),
        float((wide * wide).sum()),
        float((clipped * clipped).sum()),
        float((beyond * beyond).sum()),
    )


def _outside(values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much those values that lie outside a range do so; few do."""
    below, above = low - values, values - high
    return np.concatenate([below[below > 0.0], above[above > 0.0]])


def _joined(left: Observed, right: Observed) -> Observed:
    return Observed(
        np.minimum(left.channel_low, right.channel_low),
        np.maximum(left.channel_high, right.channel_high),
        left.values + right.values,
        left.clipped + right.clipped,
        left.beyond + right.beyond,
        left.energy + right.energy,
        left.clipped_energy + right.clipped_energy,
        left.beyond_energy + right.beyond_energy,
    )
