"""Thresholds of a calibration table: TPU-MLIR's scale of a tensor is the table's decimal number, divided.

A symmetric feature has the scale threshold / 127 where it has negative values and threshold / 255 where it has none.
The table has seven digits behind the point, so the scale that the converter computes with is this module's, in double.
"""

import numpy as np

from stages.core.integer.quant_params import QuantParams

__all__ = ["converter_scale", "settled_scale", "threshold"]

DIGITS = 7
LEAST_THRESHOLD = 1e-7
"""The smallest number that the table can hold."""
SETTLING_ROUNDS = 16


def threshold(scale: float, zero_point: int, bits: int = 8) -> float:
    """The number in the table: what the largest positive code stands for.

    It is the shortest decimal number that gives the scale in float32, so that a range of 0 .. 1 has the threshold 1; it
    has `DIGITS` digits behind the point where no shorter one does.
    """
    most = _largest_code(zero_point, bits)
    exact = float(scale) * most
    for digits in range(DIGITS):
        shorter = round(exact, digits)
        if np.float32(shorter / most) == np.float32(scale):
            return shorter
    return max(round(exact, DIGITS), LEAST_THRESHOLD)


def converter_scale(qparams: QuantParams) -> float:
    """The scale that the converter computes with, in double."""
    return threshold(qparams.scale, qparams.zero_point, qparams.bits) / _largest_code(qparams.zero_point, qparams.bits)


def settled_scale(scale: float, zero_point: int, bits: int = 8) -> float:
    """Move a float32 scale to one that the table keeps: the float32 nearest to its own `converter_scale`."""
    for _ in range(SETTLING_ROUNDS):
        settled = float(np.float32(threshold(scale, zero_point, bits) / _largest_code(zero_point, bits)))
        if settled == scale:
            break
        scale = settled
    return scale


def _largest_code(zero_point: int, bits: int) -> int:
    """The largest code minus the zero point: 127 for a signed feature of 8 bits, 255 for an unsigned one."""
    return (1 << (bits - 1)) - 1 if zero_point else (1 << bits) - 1
