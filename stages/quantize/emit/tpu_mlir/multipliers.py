"""The integers that TPU-MLIR writes for real numbers: multipliers with their shifts, codes of weights and biases."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ConvertedWeight",
    "convert_weight",
    "converted_bias",
    "round_away",
    "scale_and_shift",
    "shift_right",
    "shift_right_away",
]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_SHIFT = 30
LIMITS = {8: 127, 32: 2**31 - 1}
"""Bits of a multiplier -> its bound, which it does not reach."""
LEAST_WEIGHT_SCALE = np.float32(1e-5)
LEAST_INPUT_SCALE = 1e-5
"""A feature whose scale is not above it counts as all zero."""
MOST_POWER = 6
"""Weights that are whole numbers times 2**-n, n up to this, keep these as their codes."""


def round_away(values: NDArray[np.floating]) -> Reals:
    """Round to the nearest, halves away from zero."""
    size = np.abs(values)
    whole = np.floor(size)
    whole += size - whole >= 0.5
    rounded: Reals = np.copysign(whole, values).astype(np.float64, copy=False)
    return rounded


def scale_and_shift(effective_scales: NDArray[np.floating], bits: int, least: int = -32) -> tuple[Integers, Integers]:
    """Write effective scales as multiplier / 2**shift, each with the shift of the least float32 error.

    Args:
        effective_scales: of any shape.
        bits: of the multiplier, 8 or 32.
        least: the smallest shift; a negative one shifts to the left.

    Returns:
        Multipliers and shifts, int64: of equal errors the smallest shift, `least` .. 30.
    """
    scales = np.asarray(effective_scales, dtype=np.float32).astype(np.float64)
    shifts = np.arange(least, MOST_SHIFT + 1).reshape(-1, *[1] * scales.ndim)
    multipliers = round_away(scales * 2.0**shifts)
    errors = np.abs(multipliers / 2.0**shifts - scales).astype(np.float32)
    errors = np.where(np.abs(multipliers) < LIMITS[bits], errors, np.inf)
    shift = shifts.reshape(-1)[np.argmin(errors, axis=0)]
    return round_away(scales * 2.0**shift).astype(np.int64), shift.astype(np.int64)


def shift_right(values: Integers, shift: Integers | int) -> Integers:
    """Divide by 2**shift, halves up; a negative shift multiplies."""
    up = np.maximum(shift, 1)
    right = np.right_shift(values + np.left_shift(np.int64(1), up - 1), up)
    left = np.left_shift(values, np.maximum(-np.asarray(shift), 0))
    shifted: Integers = np.where(np.asarray(shift) > 0, right, left)
    return shifted


def shift_right_away(values: Integers, shift: Integers | int) -> Integers:
    """Divide by 2**shift, halves away from zero; a negative shift multiplies."""
    return np.asarray(np.sign(values) * shift_right(np.abs(values), shift))


@dataclass(frozen=True)
class ConvertedWeight:
    """A weight as the converter stores it.

    Attributes:
        codes: int32, in the weight's shape.
        scales: float64 [channels], or [1].
    """

    codes: NDArray[np.int32]
    scales: Reals


def convert_weight(weight: NDArray[np.float32], axis: int | None, unsigned: bool = False) -> ConvertedWeight:
    """Quantize a weight by its largest magnitude.

    Args:
        weight: float32.
        axis: output-channel axis for one scale a channel; None for one scale.
        unsigned: codes of 0 .. 255, where no weight is negative; else -127 .. 127.
    """
    most = 255 if unsigned else 127
    others = tuple(index for index in range(weight.ndim) if index != axis) if axis is not None else None
    largest = np.abs(weight).max(axis=others).astype(np.float32).reshape(-1)
    power = _whole_power(weight, unsigned) if axis is not None else None
    if axis is None:
        scales = np.maximum(largest.astype(np.float64) / most, np.finfo(np.float64).tiny)
    elif power is not None:
        scales = np.full(len(largest), 2.0**-power)
    else:
        scales = np.maximum(largest / np.float32(most), LEAST_WEIGHT_SCALE).astype(np.float64)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    codes = round_away(weight / scales.reshape(shape))
    return ConvertedWeight(np.clip(codes, 0 if unsigned else -128, most).astype(np.int32), scales)


def converted_bias(bias: NDArray[np.float32], scales: Reals) -> NDArray[np.int32]:
    """Quantize a bias at the accumulator's scale."""
    codes: NDArray[np.int32] = np.clip(round_away(bias / scales), -(2**31), 2**31 - 1).astype(np.int32)
    return codes


def _whole_power(weight: NDArray[np.float32], unsigned: bool) -> int | None:
    """The smallest n up to `MOST_POWER` for which all weights times 2**n are codes; None if there is none."""
    low, high = (0, 255) if unsigned else (-128, 127)
    for power in range(MOST_POWER + 1):
        scaled = weight * np.float32(2**power)
        if np.all((scaled == np.trunc(scaled)) & (scaled >= low) & (scaled <= high)):
            return power
    return None
