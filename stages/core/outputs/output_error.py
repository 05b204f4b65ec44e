"""The error of outputs against their own variation: what a constant would do as well has an error of 1.

A cosine goes by the largest values and by what all pictures have in common: an output that ignores its input can have
one of 0.99, and of one number it is always 1. Here each part of an output is taken by itself, and its squared error in
parts of its variance over the pictures: the normalized mean squared error, 1 - R^2. Logits are read as probabilities.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.core.outputs.followed_input import FollowedInput
from stages.core.outputs.output_parts import OutputParts
from stages.core.outputs.reading import PlaceSummary, Reading

__all__ = ["FLOAT_NOISE", "MOST_ERROR", "NetworkError", "Outputs", "PartError", "Variations", "fidelity", "readings_of"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Outputs = Mapping[str, Array]
"""Name -> values: the float outputs of a network."""
FLOAT_NOISE = 1e-10
"""A variance below this part of the mean square is float32's rounding."""
MOST_ERROR = 100.0
"""The error of a part counts as no more in a mean; so it is where zeros get an error, or a value is no number."""


def fidelity(error: float) -> float:
    """Put an error on the scale of a cosine: sqrt(1 - error), 0 from an error of 1 on.

    Of values whose mean is 0 it is the cosine between float and quantized, as far as the error is noise: the limits
    that are known for cosines hold for it.
    """
    return math.sqrt(max(1.0 - error, 0.0))


@dataclass(frozen=True)
class PartError:
    """A part of an output over all pictures.

    Attributes:
        output: its name.
        part: its name within the output; "" where the output is one part.
        values: how many were compared.
        deviation: of the float values over the pictures, root of the mean square; of what never changes their size.
        error: of the quantized values, root of the mean square.
        varies: whether the float values change at all.
        change: of an output that follows an input, root of the mean square of what the network changes of that; 0 of
            others.
    """

    output: str
    part: str
    values: int
    deviation: float
    error: float
    varies: bool = True
    change: float = 0.0

    @property
    def relative(self) -> float:
        """Squared error in parts of the variance, or of the change where there is one, at most `MOST_ERROR`."""
        return _relative(self.error**2, (self.change or self.deviation) ** 2)


def _relative(squared_error: float, variance: float) -> float:
    if not math.isfinite(squared_error):
        return MOST_ERROR
    if not variance:
        return MOST_ERROR if squared_error else 0.0
    return min(squared_error / variance, MOST_ERROR)


class _Variation:
    """The variance of an output over the pictures, each position about its own mean.

    One picture shows no variation, and an output of varying size has no positions: there it is about the mean of all
    values.
    """

    def __init__(self, parts: OutputParts | None) -> None:
        self.parts, self._pictures = parts, 0
        self._totals: Doubles = np.zeros((3, 1 if parts is None else len(parts.names)))  # counts, sums, squares
        self._first: Doubles = np.zeros(0)
        self._moved: Doubles = np.zeros(0)  # sums of each value less its first
        self._moved_squares: Doubles = np.zeros(0)  # of the same, each part's

    def add(self, values: Array) -> None:
        chosen = _chosen(self.parts, values)
        counts = np.array([chosen.size]) if self.parts is None else self.parts.counts
        self._totals += np.stack([counts, _sums(self.parts, chosen), _sums(self.parts, chosen**2)])
        if self.parts is not None:
            if not self._pictures:
                self._first, self._moved = chosen, np.zeros(len(chosen))
                self._moved_squares = np.zeros(len(self.parts.names))
            moved = chosen - self._first
            self._moved += moved
            self._moved_squares += _sums(self.parts, moved**2)
        self._pictures += 1

    def variances(self) -> tuple[Doubles, NDArray[np.bool_]]:
        """The variance of each part, and whether it is more than float32's rounding; else the mean square is given."""
        counts, sums, squares = self._totals
        counts = np.maximum(counts, 1)
        variance = squares / counts - (sums / counts) ** 2
        if self.parts is not None and self._pictures > 1:
            between = self._moved_squares - _sums(self.parts, self._moved**2) / self._pictures
            variance = between / (self.parts.counts * (self._pictures - 1))
        varies = variance > FLOAT_NOISE * squares / counts
        return np.where(varies, variance, squares / counts), varies


