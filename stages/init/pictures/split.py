"""Splitting one folder of samples into calibration, debug and evaluation set, the same way each time."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.calibset.inspect import MIN_SAMPLES
from stages.core.data.sample_files import position_of

__all__ = ["FEW", "Split", "split"]

FEW = 8
"""Of fewer samples each set has all."""
CALIBRATION_SHARE, MOST_CALIBRATION = 0.4, 64
DEBUG_SHARE, LEAST_DEBUG, MOST_DEBUG = 0.125, 4, 16
SEPARATE = 24
"""From so many samples on the debug set is apart from the evaluation set; of fewer it is some of that."""
MOST_DIGITS = 12

Part = list[float]


@dataclass(frozen=True)
class Split:
    """How a source is split.

    Attributes:
        calibration: `data.calibration.part`; None: all.
        debug: `data.debug.part`.
        evaluation: `data.evaluation.part`.
        counts: samples of the three.
    """

    calibration: Part | None
    debug: Part | None
    evaluation: Part | None
    counts: tuple[int, int, int]

    @property
    def few(self) -> bool:
        """Whether calibset will say that too few calibrate."""
        return self.counts[0] < MIN_SAMPLES

    @property
    def shared(self) -> bool:
        """Whether all three are the same."""
        return self.calibration is None


def split(names: Sequence[str]) -> Split:
    """Split samples by the hash of their names: 2 of 5 calibrate, 10 to 64; 4 to 16 debug; the rest evaluates.

    Of fewer than 20 samples half of them calibrate.

    Args:
        names: of the samples inside their source.
    """
    total = len(names)
    if total < FEW:
        return Split(None, None, None, (total, min(total, MOST_DEBUG), total))
    positions = sorted(map(position_of, names))
    least = min(MIN_SAMPLES, total // 2)
    calibration = min(max(round(CALIBRATION_SHARE * total), least), MOST_CALIBRATION)
    debug = min(max(round(DEBUG_SHARE * total), LEAST_DEBUG), MOST_DEBUG)
    first, second = _between(positions, calibration), _between(positions, calibration + debug)
    begin = second if total >= SEPARATE else first
    evaluated = total - calibration - (debug if total >= SEPARATE else 0)
    return Split([0.0, first], [first, second], [begin, 1.0], (calibration, debug, evaluated))


def _between(positions: Sequence[float], count: int) -> float:
    """A short number that has so many of the positions below it."""
    if count >= len(positions):
        return 1.0
    low, high = positions[count - 1], positions[count]
    for digits in range(2, MOST_DIGITS):
        middle = round((low + high) / 2, digits)
        if low < middle <= high:
            return middle
    return high
