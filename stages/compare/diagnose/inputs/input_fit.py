"""How well a network takes the pictures that it is fed: by the batch norms of its training, and by labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_MISFIT",
    "MIN_PICTURES",
    "STANDARD_ERRORS",
    "Array",
    "Moments",
    "StandardizedChannels",
    "clearly_better",
    "contrast_misfit",
    "log_likelihoods",
    "misfit",
    "picture_moments",
    "surely_likelier",
]

MIN_PICTURES = 8
"""Of fewer the means say more about the pictures than about how they are fed."""
MAX_SQUARE = 25.0
"""A squared standardized difference counts at most so much: beyond 5 deviations wrong is wrong."""
MAX_MISFIT = 0.1
"""A variant fits if channels lie within about 0.3 deviations of training. Measured on EfficientNet-Lite0 and 13
pictures: 0.023 as trained, 0.075 with red and blue exchanged, 0.13 with ImageNet's mean and normal, 0.20 with mean 0
and normal 255, 7.6 with mean 0 and normal 1."""
STANDARD_ERRORS = 2.0
"""An advantage counts from so many standard errors over the pictures on: of labels, and of exchanged colours."""
MIN_GAIN = 0.1
"""Least gain in the labels' mean log-likelihood, in nats."""
TEMPERATURES = 2.0 ** np.arange(-3.0, 3.5, 0.5)
MIN_DEVIATION = 0.05
"""In parts of the median: a channel that training switched off has no deviation to divide by."""

Array = NDArray[np.float64]
Moments = tuple[Array, Array]
"""Of each channel of a batch norm, over the pixels of a picture: mean and mean square, standardized."""


@dataclass(frozen=True)
class StandardizedChannels:
    """A batch norm's channels, less the mean and over the deviation of training: float64 [P, C], of P pictures.

    Attributes:
        means: of each channel over the pixels of each picture.
        squares: the same of the squares.
    """

    means: Array
    squares: Array

    @classmethod
    def of_pictures(cls, pictures: Sequence[Sequence[Moments]]) -> list["StandardizedChannels"]:
        """Join the moments of pictures, norm by norm."""
        return [
            cls(np.array([means for means, _ in norm]), np.array([squares for _, squares in norm]))
            for norm in zip(*pictures, strict=True)
        ]

    def of(self, kept: NDArray[np.int64]) -> "StandardizedChannels":
        """The same of some of the pictures."""
        return StandardizedChannels(self.means[kept], self.squares[kept])


def picture_moments(values: NDArray[np.float32], norm: Mapping[str, Any]) -> Moments:
    """Standardize a picture's channels, without those that training switched off.

    Args:
        values: float32 [1, C, ...], a batch norm's output.
        norm: `mean` and `deviation` of its channels in training.
    """
    deviation = np.array(norm["deviation"], dtype=np.float64)
    alive = deviation > MIN_DEVIATION * np.median(deviation)
    rows = np.ascontiguousarray(values, np.float32).reshape(values.shape[1], -1)
    means, squares = (sums[alive] / rows.shape[1] for sums in _channel_sums(rows))
    mean, deviation = np.array(norm["mean"])[alive], deviation[alive]
    return (means - mean) / deviation, (squares - 2.0 * mean * means + mean**2) / deviation**2


@numba.njit(cache=True, nogil=True)
def _channel_sums(rows: NDArray[np.float32]) -> Moments:
    """Sum and sum of squares of each channel of [C, L], in four running sums whose order is fixed."""
    channels, length = rows.shape
    sums, squares = np.empty(channels), np.empty(channels)
    whole = length - length % 4
    for c in range(channels):
        row = rows[c]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
        for i in range(0, whole, 4):
            x0, x1, x2, x3 = np.float64(row[i]), np.float64(row[i + 1]), np.float64(row[i + 2]), np.float64(row[i + 3])
            a0, a1, a2, a3 = a0 + x0, a1 + x1, a2 + x2, a3 + x3
            b0, b1, b2, b3 = b0 + x0 * x0, b1 + x1 * x1, b2 + x2 * x2, b3 + x3 * x3
        for i in range(whole, length):
            x = np.float64(row[i])
            a0, b0 = a0 + x, b0 + x * x
        sums[c], squares[c] = a0 + a1 + a2 + a3, b0 + b1 + b2 + b3
    return sums, squares


def misfit(norms: Sequence[StandardizedChannels]) -> float:
    """How far channels are from training: the squared standardized difference of their means, averaged.

    Returns:
        The mean over norms of the mean over channels of the square of the mean over pictures, at most 25 each.
    """
    squares = (norm.means.mean(axis=0) ** 2 for norm in norms)
    return float(np.mean([np.minimum(np.nan_to_num(square, nan=MAX_SQUARE), MAX_SQUARE).mean() for square in squares]))


def contrast_misfit(norms: Sequence[StandardizedChannels]) -> float:
    """How far the channels' deviations are from training: the squared logarithm of their ratio, averaged likewise."""
    misfits = []
    for norm in norms:
        variance = np.maximum(norm.squares.mean(axis=0) - norm.means.mean(axis=0) ** 2, 1e-12)
        misfits.append(float(np.minimum((0.5 * np.log(variance)) ** 2, MAX_SQUARE).mean()))
    return float(np.mean(misfits))


def clearly_better(
    now: Sequence[StandardizedChannels],
    other: Sequence[StandardizedChannels],
    times: float,
    errors: float = STANDARD_ERRORS,
) -> bool:
    """Whether another variant fits, so many times as well as now, by so many standard errors (jackknife)."""
    if not now or not other or misfit(other) > MAX_MISFIT or misfit(now) < times * misfit(other):
        return False
    count = len(now[0].means)

    def advantage(kept: NDArray[np.int64]) -> float:
        return misfit([norm.of(kept) for norm in now]) - misfit([norm.of(kept) for norm in other])

    parts = np.array([advantage(np.delete(np.arange(count), index)) for index in range(count)])
    error = float(np.sqrt((count - 1) / count * ((parts - parts.mean()) ** 2).sum()))
    return advantage(np.arange(count)) > errors * error


def log_likelihoods(scores: Array, labels: Sequence[int]) -> Array:
    """Log-likelihood of each label, at the temperature that suits all best.

    The temperature takes out how sure the network is: another normal changes the contrast, and with it the certainty,
    without the classes being told apart any better.

    Args:
        scores: float64 [P, classes], logits or probabilities.
        labels: P classes.
    """
    if scores.min() >= 0.0 and np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        scores = np.log(np.maximum(scores, 1e-12))
    best = np.full(len(labels), -np.log(scores.shape[1]))  # an endless temperature, where nothing else serves
    for temperature in TEMPERATURES:
        scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
        likelihoods = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
        if likelihoods.mean() > best.mean():
            best = likelihoods
    return best


def surely_likelier(now: Array, other: Array, chance: float) -> bool:
    """Whether labels are likelier another way: by 0.1 nats, 2 standard errors of the pairs, better than chance."""
    if len(now) < MIN_PICTURES or len(other) != len(now):
        return False
    gain = other - now
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    return bool(gain.mean() > max(MIN_GAIN, STANDARD_ERRORS * error) and other.mean() > chance + MIN_GAIN)
