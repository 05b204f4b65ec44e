"""Terms of the error that rounding is expected to make, as functions of the logarithms of channels' factors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.quantize.equalize.channel_ties import Indices

__all__ = ["Clipping", "Noise"]

Array = NDArray[np.float64]

SOFTNESS = 40.0
"""Exponent of the norm that stands for a largest value, so that it has a gradient."""


@dataclass(frozen=True)
class Noise:
    """Rounding with one scale: scale**2 * sum over groups of sum(out * exp(2 u)) * sum(into * exp(-2 u)).

    The scale is the largest of `sizes` * exp(u of `plus` - sum of u of `minus`). A number that stands for what has no
    factor, whose u is 0, may be among the classes.

    Attributes:
        sizes: [N], logarithms.
        plus: [N], classes.
        minus: [K, N], classes.
        out: [groups, outputs], weights of the errors.
        out_classes: the same shape.
        into: [groups, inputs], the power that a rounding error of 1 is multiplied by.
        into_classes: the same shape.
    """

    sizes: Array
    plus: Indices
    minus: Indices
    out: Array
    out_classes: Indices
    into: Array
    into_classes: Indices

    def add(self, u: Array, gradient: Array) -> float:
        """The error; its gradient is added to `gradient`."""
        powers = SOFTNESS * (self.sizes + u[self.plus] - u[self.minus].sum(axis=0))
        most = powers.max()
        shares = np.exp(powers - most)
        total = float(shares.sum())
        scale = float(np.exp(2.0 * (most + np.log(total)) / SOFTNESS))
        out, into = self.out * np.exp(2.0 * u[self.out_classes]), self.into * np.exp(-2.0 * u[self.into_classes])
        outs, intos = out.sum(axis=1), into.sum(axis=1)
        error = scale * float(outs @ intos)
        shares *= 2.0 * error / total
        _add(gradient, self.plus, shares)
        for classes in self.minus:
            _add(gradient, classes, -shares)
        _add(gradient, self.out_classes, 2.0 * scale * out * intos[:, np.newaxis])
        _add(gradient, self.into_classes, -2.0 * scale * into * outs[:, np.newaxis])
        return error


@dataclass(frozen=True)
class Clipping:
    """What a feature's threshold in place of a Clip's bound changes: the weighted mean square over its values.

    A channel that was x becomes exp(u) * min(max(x * exp(-u - t), 0), bound): u its factor, t by how much its
    producer alone is scaled down, which a channel that is mostly 0 or at the bound bears well.

    Attributes:
        values: [Q, C], values before the Clip.
        shares: [Q, 1], what part of all each stands for.
        bound: of the Clip.
        weights: [C], of the channels' errors.
        classes, shrinks: [C], classes of u and of t.
    """

    values: Array
    shares: Array
    bound: float
    weights: Array
    classes: Indices
    shrinks: Indices

    def add(self, u: Array, gradient: Array) -> float:
        """The error; its gradient is added to `gradient`."""
        factors, shrunk = np.exp(u[self.classes]), np.exp(-u[self.shrinks])
        inner, most = np.maximum(self.values * shrunk, 0.0), self.bound * factors
        full = inner >= most
        changed = np.where(full, most, inner)
        difference = changed - np.clip(self.values, 0.0, self.bound)
        weighted = self.shares * self.weights * difference
        _add(gradient, self.classes, 2.0 * np.where(full, weighted * changed, 0.0).sum(axis=0))
        _add(gradient, self.shrinks, -2.0 * np.where(full, 0.0, weighted * changed).sum(axis=0))
        return float((weighted * difference).sum())


def _add(gradient: Array, classes: Indices, values: Array) -> None:
    gradient += np.bincount(classes.reshape(-1), values.reshape(-1), len(gradient))
