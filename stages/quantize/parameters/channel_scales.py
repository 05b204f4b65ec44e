"""Per-channel activation scales, with one zero point for all channels."""

import numpy as np
from numpy.typing import NDArray

from stages.quantize.parameters.scales import affine, positive
from stages.quantize.parameters.weight_scales import weight_qmax

__all__ = ["channel_scales", "least_channel_scales"]

MAX_SCALE_RATIO = 256
"""No channel's scale is smaller than the largest one's by more. A channel that was hardly alive during calibration, or
dead, keeps room for other pictures, and effective scales keep to what a requantization can express."""
MIN_NNA_DIVISOR = 32
"""Least divisor of the `nna` rule (production networks have 38 to 688), so that the weight's scale need move by no more
than 1/64 until the divisor is whole. By any rule, codes of less than 32/4 units of the accumulator would hold little
more."""


def channel_scales(
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    bits: int,
    symmetric: bool,
    least: NDArray[np.floating] | float = 0.0,
) -> tuple[NDArray[np.float32], int]:
    """Choose the scale of each channel of a feature, and their zero point, so that 0 is a code.

    Padding has one code in all channels, therefore there is one zero point. It is the one of least cost: with s(z) the
    scale that covers a channel from zero point z, the sum of (s(z) / smallest s)**2, a channel's expected squared error
    in units of the least that it could have. The sum is convex in z.

    Args:
        low: [C], lower ends of the channels' ranges.
        high: [C], upper ends.
        bits: bit width of an unsigned code.
        symmetric: the zero point is that of `affine`: 0 if no channel has negatives, in the middle otherwise.
        least: [C] or one, the smallest scales that make sense, see `least_channel_scales`; the largest scale bounds
            them.

    Returns:
        scales (float32 [C], positive) and zero point (0 .. 2**bits - 1): real = (code - zero_point) * scales[channel].
    """
    below = np.maximum(-low.astype(np.float64), 0.0)
    above = np.maximum(high.astype(np.float64), 0.0)
    qmax = 2**bits - 1
    if symmetric:
        _, zero_point = affine(-float(below.max()), float(above.max()), bits, symmetric)
        room = zero_point - 1 if zero_point else qmax  # as a signed code: the lowest stays unused
        scales = np.maximum(below, above) / room
    else:
        zero_point = _zero_point(below, above, qmax)
        scales = _covering_scales(below, above, zero_point, qmax)
    largest = float(scales.max())
    scales = np.maximum(scales, np.minimum(np.maximum(least, largest / MAX_SCALE_RATIO), largest))
    return np.array([positive(float(scale)) for scale in scales], dtype=np.float32), zero_point


def least_channel_scales(
    weight: NDArray[np.float32], axis: int, bits: int, x_scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the smallest scales that make sense for the output of a weighted layer.

    Args:
        weight: float32.
        axis: its output-channel axis.
        bits: bit width of its codes.
        x_scales: scale of the layer's input as each output channel has it.

    Returns:
        float64 [channels]: `MIN_NNA_DIVISOR` / 4 units of the accumulator.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    unit = x_scales * np.abs(weight.astype(np.float64)).max(axis=others) / weight_qmax(bits)
    return np.asarray(unit * MIN_NNA_DIVISOR / 4)


def _covering_scales(
    below: NDArray[np.float64], above: NDArray[np.float64], zero_point: int, qmax: int
) -> NDArray[np.float64]:
    """The least scales that cover -below..above from a zero point: infinite where it leaves no code for a side."""
    sides = [
        np.divide(end, codes, out=np.where(end > 0.0, np.inf, 0.0), where=codes > 0)
        for end, codes in ((below, zero_point), (above, qmax - zero_point))
    ]
    return np.maximum(*sides)


def _zero_point(below: NDArray[np.float64], above: NDArray[np.float64], qmax: int) -> int:
    """The zero point of least cost, of equals the lowest, found by halving: the cost is convex."""
    # a channel that will not have its own best scale does not count
    best = np.maximum(below + above, (below + above).max() / MAX_SCALE_RATIO)
    if not best.any():
        return 0

    def cost(zero_point: int) -> float:
        return float(((_covering_scales(below, above, zero_point, qmax) / best) ** 2).sum())

    first, last = 0, qmax
    while first < last:
        middle = (first + last) // 2
        if cost(middle) <= cost(middle + 1):
            last = middle
        else:
            first = middle + 1
    return first
