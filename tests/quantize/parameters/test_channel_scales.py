import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.quantize.parameters.channel_scales import channel_scales, least_channel_scales

ends = st.lists(st.tuples(st.floats(-8, 0), st.floats(0, 8)), min_size=1, max_size=6)


def chosen(low, high, bits=8, symmetric=False, least=0.0):
    scales, zero_point = channel_scales(np.float32(low), np.float32(high), bits, symmetric, least)
    assert scales.dtype == np.float32
    return scales.tolist(), zero_point


@pytest.mark.parametrize(
    ("low", "high", "bits", "symmetric", "scales", "zero_point"),
    [
        ([0, 0], [2.55, 0.51], 8, False, [0.01, 0.002], 0),
        ([0.5, 0], [2.55, 0.51], 8, False, [0.01, 0.002], 0),  # 0 is a code all the same
        ([-2.55, -0.51], [0, -0.1], 8, False, [0.01, 0.002], 255),
        ([-1, -0.1], [1.55, 0.155], 8, False, [0.01, 0.001], 100),
        # mirrored channels meet in the middle, 7 or 8 of 15: each needs 8 steps of the wider side in 7 codes
        ([-0.5, -1], [1, 0.5], 4, False, [1 / 8, 1 / 7], 7),
        ([-1.27, -0.1], [0.3, 0.254], 8, True, [0.01, 0.002], 128),
        ([-1.27, 0], [0.3, 0.254], 8, True, [0.01, 0.002], 128),  # the zero point is the tensor's
        ([0, 0], [2.55, 0.51], 8, True, [0.01, 0.002], 0),
        ([0, 0], [2.55, 0], 8, False, [0.01, 0.01 / 256], 0),  # what was all zero keeps a 256th
        ([0, 0], [0, 0], 8, False, [1, 1], 0),
        ([-1, 0], [1.55, 0], 8, False, [0.01, 0.01 / 256], 100),  # and has no say in the zero point
    ],
)
def test_golden(low, high, bits, symmetric, scales, zero_point):
    assert chosen(low, high, bits, symmetric) == (pytest.approx(scales, rel=1e-6), zero_point)


def test_a_scale_is_not_below_the_least_that_makes_sense_nor_that_above_the_largest():
    assert chosen([0] * 3, [2.55, 0.255, 0.0255], least=np.array([0.1, 0.0005, 0.002]))[0] == pytest.approx(
        [0.01, 0.001, 0.002], rel=1e-6
    )
    assert chosen([0] * 2, [2.55, 0.255], least=np.array([0.0, 0.1]))[0] == pytest.approx([0.01, 0.01], rel=1e-6)


@settings(deadline=None)
@given(ends, st.sampled_from([4, 8, 10]))
def test_every_channel_is_covered_from_the_zero_point_of_least_cost(channels, bits):
    low, high = (np.float32(side) for side in zip(*channels, strict=True))
    scales, zero_point = chosen(low, high, bits)
    qmax = 2**bits - 1
    assert 0 <= zero_point <= qmax
    for a, b, scale in zip(low, high, scales, strict=True):
        assert -zero_point * scale <= a * (1 - 1e-6)
        assert (qmax - zero_point) * scale >= b * (1 - 1e-6)

    bit_widths = [float(b) - float(a) for a, b in zip(low, high, strict=True)]

    def cost(z):
        total = 0.0
        for a, b, width in zip(low, high, bit_widths, strict=True):
            if (a < 0 and z == 0) or (b > 0 and z == qmax):
                return np.inf
            covering = max(-float(a) / z if z else 0.0, float(b) / (qmax - z) if z < qmax else 0.0)
            total += (covering * qmax / max(width, max(bit_widths) / 256)) ** 2
        return total

    if max(bit_widths) > 0:
        assert cost(zero_point) <= min(map(cost, range(qmax + 1))) * (1 + 1e-9)


@settings(deadline=None)
@given(ends, st.booleans())
def test_no_scale_is_smaller_than_a_256th_of_the_largest(channels, symmetric):
    scales, _ = chosen(*zip(*channels, strict=True), symmetric=symmetric)
    assert min(scales) >= max(scales) / 256 * (1 - 1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_least_steps_golden(axis):
    """8 units of the accumulator: 8 * 0.5 * 1.27 / 127, and 8 * 0.25 * 0.254 / 127."""
    weight = np.float32([[[-1.27, 0.5]], [[0.254, -0.1]]])
    weight = weight if axis == 0 else weight.swapaxes(0, 1)
    actual = least_channel_scales(weight, axis, 8, np.array([0.5, 0.25]))
    assert actual == pytest.approx([0.04, 0.004], rel=1e-6)
