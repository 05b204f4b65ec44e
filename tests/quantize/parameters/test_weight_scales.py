import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages.core.config.schema import WeightMethod
from stages.quantize.parameters.scales import SMALLEST_WEIGHT_SCALE
from stages.quantize.parameters.weight_scales import squared_errors, weight_codes, weight_scales

MAX_ABS, MSE, ADMM = WeightMethod.MAX_ABS, WeightMethod.MSE, WeightMethod.ADMM

methods = st.sampled_from(WeightMethod)
bit_widths = st.sampled_from([2, 4, 6, 8, 10, 12, 16])
weights = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 3), st.integers(1, 9)), elements=st.floats(-(2.0**70), 2.0**70, width=32)
)


def channel_error(values, scale, bits):
    """Squared error of one channel, in the plainest way."""
    qmax = 2 ** (bits - 1) - 1
    return sum((v - max(-qmax, min(qmax, round(v / scale))) * scale) ** 2 for v in map(float, values))


def scanned_error(values, bits, candidates=4000):
    """Least squared error of a channel over a dense scan of scales."""
    qmax = 2 ** (bits - 1) - 1
    scales = np.linspace(0, np.abs(values).max() / qmax, candidates + 1)[1:, None]
    codes = np.clip(np.round(values / scales), -qmax, qmax)
    return np.square(values - codes * scales).sum(axis=1).min()


def bell(shape, seed=0):
    """Normal weights and, in each channel, one outlier."""
    weight = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    weight.reshape(shape[0], -1)[:, 0] *= 8
    return weight


# --- codes

WEIGHT = np.float32([[7.0, -3.4], [0.7, 0.21]])


@pytest.mark.parametrize(
    ("bits", "axis", "codes", "scales"),
    [
        (4, 0, [[7, -3], [7, 2]], [1.0, 0.1]),
        (4, 1, [[7, -7], [1, 0]], [1.0, 3.4 / 7]),
        (4, None, [[7, -3], [1, 0]], [1.0]),
        (2, 0, [[1, 0], [1, 0]], [7.0, 0.7]),
        (8, None, [[127, -62], [13, 4]], [7 / 127]),  # -61.69, 12.7, 3.81
        (6, 0, [[31, -15], [31, 9]], [7 / 31, 0.7 / 31]),  # -15.06, 9.3
    ],
)
def test_max_abs_golden(bits, axis, codes, scales):
    chosen = weight_scales(WEIGHT, bits, axis, MAX_ABS)
    np.testing.assert_allclose(chosen, np.float32(scales), rtol=1e-6)
    assert chosen.dtype == np.float32
    actual = weight_codes(WEIGHT, chosen, bits, axis)
    np.testing.assert_array_equal(actual, codes)
    assert actual.dtype == np.int32


@pytest.mark.parametrize(
    ("bits", "codes"),
    [
        (2, [0, 1, 1, -1, -1, 1]),
        (4, [0, 2, 2, -2, -4, 7]),  # halves go to the even code, the rest is clipped to +-7
        (6, [0, 2, 2, -2, -4, 31]),
    ],
)
def test_codes_golden(bits, codes):
    weight = np.float32([0.5, 1.5, 2.5, -2.5, -3.5, 100.0])
    np.testing.assert_array_equal(weight_codes(weight, np.float32([1.0]), bits, None), codes)


def test_codes_take_the_scale_of_their_channel():
    weight = np.full((2, 3, 1), 12, dtype=np.float32)
    actual = weight_codes(weight, np.float32([2, 3, 4]), 8, 1)
    np.testing.assert_array_equal(actual, [[[6], [4], [3]]] * 2)


def test_a_value_just_below_the_middle_rounds_down():
    assert weight_codes(np.float32([0.35]), np.float32([0.1]), 8, None) == 3  # in float32 the ratio would be 3.5


@settings(deadline=None)
@given(weights, bit_widths, methods)
def test_opposite_weights_have_opposite_codes(weight, bits, method):
    scales = weight_scales(weight, bits, 0, method)
    np.testing.assert_array_equal(weight_scales(-weight, bits, 0, method), scales)
    np.testing.assert_array_equal(weight_codes(-weight, scales, bits, 0), -weight_codes(weight, scales, bits, 0))


@settings(deadline=None)
@given(weights, bit_widths, st.sampled_from([None, 0, 1]))
def test_max_abs_moves_weights_by_half_a_step_at_most(weight, bits, axis):
    scales = weight_scales(weight, bits, axis, MAX_ABS)
    codes = weight_codes(weight, scales, bits, axis)
    qmax = 2 ** (bits - 1) - 1
    assert np.abs(codes).max() <= qmax
    shape = {None: (1, 1), 0: (-1, 1), 1: (1, -1)}[axis]
    steps = scales.astype(np.float64).reshape(shape)
    assert (np.abs(weight - codes * steps) <= steps * (0.5 + 1e-7 * qmax)).all()


# --- errors


def test_squared_errors_golden():
    weight = np.float32([[1.25, -2.0], [9.0, 0.5]])
    actual = squared_errors(weight, np.float32([1.0, 2.0]), 4, 0)
    np.testing.assert_array_equal(actual, [0.0625, 1.25])  # codes 1, -2 and 4 (4.5 is even at 4), 0
    np.testing.assert_array_equal(squared_errors(weight, np.float32([1.0, 2.0]), 4, 1), [4.0625, 0.25])  # 9 - 7
    np.testing.assert_array_equal(squared_errors(weight, np.float32([1.0]), 4, None), [4.3125])
    assert actual.dtype == np.float64


