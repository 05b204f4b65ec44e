"""Measures of networks that answer with a class, a probability or a number."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.stranger import Measured

__all__ = [
    "changed_decisions", "concordance", "expected_value_change", "nearest_neighbours_kept", "same_class", "same_labels",
]  # fmt: skip

Numbers = NDArray[np.float64]


def same_class(measured: Measured) -> float:
    """Share of samples whose best class is the same, over all outputs: an output each is a decision each."""
    pairs = [pair for index in range(len(measured.expected[0])) for pair in measured.pairs(index)]
    return float(np.mean([expected.argmax() == actual.argmax() for expected, actual in pairs]))


def same_labels(measured: Measured) -> float:
    """Cohen's kappa of the decisions of a class: what agrees beyond chance; 1 where both always say the same."""
    expected, actual = (np.array([value.argmax() for value in side]) for side in zip(*measured.pairs(), strict=True))
    agreement = np.mean(expected == actual)
    classes = np.union1d(expected, actual)
    chance = sum(np.mean(expected == label) * np.mean(actual == label) for label in classes)
    return 1.0 if chance == 1 else float((agreement - chance) / (1 - chance))


def changed_decisions(threshold: float, column: int | None = None) -> Callable[[Measured], float]:
    """Share of values that are on the other side of a threshold.

    Args:
        threshold: of the decision.
        column: of the last axis, whose value decides; None: every value does.
    """
    chosen = slice(None) if column is None else slice(column, column + 1)

    def measure(measured: Measured) -> float:
        sides = [[value[..., chosen] >= threshold for value in pair] for pair in measured.pairs()]
        return float(np.mean([np.mean(expected != actual) for expected, actual in sides]))

    return measure


def concordance(index: int = 0, column: int | None = None) -> Callable[[Measured], float]:
    """Lin's concordance of a number over the samples: 1 where it is the same, 0 where it tells nothing.

    Args:
        index: of the output.
        column: of its values; None: it has one.
    """

    def measure(measured: Measured) -> float:
        pairs = measured.pairs(index)
        chosen = slice(None) if column is None else slice(column, column + 1)
        expected, actual = (
            np.concatenate([value.reshape(-1)[chosen] for value in side]).astype(np.float64)
            for side in zip(*pairs, strict=True)
        )
        return _concordance(expected, actual)

    return measure


def _concordance(expected: Numbers, actual: Numbers) -> float:
    covariance = np.mean((expected - expected.mean()) * (actual - actual.mean()))
    spread = expected.var() + actual.var() + (expected.mean() - actual.mean()) ** 2
    return float(2 * covariance / spread) if spread else 1.0


def expected_value_change(measured: Measured) -> float:
    """Mean absolute change of the number that probabilities of 0, 1, 2, ... stand for."""
    changes = []
    for pair in measured.pairs():
        numbers = [float(value.reshape(-1) @ np.arange(value.size)) for value in pair]
        changes.append(abs(numbers[1] - numbers[0]))
    return float(np.mean(changes))


def nearest_neighbours_kept(measured: Measured) -> float:
    """Share of samples whose nearest other sample, by the cosine of the output, is the same."""
    expected, actual = (
        _nearest(np.stack([value.reshape(-1) for value in side])) for side in zip(*measured.pairs(), strict=True)
    )
    return float(np.mean(expected == actual))


def _nearest(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.asarray(similarity.argmax(axis=1), np.int64)
