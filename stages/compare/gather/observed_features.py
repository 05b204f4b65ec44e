"""Every feature on the debug pictures, against the range of its codes and what calibration saw."""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.units import in_code_units
from stages.core.integer.network_params import FeatureParams, NetworkParams

__all__ = ["FeatureObserver", "ObservedFeature"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ObservedFeature:
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
        furthest: the most of that in one picture, and which one.
    """

    channel_low: NDArray[np.float64]
    channel_high: NDArray[np.float64]
    values: int
    clipped: int
    beyond: int
    energy: float
    clipped_energy: float
    beyond_energy: float
    furthest: tuple[float, str] = (0.0, "")

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


class FeatureObserver:
    """Takes in pictures one by one.

    Args:
        params: of the quantized network.

    Attributes:
        by_tensor: the features on the pictures so far.
    """

    def __init__(self, params: NetworkParams) -> None:
        self._features, self._factors = params.features, params.factors
        self.by_tensor: dict[str, ObservedFeature] = {}

    def add(self, comparison: Comparison) -> None:
        """Take in one picture."""
        values = {**comparison.picture.feeds, **comparison.expected}
        for feature in self._features:
            tensor = feature.tensor
            if tensor in values and values[tensor].size:
                coded = in_code_units(tensor, values[tensor], self._factors)
                observed = _observe(coded, feature, comparison.picture.name)
                before = self.by_tensor.get(tensor)
                self.by_tensor[tensor] = _joined(before, observed) if before else observed


def _observe(values: Array, feature: FeatureParams, picture: str) -> ObservedFeature:
    channels = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1) if values.ndim > 1 else values.reshape(1, -1)
    scales = np.broadcast_to(feature.scales.astype(np.float64), len(channels))
    low, high = -feature.zero_point * scales, (feature.quant_params.qmax - feature.zero_point) * scales
    halves = scales / 2  # within half a step rounding does no worse
    seen = np.float64(min(feature.seen_low, 0.0)), np.float64(max(feature.seen_high, 0.0))
    rows = np.ascontiguousarray(channels, np.float32)
    channel_low, channel_high, energy, clipped, beyond = _channel_sums(rows, low - halves, high + halves, *seen)
    return ObservedFeature(
        channel_low,
        channel_high,
        channels.size,
        int(clipped[0].sum()),
        int(beyond[0].sum()),
        float(energy.sum()),
        float(clipped[1].sum()),
        energy_beyond := float(beyond[1].sum()),
        (energy_beyond, picture),
    )


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _channel_sums(
    rows: Array, low: Doubles, high: Doubles, seen_low: np.float64, seen_high: np.float64
) -> tuple[Doubles, Doubles, Doubles, Doubles, Doubles]:
    """What each of C channels shows, of finite values.

    Args:
        rows: [C, L].
        low: [C], of the codes.
        high: [C], likewise.
        seen_low: during calibration.
        seen_high: likewise.

    Returns:
        Least value, greatest, sum of squares: [C] each; how many lie outside the codes and their squared distances,
        the same of what was seen: [2, C] each.
    """
    channels, length = rows.shape
    least, most, energy = np.empty(channels), np.empty(channels), np.empty(channels)
    clipped, beyond = np.zeros((2, channels)), np.zeros((2, channels))
    for c in range(channels):
        row = rows[c]
        smallest, largest = row[0], row[0]
        for i in range(length):
            smallest = row[i] if row[i] < smallest else smallest
            largest = row[i] if row[i] > largest else largest
        s0 = s1 = s2 = s3 = 0.0  # four running sums break the dependency between additions; their order is fixed
        whole = length - length % 4
        for i in range(0, whole, 4):
            x0, x1, x2, x3 = np.float64(row[i]), np.float64(row[i + 1]), np.float64(row[i + 2]), np.float64(row[i + 3])
            s0, s1, s2, s3 = s0 + x0 * x0, s1 + x1 * x1, s2 + x2 * x2, s3 + x3 * x3
        for i in range(whole, length):
            s0 += np.float64(row[i]) * np.float64(row[i])
        least[c], most[c], energy[c] = smallest, largest, s0 + s1 + s2 + s3
        if smallest < low[c] or largest > high[c]:
            clipped[0, c], clipped[1, c] = _outside(row, low[c], high[c])
        if smallest < seen_low or largest > seen_high:
            beyond[0, c], beyond[1, c] = _outside(row, seen_low, seen_high)
    return least, most, energy, clipped, beyond


@numba.njit(cache=True, nogil=True)
def _outside(row: Array, low: np.float64, high: np.float64) -> tuple[float, float]:
    """How many values lie outside a range, and the sum of their squared distances from it."""
    count, squares = 0.0, 0.0
    for value in row:
        distance = max(low - value, value - high)
        if distance > 0.0:
            count += 1.0
            squares += distance * distance
    return count, squares


def _joined(left: ObservedFeature, right: ObservedFeature) -> ObservedFeature:
    return ObservedFeature(
        np.minimum(left.channel_low, right.channel_low),
        np.maximum(left.channel_high, right.channel_high),
        left.values + right.values,
        left.clipped + right.clipped,
        left.beyond + right.beyond,
        left.energy + right.energy,
        left.clipped_energy + right.clipped_energy,
        left.beyond_energy + right.beyond_energy,
        max(left.furthest, right.furthest, key=lambda each: each[0]),
    )
