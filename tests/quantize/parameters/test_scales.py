import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.integer.rules import bias_codes
from stages.quantize.parameters.scales import affine, fit_scales, least_bias_scales, representable

values = st.floats(-(2.0**100), 2.0**100, width=32)
bit_widths = st.sampled_from([2, 4, 6, 8, 10, 12, 16])


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
    actual = affine(low, high, bits, symmetric=False)
    assert actual == (np.float32(scale), zero_point)
    assert isinstance(actual[0], np.float32)


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
@given(values, values, bit_widths, st.booleans())
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
@given(values, values, bit_widths, st.booleans())
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


# --- fitting


def fit(values, scales, lowest, highest, counts=None, rounds=50):
    """One row of `fit_scales`."""
    counts = np.ones(len(values)) if counts is None else counts
    starts = len(scales)
    return fit_scales(
        np.array([values], dtype=np.float64),
        np.array([counts], dtype=np.float64),
        np.float32([scales]),
        np.full(starts, lowest, dtype=np.float64),
        np.full(starts, highest, dtype=np.float64),
        rounds,
    )[0]


@pytest.mark.parametrize(
    ("rounds", "scale"),
    [
        (1, 2.5),  # codes 1, 2, 3: (1 + 4 + 30) / 14
        (2, 3.2),  # codes 0, 1, 3: (2 + 30) / 10
        (9, 3.2),  # the same codes again
    ],
)
def test_fit_golden(rounds, scale):
    assert fit([1, 2, 10], [1.0], 0, 3, rounds=rounds) == np.float32(scale)


def test_fit_counts_values():
    assert fit([1, 3], [1.0], 0, 1, counts=[3, 1]) == np.float32(1.5)  # codes 1, 1: (3 * 1 + 1 * 3) / 4


def test_fit_of_negative_values():
    assert fit([-1, -2, -10], [1.0], -3, 0) == np.float32(3.2)
    assert fit([-4, 10], [2.0], -1, 8) == np.float32(54 / 26)  # codes -1, 5


def test_fit_keeps_a_start_whose_codes_are_all_zero():
    np.testing.assert_array_equal(fit([0.1, 0.2], [1.0, 0.1], 0, 3), np.float32([1.0, 0.1]))


def test_rows_and_starts_are_fitted_apart():
    values = np.array([[1.0, 2.0, 10.0], [3.0, 6.0, 30.0], [0.0, 0.0, 0.0]])
    starts = np.float32([[1.0, 3.2], [3.0, 9.6], [1.0, 2.0]])
    actual = fit_scales(values, np.ones_like(values), starts, np.zeros(2), np.float64([3, 15]), 50)
    expected = [
        [fit(row, line[:1], 0, 3)[0], fit(row, line[1:], 0, 15)[0]] for row, line in zip(values, starts, strict=True)
    ]
    np.testing.assert_array_equal(actual, expected)
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(starts, np.float32([[1.0, 3.2], [3.0, 9.6], [1.0, 2.0]]))  # not written to


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=30), st.floats(0.1, 20), st.sampled_from([1, 7]))
def test_each_round_of_a_fit_lowers_the_error(values, start, qmax):
    values = np.array(values)

    def error(scale):
        return ((values - np.clip(np.round(values / scale), -qmax, qmax) * scale) ** 2).sum()

    errors = [error(float(np.float32(start)))]
    errors += [error(float(fit(values, [start], -qmax, qmax, rounds=rounds)[0])) for rounds in (1, 2, 3, 50)]
    assert (np.diff(errors) <= 1e-5 * np.square(values).sum()).all()


# --- biases


def test_least_scales_golden():
    least = least_bias_scales(np.float32([0.0, 2.0, -8.0]), 0.5)
    np.testing.assert_array_equal(least, np.float32([2.0**-32, 2.0**-28, 2.0**-26]))
    assert least.dtype == np.float32


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


def test_least_scales_of_channels_golden():
    assert least_bias_scales(np.float32([1.0, -1.0]), np.array([0.5, 0.25])).tolist() == [2.0**-29, 2.0**-28]
