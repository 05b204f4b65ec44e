"""The integer arithmetic once more, independent of the product's: plain loops, Python integers, torch in float64."""

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Accumulate = Callable[[torch.Tensor], torch.Tensor]


def clamp(code: int, low: int, high: int) -> int:
    return low if code < low else min(code, high)


def halves_up(numerator: int, shift: int) -> int:
    """The integer nearest to numerator / 2**shift."""
    exact = Fraction(numerator, 2**shift)
    below = exact.numerator // exact.denominator
    return below + 1 if exact - below >= Fraction(1, 2) else below


def nna(acc: int, bias: int, mult: int, bits: int) -> int:
    quotient = Fraction(4 * acc + bias, mult)
    return clamp(quotient.__floor__() + 2 ** (bits - 1), 0, 2**bits - 1)


def multiplier_shift(acc: int, bias: int, multiplier: int, shift: int, zero_point: int, bits: int) -> int:
    return clamp(halves_up((acc + bias) * multiplier, shift) + zero_point, 0, 2**bits - 1)


def per_channel(rule: Callable[..., int], acc: NDArray, channel_axis: int, *parameters: NDArray) -> NDArray[np.int64]:
    """Apply a rule with its parameters to every accumulator."""
    result = np.zeros(acc.shape, dtype=np.int64)
    for index in np.ndindex(acc.shape):
        channel = index[channel_axis]
        result[index] = rule(int(acc[index]), *(int(p[channel if p.size > 1 else 0]) for p in parameters))
    return result


def convolution(
    weight: NDArray, strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int], group: int
) -> Accumulate:
    run = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[weight.ndim - 2]
    w = torch.from_numpy(weight.astype(np.float64))
    rank = weight.ndim - 2
    sides = [side for i in reversed(range(rank)) for side in (pads[i], pads[rank + i])]  # torch: the last axis first

    def accumulate(x: torch.Tensor) -> torch.Tensor:
        return run(functional.pad(x, sides), w, None, tuple(strides), 0, tuple(dilations), group)

    return accumulate


def transposed_convolution(
    weight: NDArray,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    output_padding: Sequence[int],
    group: int,
) -> Accumulate:
    run = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}[weight.ndim - 2]
    w = torch.from_numpy(weight.astype(np.float64))
    rank = weight.ndim - 2

    def accumulate(x: torch.Tensor) -> torch.Tensor:
        full = run(x, w, None, tuple(strides), 0, tuple(output_padding), group, tuple(dilations))
        kept = (slice(pads[i], full.shape[2 + i] - pads[rank + i]) for i in range(rank))
        return full[(slice(None), slice(None), *kept)]

    return accumulate


def product(weight: NDArray) -> Accumulate:
    return lambda x: x @ torch.from_numpy(weight.astype(np.float64))


def sums(accumulate: Accumulate, minus_zp: NDArray) -> NDArray[np.int64]:
    """The accumulators; float64 holds them."""
    actual = accumulate(torch.from_numpy(minus_zp.astype(np.float64))).numpy()
    assert np.abs(actual).max(initial=0) < 2**53
    return actual.astype(np.int64)


def extreme_codes(
    accumulate: Accumulate, shape: Sequence[int], qmax: int, place: int, sign: int, zero_point: int
) -> NDArray[np.int64]:
    """Codes that make one sum as large (sign 1) or as small (-1) as it can be: `qmax` where the weight helps, else 0.

    Codes that the sum does not take are the zero point.
    """
    x = torch.zeros(tuple(shape), dtype=torch.float64, requires_grad=True)
    accumulate(x).reshape(-1)[place].backward()
    weight = sign * x.grad.numpy()
    return np.where(weight > 0, qmax, np.where(weight < 0, 0, zero_point))


def looped(shape: Sequence[int], value: Callable[..., int]) -> NDArray[np.int64]:
    """An array from a function of its indices."""
    return np.array([value(*index) for index in itertools.product(*map(range, shape))], dtype=np.int64).reshape(shape)
