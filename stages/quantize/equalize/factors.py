"""Choosing factors of channels by the error that rounding is expected to make; arrays by class of channels."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.equalize.channel_ties import Indices
from stages.quantize.equalize.scaled_model import weight_by_input

__all__ = ["MAX_FACTOR", "Consumer", "FactorGroup", "ScaledFeature", "channel_power"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
MAX_FACTOR = 16.0
"""Of a channel; its inverse is the least."""
RANGE_HEADROOMS = (1.0, 1.5, 2.0, 3.0)
"""How far beyond its seen values a channel's range may have to reach."""
FEATURE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of the feature's optimum in a factor; the rest is the weights'."""


@dataclass(frozen=True)
class ScaledFeature:
    """A tensor with codes.

    Attributes:
        classes: the class of each channel.
        statistics: of the tensor.
    """

    classes: Indices
    statistics: TensorStatistics

    def range_shares(self, headroom: float) -> Array:
        """Each channel's part of the range, 0..1, below and above zero taken apart so that no side may grow: [C].

        A channel that is to keep `headroom` times its seen range has so much larger a part, at most all.
        """
        ends = (self.statistics.channel_high, -self.statistics.channel_low)
        above, below = (np.maximum(end, 0.0) for end in ends)
        sides: list[Array] = [
            np.minimum(headroom * side / side.max(), 1.0) for side in (above, below) if side.max() > 0
        ]
        return np.asarray(np.max([np.zeros(len(self.classes)), *sides], axis=0))

    def rounding_error(self, factors: Array, bits: int) -> Array:
        """Power of the error in each channel, in its old units: [C].

        Rounding gives a twelfth of the scale's square, or less: never more than the value itself. Beyond the range lie
        values that calibration did not see. With an exponential tail, of n values the largest is near ln(n) times the
        tail's mean excess, one in n**h lies beyond h times the largest, and the excess' mean square is 2 * its mean**2.
        """
        own, count = factors[self.classes], max(self.statistics.histogram.sum() / len(self.classes), 3.0)
        span, unseen = 0.0, np.zeros(len(own))
        for side in (self.statistics.channel_high, -self.statistics.channel_low):
            seen = np.maximum(side.astype(np.float64), 0.0)
            end = float((seen / own).max())
            room = np.divide(end * own, seen, out=np.full(len(own), np.inf), where=seen > 0)
            unseen += 2 * (seen / np.log(count)) ** 2 * count**-room
            span += end
        return np.asarray(np.minimum((span * own / 2.0**bits) ** 2 / 12, channel_power(self.statistics)) + unseen)


@dataclass(frozen=True)
class Consumer:
    """A weighted layer that consumes a scaled tensor; `groups` are the convolution's.

    Attributes:
        classes: class of each input channel.
        largest: [groups, outputs, inputs], largest magnitude of each kernel.
        squares: [groups, outputs, inputs], sum of squares of each kernel.
        kernel: number of values of a kernel.
        power: [groups, inputs], mean square of each input channel, estimated.
    """

    classes: Indices
    largest: Array
    squares: Array
    kernel: int
    power: Array

    @classmethod
    def of(
        cls, classes: Indices, statistics: TensorStatistics, node: onnx.NodeProto, weight: NDArray[np.float32]
    ) -> "Consumer":
        """Describe a weighted node whose input has these classes of channels and statistics."""
        rows = weight_by_input(node, weight).astype(np.float64)
        power = channel_power(statistics).reshape(rows.shape[0], rows.shape[2])
        return cls(classes, np.abs(rows).max(axis=3), (rows**2).sum(axis=3), rows.shape[3], power)

    @property
    def output_power(self) -> float:
        """Power of the output, were the inputs independent."""
        return float(np.einsum("goi,gi->", self.squares, self.power))

    def row_shares(self) -> Array:
        """The largest part, 0..1, that each channel has of a row: [inputs of all groups]."""
        rows = self.largest.max(axis=2, keepdims=True)
        shares = np.divide(self.largest, rows, out=np.zeros_like(self.largest), where=rows > 0)
        return np.asarray(shares.max(axis=1)).reshape(-1)

    def rounding_error(self, factors: Array, bits: int) -> float:
        """Power of the error at the output from rounding the weights."""
        own = factors[self.classes].reshape(self.power.shape)[:, np.newaxis]
        scale = (self.largest * own).max(axis=2, keepdims=True) / 2.0 ** (bits - 1)
        error = np.minimum(self.kernel * (scale / own) ** 2 / 12, self.squares)
        return float(np.einsum("goi,gi->", error, self.power))


@dataclass(frozen=True)
class FactorGroup:
    """Tensors that share factors, and their consumers."""

    features: list[ScaledFeature]
    consumers: list[Consumer]

    def best(self, factors: Array, fixed: Mask, feature_bits: int, weight_bits: int) -> Array:
        """Give the factors with those of this group chosen; of equally good ones the first, unscaled before all.

        Args:
            factors: of all classes.
            fixed: classes whose factor must be 1.
            feature_bits: bit width of features.
            weight_bits: bit width of weights.
        """
        row_shares, sensitivity = np.zeros((2, len(fixed)))
        consumers = [consumer for consumer in self.consumers if consumer.output_power > 0]
        for consumer in consumers:
            np.maximum.at(row_shares, consumer.classes, consumer.row_shares())
            relative = consumer.squares.sum(axis=1).reshape(-1) / consumer.output_power
            np.add.at(sensitivity, consumer.classes, relative)

        def cost(candidate: Array) -> float:
            """Expected power of the error at the consumers' outputs, relative to the outputs' power.

            One scale serves all channels of a feature, or of a weight's row, in the new units.
            """
            features = sum(
                float(sensitivity[feature.classes] @ feature.rounding_error(candidate, feature_bits))
                for feature in self.features
            )
            weights = sum(
                consumer.rounding_error(candidate, weight_bits) / consumer.output_power for consumer in consumers
            )
            return features + weights

        best, least = factors, cost(factors)
        for headroom, share in product(RANGE_HEADROOMS, FEATURE_SHARES):
            range_shares = np.zeros(len(fixed))
            for feature in self.features:
                np.maximum.at(range_shares, feature.classes, feature.range_shares(headroom))
            live = np.flatnonzero((range_shares > 0) & (row_shares > 0) & ~fixed)
            if not live.size:
                break
            candidate = factors.copy()
            balanced = range_shares[live] ** share / row_shares[live] ** (1 - share)
            balanced *= (range_shares[live] / balanced).max()
            candidate[live] = np.clip(balanced, 1 / MAX_FACTOR, MAX_FACTOR)
            if (expected := cost(candidate)) < least:
                best, least = candidate, expected
        return best


def channel_power(statistics: TensorStatistics) -> Array:
    """Estimate the mean square of each channel, float64 [C], from its mean and ends.

    The standard deviation is taken as an eighth of the range, as of a bell, but no more than the mean's distance from
    the nearer end, as of the exponential distribution that a Relu leaves.
    """
    by_channel = (statistics.channel_low, statistics.channel_high, statistics.channel_mean)
    low, high, mean = (values.astype(np.float64) for values in by_channel)
    deviation = np.minimum(np.minimum(high - mean, mean - low), (high - low) / 8)
    return np.asarray(mean**2 + deviation**2)
