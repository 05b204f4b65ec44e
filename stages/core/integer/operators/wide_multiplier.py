"""Simulating requantization by multipliers of up to 31 bits, in double."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnx

from stages.core.integer.operators.record import Array
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.writer import Term, Writer

__all__ = ["scaled_quotient"]

SPLIT_BITS = 15
"""Of a 31-bit multiplier: the upper bits, which a 32-bit sum can be multiplied by in double, and 16 lower ones."""


class Requantized(Protocol):
    """An operator with a rule that has a multiplier and a shift."""

    @property
    def rule(self) -> str: ...
    @property
    def output(self) -> QuantParams: ...


def scaled_quotient(
    to: Writer, node: onnx.NodeProto, operator: Requantized, acc: Term, parameters: Sequence[Array]
) -> str:
    """Write a number whose floor is the scaled sum, rounded as the operator's rule has it.

    A double holds every product whose code lies within the output's; what lies beyond is rounded, which is monotone, so
    that the clamp behind it gives the same code.

    Args:
        to: the simulator.
        node: the weighted node.
        operator: its record.
        acc: sums of products with the bias.
        parameters: multiplier and shift, integers that broadcast against the accumulator.

    Raises:
        UserError: if the numbers exceed what a double holds.
    """
    multiplier, shift = (parameter.astype(np.float64) for parameter in parameters)
    acc = to.doubled(acc)
    if operator.rule == "doubling":
        return _doubled(to, operator, acc, multiplier, shift)
    codes = float(2.0 ** shift.max()) * (operator.output.qmax + 2)
    to.check_double(node, int(min(acc.largest * float(multiplier.max()), codes)))
    scaled = to.op("Mul", acc.name, multiplier * 2.0**-shift)
    if operator.rule == "multiplier_shift":
        return to.op("Add", scaled, np.float64(0.5))
    return _halves_away(to, scaled, 2.0**-shift)


def _halves_away(to: Writer, value: str, unit: Array) -> str:
    """Write a number whose floor is a multiple of `unit`, rounded to the nearest, halves away from zero."""
    negative = to.op("Less", value, np.float64(0))
    return to.op("Add", value, to.op("Where", negative, 0.5 - unit / 2, np.float64(0.5)))


def _doubled(to: Writer, operator: Requantized, acc: Term, multiplier: Array, shift: Array) -> str:
    """Write the rule `doubling`: floor(acc * multiplier / 2**31 + 1/2), then a shift with halves away from zero."""
    if shift.max() + operator.output.bits + 33 <= np.finfo(np.float64).nmant:
        product = to.op("Floor", to.op("Add", to.op("Mul", acc.name, multiplier * 2.0**-31), np.float64(0.5)))
    else:
        product = _split_product(to, acc, multiplier)
    return _halves_away(to, to.op("Mul", product, 2.0**-shift), 2.0**-shift)


def _split_product(to: Writer, acc: Term, multiplier: Array) -> str:
    """Write floor(acc * multiplier / 2**31 + 1/2), the multiplier in two parts: no product exceeds 48 bits."""
    above = np.floor(multiplier / 2.0**16)
    below = multiplier - above * 2.0**16
    high = to.op("Mul", acc.name, above * 2.0**-SPLIT_BITS)
    whole = to.op("Floor", high)
    rest = to.op("Add", to.op("Sub", high, whole), to.op("Mul", acc.name, below * 2.0**-31))
    return to.op("Add", whole, to.op("Floor", to.op("Add", rest, np.float64(0.5))))
