"""Fixed-point multipliers whose results are those of real arithmetic rounded to the nearest, halves to even.

For 8-bit codes that is a finite question: each multiplier here was tried on every value that it may meet. Integers
round a half up, so there is none where a real result lies halfway between two codes: where scales are in simple ratios.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.integer.quant_params import QuantParams
from stages.core.integer.rules import SHIFT_LIMIT

__all__ = ["EXACT_BITS", "TIED_BITS", "exact_multiplier", "exact_rescaling", "exact_sum"]

EXACT_BITS = 8
"""Features of more bits have too many sums to try."""
SHIFTS = range(8, 31)
"""Those that the open T41 compiler tries for a sum (t41-pluto at 8f374b6, compile/ops/add.py)."""
FIRST_TRIED = 16
"""Of so many codes of the left operand one is tried first: most shifts fail on a few codes already."""
TIED_BITS = 26
"""Of the multipliers where real results tie, so that none are exact: all but ties are right."""
LEAST_BITS, MOST_BITS = 24, 31
"""Of a multiplier of sums of many values: the first that is tried, and what a board's 32 bits hold."""

NEAR_HALF = 1e-3
"""Of a step: with `LEAST_BITS` bits no other value of the codes' range can be rounded wrongly."""

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


def exact_sum(left: QuantParams, right: QuantParams, out: QuantParams) -> tuple[list[int], int] | None:
    """Multipliers of a sum of two features of 8 bits, the smallest shift at which they give every sum exactly.

    Returns:
        One multiplier an operand, and the shift; None if no shift does.
    """
    codes = np.arange(left.qmax + 1, dtype=np.int64)
    left_codes, right_codes = codes - left.zero_point, codes - right.zero_point
    real_left, real_right = (
        operand.scale * values / out.scale for operand, values in ((left, left_codes), (right, right_codes))
    )
    expected = _clamped(np.rint(real_left[:, None] + real_right), out)

    def gives_every_sum(factors: Sequence[int], shift: int, rows: slice) -> bool:
        total = factors[0] * left_codes[rows, None] + factors[1] * right_codes
        return np.array_equal(_clamped((total + 2 ** (shift - 1)) >> shift, out), expected[rows])

    for shift in SHIFTS:
        factors = [round(operand.scale / out.scale * 2**shift) for operand in (left, right)]
        if max(factors) >= 2**MOST_BITS:
            return None
        if all(gives_every_sum(factors, shift, rows) for rows in (slice(0, None, FIRST_TRIED), slice(None))):
            return factors, shift
    return None


def exact_rescaling(operands: Iterable[QuantParams], out: QuantParams) -> tuple[list[int], int] | None:
    """Multipliers that bring features of 8 bits to another's scale, the smallest shift at which all are exact.

    Returns:
        One multiplier an operand, and the shift; None if no shift does.
    """
    pending = []
    for operand in operands:
        values = np.arange(operand.qmax + 1, dtype=np.int64) - operand.zero_point
        pending.append((values, np.asarray(operand.scale * values / out.scale, np.float64)))
    for shift in SHIFTS:
        found = [_multiplier(values, real, shift, out) for values, real in pending]
        if all(multiplier is not None for multiplier in found):
            return [multiplier for multiplier in found if multiplier is not None], shift
    return None


def exact_multiplier(values: Integers, real: Reals, out: QuantParams, bits: int) -> tuple[int, int] | None:
    """A multiplier and its shift that give the code of each value of a sum.

    Args:
        values: [n], ascending, from below 0 or 0 to above 0.
        real: [n], what each stands for, in steps of the output.
        out: the output, of 8 bits.
        bits: of the largest multiplier, at least `LEAST_BITS`.

    Returns:
        None if no multiplier of so many bits does.
    """
    first = LEAST_BITS - 1 - int(np.floor(np.log2(real[-1] / values[-1])))
    near = np.abs(real % 1 - 0.5) < NEAR_HALF
    near[-1] = True  # it tells the effective scale
    values, real = values[near], real[near]
    for shift in range(first, first + min(bits, MOST_BITS) - LEAST_BITS + 1):
        multiplier = _multiplier(values, real, shift, out) if 0 < shift <= SHIFT_LIMIT else None
        if multiplier is not None:
            return multiplier, shift
    return None


def _multiplier(values: Integers, real: Reals, shift: int, out: QuantParams) -> int | None:
    """The multiplier nearest to the effective scale, or one beside it, that is exact at this shift."""
    largest = int(np.argmax(np.abs(values)))
    if not values[largest]:
        return 0
    nearest = round(float(real[largest]) / int(values[largest]) * 2**shift)
    expected = _clamped(np.rint(real), out)
    for multiplier in (nearest, nearest - 1, nearest + 1):
        if not 0 <= multiplier < 2**MOST_BITS:
            continue
        if np.array_equal(_clamped((multiplier * values + 2 ** (shift - 1)) >> shift, out), expected):
            return int(multiplier)
    return None


def _clamped(steps: NDArray[Any], out: QuantParams) -> Integers:
    """Codes of whole steps from the output's zero point."""
    codes: Integers = np.clip(steps + out.zero_point, 0, out.qmax).astype(np.int64)
    return codes
