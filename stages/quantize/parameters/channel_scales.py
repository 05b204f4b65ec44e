"""A scale a channel, with one zero point for all of them."""

import numpy as np
from numpy.typing import NDArray

from stages.quantize.parameters.scales import affine, positive
from stages.quantize.parameters.weight_scales import largest_code

__all__ = ["channel_scales", "least_steps"]

REACH = 256
"""No channel's scale is smaller than the largest one's by more: what calibration saw hardly alive, or not at all, keeps
room for what it did not see, and gains keep to what a requantization can express."""
LEAST_DIVISOR = 32
"""Of the `nna` rule (production networks have 38 to 688), so that the weight's scale need move by no more than 1/64
until the divisor is whole. By any rule, codes of less than 32/4 units of the accumulator would hold little more."""


def channel_scales(
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    bits: int,
    symmetric: bool,
    least: NDArray[np.floating] | float = 0.0,
) -> tuple[NDArray[np.float32], int]:
    """Choose the scale of each channel of a feature, and their zero point, so that 0 is a code.

    Padding has one code whatever the channel, therefore one zero point. It is that which costs the channels least:
    with s(z) the scale that covers a channel from zero point z, the sum of (s(z) / smallest s)**2, a channel's expected
    squared error in units of the least that it could have. The sum is convex in z.

    Args:
        low: [C], lower ends of the channels' ranges.
        high: [C], upper ends.
        bits: width of an unsigned code.
        symmetric: the zero point is that of `affine`: 0 if no channel has negatives, in the middle otherwise.
        least: [C] or one, the smallest scales that make sense, see `least_steps`; the largest scale bounds them.

    Returns:
        scales (float32 [C], positive) and zero point (0 .. 2**bits - 1): real = (code - zero_point) * scales[channel].
    """
    below = np.maximum(-low.astype(np.float64), 0.0)
    above = np.maximum(high.astype(np.float64), 0.0)
    top = 2**bits - 1
    if symmetric:
        _, zero_point = affine(-float(below.max()), float(above.max()), bits, symmetric)
        room = zero_point - 1 if zero_point else top  # as a signed code: the lowest stays unused
        scales = np.maximum(below, above) / room
    else:
        zero_point = _zero_point(below, above, top)
        scales = _covering(below, above, zero_point, top)
    largest = float(scales.max())
    scales = np.maximum(scales, np.minimum(np.maximum(least, largest / REACH), largest))
    return np.array([positive(float(scale)) for scale in scales], dtype=np.float32), zero_point


def least_steps(weight: NDArray[np.float32], axis: int, bits: int, taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the smallest scales that make sense for what a weighted layer makes.

    Args:
        weight: float32.
        axis: its output-channel axis.
        bits: width of its codes.
        taken: scale of the layer's input as each output channel has it.

    Returns:
        float64 [channels]: `LEAST_DIVISOR` / 4 units of the accumulator.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    unit = taken * np.abs(weight.astype(np.float64)).max(axis=others) / largest_code(bits)
    return np.asarray(unit * LEAST_DIVISOR / 4)


def _covering(below: NDArray[np.float64], above: NDArray[np.float64], zero_point: int, top: int) -> NDArray[np.float64]:
    """The least scales that cover -below..above from a zero point: infinite where it leaves no code for a side."""
    sides = [
        np.divide(reach, codes, out=np.where(reach > 0.0, np.inf, 0.0), where=codes > 0)
        for reach, codes in ((below, zero_point), (above, top - zero_point))
    ]
    return np.maximum(*sides)


def _zero_point(below: NDArray[np.float64], above: NDArray[np.float64], top: int) -> int:
    """The zero point of least cost, of equals the lowest, found by halving: the cost is convex."""
    best = np.maximum(below + above, (below + above).max() / REACH)  # what is not to have its own best does not count
    if not best.any():
        return 0

    def cost(zero_point: int) -> float:
        return float(((_covering(below, above, zero_point, top) / best) ** 2).sum())

    first, last = 0, top
    while first < last:
        middle = (first + last) // 2
        if cost(middle) <= cost(middle + 1):
            last = middle
        else:
            first = middle + 1
    return first