@settings(deadline=None)
@given(weights, bit_widths, methods, st.floats(0.01, 1.5))
def test_squared_errors_are_those_of_the_codes(weight, bits, method, factor):
    scales = weight_scales(weight, bits, 1, method) * np.float32(factor)
    moved = weight - weight_codes(weight, scales, bits, 1) * scales.astype(np.float64)
    expected = np.square(moved).sum(axis=0)
    np.testing.assert_allclose(squared_errors(weight, scales, bits, 1), expected, rtol=1e-9, atol=0)


# --- every method


@pytest.mark.parametrize("method", WeightMethod)
def test_channels_lie_on_the_axis(method):
    weight = bell((5, 4, 3, 3))
    moved = np.moveaxis(weight, 0, 1)  # not contiguous either
    assert weight_scales(weight, 4, 0, method).shape == (5,)
    np.testing.assert_array_equal(weight_scales(moved, 4, 1, method), weight_scales(weight, 4, 0, method))
    alone = [weight_scales(channel, 4, None, method)[0] for channel in weight]
    np.testing.assert_array_equal(weight_scales(weight, 4, 0, method), alone)


@pytest.mark.parametrize("method", WeightMethod)
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_channel_of_zeros_has_codes_of_zero(method, bits):
    weight = np.float32([[0, 0], [1, -1]])
    scales = weight_scales(weight, bits, 0, method)
    qmax = 2 ** (bits - 1) - 1
    np.testing.assert_array_equal(weight_codes(weight, scales, bits, 0), [[0, 0], [qmax, -qmax]])
    assert scales[0] == SMALLEST_WEIGHT_SCALE


@pytest.mark.parametrize("method", WeightMethod)
def test_no_scale_is_below_the_smallest(method):
    weight = np.float32([[1e-12, -3e-11, 1e-38], [1e-9, 2e-7, 3.3e-8]])
    assert (weight_scales(weight, 4, 0, method) >= SMALLEST_WEIGHT_SCALE).all()


@pytest.mark.parametrize("method", WeightMethod)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_equal_magnitudes_are_met_exactly(method, bits):
    weight = np.float32([[0.75, -0.75, 0.75, 0.0]])
    scales = weight_scales(weight, bits, 0, method)
    assert squared_errors(weight, scales, bits, 0)[0] < 1e-12


@settings(deadline=None)
@given(weights, bit_widths, st.sampled_from([None, 0, 1]))
def test_no_method_is_worse_than_max_abs(weight, bits, axis):
    worst = squared_errors(weight, weight_scales(weight, bits, axis, MAX_ABS), bits, axis)
    for method in (MSE, ADMM):
        scales = weight_scales(weight, bits, axis, method)
        assert (scales >= SMALLEST_WEIGHT_SCALE).all()
        assert (squared_errors(weight, scales, bits, axis) <= worst).all()


# --- MSE and ADMM

SKEWED = np.float32([[1, -1, 1, 1, 2]])
"""At 2 bits all five become +-1: the best scale is the mean magnitude, 1.2, of error 4 * 0.2**2 + 0.8**2 = 0.8."""


def test_mse_golden():
    scale = weight_scales(SKEWED, 2, 0, MSE)
    assert scale[0] == pytest.approx(1.2, abs=2 / 2048)  # candidates lie 2/2048 apart
    assert squared_errors(SKEWED, scale, 2, 0)[0] == pytest.approx(0.8, abs=1e-5)


def test_admm_golden():
    assert weight_scales(SKEWED, 2, 0, ADMM)[0] == np.float32(1.2)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("size", [9, 60, 700])
def test_mse_comes_close_to_a_dense_scan(bits, size):
    weight = bell((6, size), seed=size)
    errors = squared_errors(weight, weight_scales(weight, bits, 0, MSE), bits, 0)
    expected = [scanned_error(channel.astype(np.float64), bits) for channel in weight]
    assert (errors <= 1.03 * np.array(expected)).all()


def test_mse_finds_a_clip_far_below_an_outlier():
    weight = np.random.default_rng(1).normal(size=20_000).astype(np.float32)
    weight[7] = 60
    actual = squared_errors(weight, weight_scales(weight, 4, None, MSE), 4, None)[0]
    assert actual <= 1.001 * scanned_error(weight.astype(np.float64), 4, 400)


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("size", [60, 700])
def test_admm_comes_close_to_a_dense_scan_at_few_bits(bits, size):
    weight = bell((6, size), seed=size)
    errors = squared_errors(weight, weight_scales(weight, bits, 0, ADMM), bits, 0)
    expected = [scanned_error(channel.astype(np.float64), bits) for channel in weight]
    assert (errors <= 1.03 * np.array(expected)).all()


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("size", [9, 60, 700])
def test_admm_has_settled(bits, size):
    weight = bell((6, size), seed=size)
    qmax = 2 ** (bits - 1) - 1
    scales = weight_scales(weight, bits, 0, ADMM)
    for channel, scale in zip(weight.astype(np.float64), scales, strict=True):
        codes = np.clip(np.round(channel / scale), -qmax, qmax)
        again = (channel @ codes) / (codes @ codes)
        assert abs(again - scale) * qmax <= scale / 32


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_errors_match_those_written_out(bits):
    weight = bell((3, 40))
    for method in WeightMethod:
        scales = weight_scales(weight, bits, 0, method)
        expected = [channel_error(channel, float(s), bits) for channel, s in zip(weight, scales, strict=True)]
        np.testing.assert_allclose(squared_errors(weight, scales, bits, 0), expected, rtol=1e-12)