class Variations:
    """How far the float outputs vary: what an error is measured by.

    Args:
        parts: of the outputs of known size.
    """

    def __init__(self, parts: Mapping[str, OutputParts]) -> None:
        self.parts = parts
        self._followed = {name: FollowedInput(each) for name, each in parts.items()}
        self._by_output: dict[str, dict[Reading, _Variation]] = {}
        self._places: dict[str, PlaceSummary] = {}
        self._variances: dict[str, tuple[Doubles, NDArray[np.bool_]]] | None = None

    @classmethod
    def of(cls, parts: Mapping[str, OutputParts], pictures: Iterable[tuple[Outputs, Outputs]]) -> "Variations":
        """Take in all pictures, the float outputs and the inputs of each."""
        variations = cls(parts)
        for outputs, fed in pictures:
            variations.add(outputs, fed)
        return variations

    def add(self, expected: Outputs, fed: Outputs | None = None) -> None:
        """Take in one picture.

        Args:
            expected: the float outputs.
            fed: the inputs; None: not known, so no output follows one.
        """
        self._variances = None
        for name, values in expected.items():
            parts = self.parts.get(name)
            if fed and name in self._followed:
                self._followed[name].add(values, fed)
            if parts is not None and parts.may_be_logits:
                self._places.setdefault(name, PlaceSummary()).add(values)
            readings = readings_of(parts)
            variations = self._by_output.setdefault(name, {each: _Variation(parts) for each in readings})
            for each, variation in variations.items():
                variation.add(each.of(values))

    def reading(self, output: str) -> Reading:
        """How an output is read, by its float values so far."""
        places = self._places.get(output)
        return Reading.sigmoid if places is not None and places.are_logits else Reading.values

    def variances(self) -> Mapping[str, tuple[Doubles, NDArray[np.bool_]]]:
        """Output -> the variance of each part, and whether it varies at all; of what does not its mean square."""
        if self._variances is None:
            self._variances = {name: each[self.reading(name)].variances() for name, each in self._by_output.items()}
        return self._variances

    def changes(self, output: str) -> Doubles:
        """What is changed of the input in each part; 0 where it does not follow one, as logits do not."""
        variances, _ = self.variances()[output]
        followed = self._followed.get(output)
        if followed is None or self.reading(output) is not Reading.values:
            return np.zeros_like(variances)
        return followed.changes(variances)

    def names(self, output: str) -> list[str]:
        """The names of an output's parts."""
        return list(self.parts[output].names) if output in self.parts else [""]


class NetworkError:
    """The error of a network's outputs; takes in pictures one by one.

    Args:
        parts: of the outputs of known size.
        variations: of the float outputs on the same pictures, where that is known; else it is found on the way.
    """

    def __init__(self, parts: Mapping[str, OutputParts], variations: Variations | None = None) -> None:
        self._parts, self._known = parts, variations
        self._variations = variations or Variations(parts)
        self._errors: dict[str, dict[Reading, Doubles]] = {}
        self._counts: dict[str, Doubles] = {}

    def add(self, expected: Outputs, actual: Outputs, fed: Outputs | None = None) -> None:
        """Take in one picture.

        Args:
            expected: outputs of the float network.
            actual: of the quantized one.
            fed: the inputs of both; None: not known, so no output follows one. Where the variations are known they
                tell.
        """
        if self._known is None:
            self._variations.add(expected, fed)
        for name, values in expected.items():
            parts = self._parts.get(name)
            errors = self._errors.setdefault(name, {})
            for each in readings_of(parts) if self._known is None else [self._known.reading(name)]:
                differences = _chosen(parts, each.of(actual[name])) - _chosen(parts, each.of(values))
                errors[each] = errors.get(each, 0.0) + _sums(parts, differences**2)
            counts = np.array([values.size], np.float64) if parts is None else parts.counts.astype(np.float64)
            self._counts[name] = self._counts.get(name, 0.0) + counts

    def parts(self) -> list[PartError]:
        """Each part of each output, in order."""
        variances, root = self._variations.variances(), math.sqrt
        return [
            PartError(name, part, int(count), root(variance), root(error / max(count, 1)), bool(varies), root(change))
            for name, errors in self._errors.items()
            for part, count, variance, varies, error, change in zip(
                self._variations.names(name),
                self._counts[name],
                *variances[name],
                errors[self.reading(name)],
                self._variations.changes(name),
                strict=True,
            )
        ]

    def reading(self, output: str) -> Reading:
        """How an output is read, by its float values so far."""
        return self._variations.reading(output)

    def mean(self) -> float:
        """The mean over all parts of their relative error; 0 where there is no float output."""
        errors = [part.relative for part in self.parts()]
        return float(np.mean(errors)) if errors else 0.0

    def worst(self) -> float:
        """The largest relative error of a part; 0 where there is no float output."""
        return max((part.relative for part in self.parts()), default=0.0)


def readings_of(parts: OutputParts | None) -> list[Reading]:
    """How an output may be read: which it is, all pictures tell."""
    return [*Reading] if parts is not None and parts.may_be_logits else [Reading.values]


def _chosen(parts: OutputParts | None, values: Array) -> Doubles:
    return values.reshape(-1).astype(np.float64) if parts is None else parts.of(values)


def _sums(parts: OutputParts | None, values: Doubles) -> Doubles:
    return values.sum(keepdims=True) if parts is None else parts.sums(values)
