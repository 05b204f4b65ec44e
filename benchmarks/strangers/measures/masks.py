"""Measures of networks that answer with a map: text in a picture, notes in music, what a viewer looks at, a picture."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.stranger import Measured

__all__ = ["correlation", "decibels_kept", "overlap", "same_marks"]


def overlap(threshold: float) -> Callable[[Measured], float]:
    """Intersection over union of what both networks mark, over all samples."""

    def measure(measured: Measured) -> float:
        both = either = 0
        for expected, actual in measured.pairs():
            marked, other = expected >= threshold, actual >= threshold
            both, either = both + int((marked & other).sum()), either + int((marked | other).sum())
        return both / either if either else 1.0

    return measure


def same_marks(threshold: float, index: int) -> Callable[[Measured], float]:
    """F1 of the marks of an output with the float network's as the truth."""

    def measure(measured: Measured) -> float:
        both = marks = 0
        for expected, actual in measured.pairs(index):
            marked, other = expected >= threshold, actual >= threshold
            both, marks = both + int((marked & other).sum()), marks + int(marked.sum()) + int(other.sum())
        return 2 * both / marks if marks else 1.0

    return measure


def correlation(measured: Measured) -> float:
    """Mean correlation of the output's values within a sample."""
    pairs = [(expected.reshape(-1), actual.reshape(-1)) for expected, actual in measured.pairs()]
    return float(np.mean([np.corrcoef(*pair)[0, 1] if np.ptp(pair[1]) else 0.0 for pair in pairs]))


def decibels_kept(measured: Measured) -> float:
    """Share of the float network's gain in signal to noise that the quantized one has.

    The measure's truth is a picture as the network takes it and the perfect one of each sample, BGR [H, W, 3]; outputs
    are RGB in 0 .. 1.
    """
    given, perfect = (np.stack(side) / 255.0 for side in zip(*measured.truth, strict=True))
    float_ones, others = (
        np.concatenate(side).transpose(0, 2, 3, 1)[..., ::-1] for side in zip(*measured.pairs(), strict=True)
    )
    before, after, quantized = (_decibels(perfect, other) for other in (given, float_ones, others))
    return (quantized - before) / (after - before)


def _decibels(perfect: NDArray[Any], other: NDArray[Any]) -> float:
    """Peak signal to noise, of the mean square over all pictures."""
    return float(-10 * np.log10(np.mean((perfect - other) ** 2)))
