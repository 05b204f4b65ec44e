"""Outputs that follow an input, as of a network that cleans or enlarges a picture: what counts is what it changes."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.outputs.output_parts import OutputParts

__all__ = ["FollowedInput"]

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
LEAST_CHANGE, MOST_CHANGE = 1e-3, 0.5
"""Part of an output's variance that its input does not tell: of less the network hands the input on and its purpose is
another, of more it does not follow it."""
PICTURE_RANK = 4


class FollowedInput:
    """Takes in an output with the network's inputs, picture by picture.

    Args:
        parts: of the output.
    """

    def __init__(self, parts: OutputParts) -> None:
        self._parts = parts
        self._totals: Doubles = np.zeros((5, len(parts.names)))  # sums of input, output, and their products
        self._pictures = 0

    def add(self, values: Array, fed: Mapping[str, Array]) -> None:
        """Take in one picture; nothing if no input has the output's shape, or a whole part of its rows and columns."""
        given = next((like for each in fed.values() if (like := _enlarged(each, values.shape)) is not None), None)
        if given is None:
            return
        x, y = self._parts.of(given), self._parts.of(values)
        self._totals += np.stack([self._parts.sums(each) for each in (x, y, x * x, x * y, y * y)])
        self._pictures += 1

    def changes(self, variances: Doubles) -> Doubles:
        """The mean square of what a multiple of the input and a constant leave untold of each part.

        Args:
            variances: of the parts, [parts].

        Returns:
            [parts]; 0 where a part does not follow an input.
        """
        if not self._pictures:
            return np.zeros_like(variances)
        x, y, xx, xy, yy = self._totals / (self._pictures * self._parts.counts)
        told = np.divide((xy - x * y) ** 2, xx - x**2, out=np.zeros_like(x), where=xx > x**2)
        change = yy - y**2 - told
        follows = (change >= LEAST_CHANGE * variances) & (change <= MOST_CHANGE * variances)
        return np.where(follows, change, 0.0)


def _enlarged(given: Array, shape: tuple[int, ...]) -> Array | None:
    """An input in an output's shape: as it is, or enlarged by a whole factor; None where it cannot be."""
    if given.shape == shape:
        return given
    if not len(given.shape) == len(shape) == PICTURE_RANK or given.shape[:2] != shape[:2] or shape[0] != 1:
        return None
    factor, remainder = divmod(shape[-1], given.shape[-1])
    if remainder or factor < 1 or tuple(factor * side for side in given.shape[2:]) != shape[2:]:
        return None
    enlarged = [cv2.resize(channel, shape[:1:-1], interpolation=cv2.INTER_CUBIC) for channel in given[0]]
    return np.stack(enlarged)[np.newaxis].astype(np.float32)
