"""The integer arithmetic of the SOCs, as NumPy functions: docs/arithmetic.md in code.

Accumulators are int64 here, so that nothing can overflow; a SOC's have 32 bits, and `quantize` warns where those may
overflow. Per-channel parameters are shaped to broadcast against the accumulator.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIXED_BITS",
    "MULT_LIMIT",
    "SHIFT_LIMIT",
    "Scale",
    "bias_codes",
    "broadcast_scales",
    "doubling_shift",
    "fixed_point",
    "multiplier_shift",
    "multiplier_shift_parameters",
    "nna",
    "nna_integer_parameters",
    "nna_limits",
    "nna_parameters",
    "scale_sum",
    "scale_sum_away",
    "shift_parameters",
]

Integers = NDArray[np.int64]
Scale = float | NDArray[np.floating]
"""One for all channels, or an array of one a channel."""

MULT_LIMIT = 2**16 - 1
"""Largest divisor of the `nna` rule: a channel that needs a larger one moves its output by less than a code."""
FIXED_BITS = 14
"""Bits of a fixed-point multiplier: a sum of two 8-bit codes times it stays below 2**24."""
SHIFT_LIMIT = 46
"""Largest right shift."""
BIAS_LIMIT = 2**31 - 1


def nna(acc: Integers, bias: Integers, mult: Integers, bits: int) -> Integers:
    """Requantize as Ingenic's unit does: floor((4*acc + bias) / mult) + 2**(bits-1), clamped to a code.

    Source: the open T41 manual (t41-pluto, T41_NNA_MANUAL.md 3.8), which reports it byte-equal to the vendor's library.
    """
    codes: Integers = np.clip((4 * acc + bias) // mult + 2 ** (bits - 1), 0, 2**bits - 1)
    return codes


def nna_parameters(
    in_scale: Scale, weight_scales: NDArray[Any], bias: NDArray[Any], out_scale: Scale, zero_point: int, bits: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Choose bias and mult of the `nna` rule, one an output channel; scales as each of those has them.

    Returns:
        bias = round(mult * (zero_point - 2**(bits-1) + bias/out_scale) + mult/2), which turns the floor into rounding,
        and mult = round(4 * out_scale / (in_scale * weight_scale)), 1 .. `MULT_LIMIT`.
    """
    mult = np.clip(np.rint(4.0 * out_scale / (in_scale * weight_scales.astype(np.float64))), 1, MULT_LIMIT)
    offset = np.rint(mult * (zero_point - 2 ** (bits - 1) + bias.astype(np.float64) / out_scale) + mult / 2)
    return np.clip(offset, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int32), mult.astype(np.int32)


def nna_integer_parameters(
    in_scale: Scale, weight_scales: NDArray[Any], codes: NDArray[np.int32], out_scale: Scale, zero_point: int, bits: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The same for a bias that is stored as int32 codes at the accumulator's scale: the rounding of those counts.

    The order of the float64 operations is that of the open T41 compiler (compile/requant.py at 8f374b6): where `mult`
    is odd, bias lies halfway between two integers.
    """
    effective = in_scale * weight_scales.astype(np.float64) / out_scale
    mult = np.clip(np.rint(4.0 / effective), 1, MULT_LIMIT)
    offset = np.rint(mult * (effective * codes.astype(np.float64) + (zero_point - 2 ** (bits - 1)) + 0.5))
    return np.clip(offset, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int32), mult.astype(np.int32)


def nna_limits(bias: NDArray[Any], out_scale: Scale, bits: int) -> NDArray[np.int64]:
    """Give each channel's largest mult: at most `MULT_LIMIT`, and such that the rule's bias fits 32 bits."""
    range_codes = 2**bits + np.abs(bias.astype(np.float64)) / out_scale
    return np.asarray(np.clip(np.floor(BIAS_LIMIT / range_codes), 1, MULT_LIMIT), dtype=np.int64)


def multiplier_shift(acc: Integers, multiplier: Integers, shift: Integers, zero_point: int, bits: int) -> Integers:
    """Requantize by a fixed-point product: floor((acc*multiplier + 2**(shift-1)) / 2**shift) + zero_point, clamped."""
    return np.clip(scale_sum(acc * multiplier, shift) + zero_point, 0, 2**bits - 1)


def multiplier_shift_parameters(effective_scales: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Write effective scales as multiplier / 2**shift with multipliers of 15 bits, 0 for one too small to matter."""
    effective_scales = effective_scales.astype(np.float64)
    shift = np.clip(FIXED_BITS - np.floor(np.log2(effective_scales)), 1, SHIFT_LIMIT)
    multiplier = np.minimum(np.rint(effective_scales * 2.0**shift), 2**31 - 1)
    return multiplier.astype(np.int32), shift.astype(np.int32)


def shift_parameters(effective_scales: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Write effective scales as 1 / 2**shift, the nearest power of two."""
    shift = np.clip(-np.rint(np.log2(effective_scales.astype(np.float64))), 1, SHIFT_LIMIT)
    return np.ones_like(shift, dtype=np.int32), shift.astype(np.int32)


def fixed_point(effective_scales: list[float], bits: int = FIXED_BITS) -> tuple[list[int], int]:
    """Write the effective scales of a sum's operands with one shift.

    Args:
        effective_scales: one an operand.
        bits: of the largest multiplier.

    Returns:
        multipliers of at most that many bits and a sign, and the shift: effective scale = multiplier / 2**shift.
    """
    largest = max(abs(effective_scale) for effective_scale in effective_scales) or 1.0
    shift = int(np.clip(bits - 1 - np.floor(np.log2(largest)), 1, SHIFT_LIMIT))
    return [int(np.rint(effective_scale * 2.0**shift)) for effective_scale in effective_scales], shift


def scale_sum(acc: Integers, shift: Integers | int) -> Integers:
    """Divide by 2**shift, rounding to the nearest, halves up."""
    half = np.left_shift(np.int64(1), np.asarray(shift, dtype=np.int64) - 1)
    return np.right_shift(acc + half, shift)


def scale_sum_away(acc: Integers, shift: Integers | int) -> Integers:
    """Divide by 2**shift, rounding to the nearest, halves away from zero."""
    return scale_sum(acc - (acc < 0), shift)


def doubling_shift(acc: Integers, multiplier: Integers, shift: Integers) -> Integers:
    """Multiply by multiplier / 2**31, halves up, then divide by 2**shift, halves away from zero; a shift may be 0."""
    product = np.right_shift(acc * multiplier + (1 << 30), 31)
    return np.where(shift > 0, scale_sum_away(product, np.maximum(shift, 1)), product)


def bias_codes(bias: NDArray[np.float32], scales: NDArray[np.float32]) -> NDArray[np.int32]:
    """Quantize a bias to int32 at the accumulator's scale, saturating."""
    codes = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    return np.clip(codes, -(2**31), 2**31 - 1).astype(np.int32)


def broadcast_scales(scales: NDArray[np.float32], channels: int) -> NDArray[np.float64]:
    """Give a feature's scale as each output channel of a layer has it.

    Args:
        scales: float32 [1], or [C]: the output's own, or those of a depthwise convolution's input.
        channels: of the output; a depthwise convolution computes `channels / C` of each channel, side by side.

    Returns:
        float64 [channels].
    """
    return np.repeat(scales.astype(np.float64), channels // len(scales))
