import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages.quantize.scales import affine, bias_codes, least_bias_scales, representable, weight_codes

values = st.floats(-(2.0**100), 2.0**100, width=32)
widths = st.sampled_from([2, 4, 6, 8, 10, 12, 16])


# --- features


@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero_point"),
    [
        (0.0, 255.0, 8, 1.0, 0),
        (-255.0, 0.0, 8, 1.0, 255),
        (-100.0, 155.0, 8, 1.0, 100),
        (0.0, 6.0, 8, 6 / 255, 0),
        (2.0, 6.0, 8, 6 / 255, 0),  # zero is taken in
        (-6.0, -2.0, 8, 6 / 255, 255),
        (-1.0, 3.0, 8, 4 / 255, 64),  # 63.75 rounds up
        (-2.0, 3.0, 4, 1 / 3, 6),
        (-1.0, 1022.0, 10, 1.0, 1),
        (-5.0, 4090.0, 12, 1.0, 5),
        (-0.5, 65534.5, 16, 1.0, 0),  # 0.5 rounds to the even code
        (0.0, 0.0, 8, 1.0, 0),
    ],
)
def test_affine_golden(low, high, bits, scale, zero_point):
    found = affine(low, high, bits, symmetric=False)
    assert found == (np.float32(scale), zero_point)
    assert isinstance(found[0], np.float32)


@pytest.mark.parametrize(
    ("low", "high", "bits", "scale", "zero_point"),
    [
        (-2.0, 1.0, 8, 2 / 127, 128),  # signed: threshold / 127
        (-1.0, 2.0, 8, 2 / 127, 128),
        (-3.0, -1.0, 8, 3 / 127, 128),
        (0.0, 4.0, 8, 4 / 255, 0),  # unsigned: threshold / 255
        (1.0, 4.0, 8, 4 / 255, 0),
        (-7.0, 3.0, 4, 1.0, 8),
        (-100.0, 511.0, 10, 1.0, 512),
        (0.0, 0.0, 8, 1.0, 0),
    ],
)
def test_symmetric_golden(low, high, bits, scale, zero_point):
    assert affine(low, high, bits, symmetric=True) == (np.float32(scale), zero_point)


@settings(deadline=None)
@given(values, values, widths, st.booleans())
def test_zero_is_always_a_code(low, high, bits, symmetric):
    low, high = sorted((low, high))
    scale, zero_point = affine(low, high, bits, symmetric)
    assert scale > 0
    assert np.isfinite(scale)
    assert isinstance(zero_point, int)
    assert 0 <= zero_point <= 2**bits - 1
    lowest, highest = representable(float(scale), zero_point, bits)
    assert lowest <= 0.0 <= highest


@settings(deadline=None)
@given(values, values, widths, st.booleans())
def test_codes_reach_both_ends_within_half_a_step(low, high, bits, symmetric):
    low, high = sorted((low, high))
    scale, zero_point = affine(low, high, bits, symmetric)
    lowest, highest = representable(float(scale), zero_point, bits)
    assert lowest <= low + 0.51 * scale
    assert highest >= high - 0.51 * scale


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e-45), (-1e-40, 1e-40), (-3e38, 3e38)])
def test_scales_stay_normal_numbers(low, high):
    scale, _ = affine(low, high, 8, symmetric=False)
    assert np.finfo(np.float32).tiny <= scale < np.inf


def test_representable_golden():
    assert representable(0.5, 10, 8) == (-5.0, 122.5)
    assert representable(1.0, 0, 4) == (0.0, 15.0)


# --- weights

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
def test_weight_codes_golden(bits, axis, codes, scales):
    found, factors = weight_codes(WEIGHT, bits, axis)
    np.testing.assert_array_equal(found, codes)
    np.testing.assert_allclose(factors, np.float32(scales), rtol=1e-6)
    assert found.dtype == np.int32
    assert factors.dtype == np.float32


