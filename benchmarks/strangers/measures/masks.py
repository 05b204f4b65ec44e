"""Measures of networks that mark places: text in a picture, notes in music, what a viewer looks at."""

from collections.abc import Callable

import numpy as np

from benchmarks.strangers.stranger import Measured

__all__ = ["correlation", "overlap", "same_marks"]


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
