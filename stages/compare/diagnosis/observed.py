"""What the debug pictures make of every feature, against the range of its codes and what calibration saw."""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from stages.compare.networks import along_channels
from stages.core.integer.qparams import FeatureParams, NetworkParams

__all__ = ["Observed", "Observer"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]


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

    def __init__(self, params: NetworkParams) -> None:
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
    scales = np.broadcast_to(entry.scales.astype(np.float64), len(channels))
    low, high = -entry.zero_point * scales, (entry.quant_params.qmax - entry.zero_point) * scales
    halves = scales / 2  # within half a step rounding does no worse
    seen = np.float64(min(entry.seen_low, 0.0)), np.float64(max(entry.seen_high, 0.0))
    rows = np.ascontiguousarray(channels, np.float32)
    least, most, energy, clipped, beyond = _look(rows, low - halves, high + halves, *seen)
    return Observed(
        least,
        most,
        channels.size,
        int(clipped[0].sum()),
        int(beyond[0].sum()),
        float(energy.sum()),
        float(clipped[1].sum()),
        float(beyond[1].sum()),
    )


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _look(
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