def test_weight_channels_lie_on_the_axis():
    weight = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 2, 2)
    _, scales = weight_codes(weight, 8, 1)
    np.testing.assert_allclose(scales, np.float32([16, 20, 24]) / 127, rtol=1e-6)


def test_a_channel_of_zeros_has_codes_of_zero():
    codes, scales = weight_codes(np.float32([[0, 0], [1, -1]]), 8, 0)
    np.testing.assert_array_equal(codes, [[0, 0], [127, -127]])
    assert scales[0] == 2.0**-32


weights = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 3), st.integers(1, 4)), elements=st.floats(-(2.0**70), 2.0**70, width=32)
)


@settings(deadline=None)
@given(weights, widths, st.sampled_from([None, 0, 1]))
def test_weights_move_by_half_a_step_at_most(weight, bits, axis):
    codes, scales = weight_codes(weight, bits, axis)
    top = 2 ** (bits - 1) - 1
    assert np.abs(codes).max() <= top
    shape = {None: (1, 1), 0: (-1, 1), 1: (1, -1)}[axis]
    steps = scales.astype(np.float64).reshape(shape)
    assert (np.abs(weight - codes * steps) <= steps * (0.5 + 1e-7 * top)).all()


@settings(deadline=None)
@given(weights, widths)
def test_opposite_weights_have_opposite_codes(weight, bits):
    np.testing.assert_array_equal(weight_codes(-weight, bits, 0)[0], -weight_codes(weight, bits, 0)[0])


# --- biases


def test_bias_codes_golden():
    codes = bias_codes(np.float32([1.0, -2.0, 0.3]), np.float32([0.5, 0.25, 0.125]))
    np.testing.assert_array_equal(codes, [2, -8, 2])
    assert codes.dtype == np.int32


def test_the_largest_bias_that_fits():
    largest = np.float32(2**31 - 128)
    np.testing.assert_array_equal(
        bias_codes(np.array([largest, -largest]), np.float32([1, 1])), [2**31 - 128, 128 - 2**31]
    )


def test_a_bias_that_overflows_saturates():
    codes = bias_codes(np.float32([0.0, 2.0**31, -1e30]), np.float32([1, 1, 1]))
    np.testing.assert_array_equal(codes, [0, 2**31 - 1, -(2**31)])


def test_least_scales_golden():
    least = least_bias_scales(np.float32([0.0, 2.0, -8.0]), 0.5)
    np.testing.assert_array_equal(least, np.float32([2.0**-32, 2.0**-28, 2.0**-26]))
    assert least.dtype == np.float32


@pytest.mark.parametrize(
    ("axis", "scales", "codes"),
    [(0, [0.5, 1.0], [[2, -4], [2, 7]]), (1, [0.5, 1.0], [[2, -2], [4, 7]]), (None, [1.0], [[1, -2], [2, 7]])],
)
def test_least_scales_widen_weak_channels(axis, scales, codes):
    weight = np.float32([[1, -2], [2, 7]])
    least = np.float32([0.5, 0.25])
    found, factors = weight_codes(weight, 4, axis, least)
    np.testing.assert_array_equal(factors, np.float32(scales))
    np.testing.assert_array_equal(found, codes)


biases = st.floats(-(2.0**20), 2.0**20, width=32)


@settings(deadline=None)
@given(st.lists(biases, min_size=1, max_size=4), st.floats(2.0**-20, 4.0))
def test_a_bias_fits_at_its_least_scale(values, feature_scale):
    bias = np.float32(values)
    accumulator = np.float32(feature_scale) * least_bias_scales(bias, feature_scale)
    codes = bias_codes(bias, accumulator)
    assert np.abs(codes.astype(np.int64)).max() <= 1.001 * 2**30
    error = np.abs(codes * accumulator.astype(np.float64) - bias)
    assert (error <= 0.5001 * accumulator + 1e-6 * np.abs(bias)).all()


def test_no_bias_has_no_codes():
    assert bias_codes(np.zeros(0, np.float32), np.zeros(0, np.float32)).size == 0
