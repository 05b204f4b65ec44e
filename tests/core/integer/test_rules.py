from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.integer import rules

SUMS = st.integers(-(2**40), 2**40)
INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
POSITIVE = st.floats(-20, 20).map(lambda power: float(np.float32(2.0**power)))


def one(value):
    return np.array([value], dtype=np.int64)


def nearest_even(value: Fraction) -> int:
    return round(value)


def halves_up(value: Fraction) -> int:
    return (value + Fraction(1, 2)).__floor__()


def test_nna_gives_the_four_bit_codes_of_the_manual():
    codes = rules.nna(np.array([-11, -10, 0, 20, 55]), np.int64(-238), np.int64(40), 4)
    assert codes.tolist() == [0, 1, 2, 4, 7]


@pytest.mark.parametrize(
    ("acc", "bias", "mult", "code"),
    [(-1765, -35344, 378, 15), (-1410, -24663, 240, 1), (165, -33798, 260, 0), (-2590, -18389, 190, 0)],
)
def test_nna_gives_the_codes_of_the_vendors_library(acc, bias, mult, code):
    assert rules.nna(one(acc), one(bias), one(mult), 8).tolist() == [code]


def test_nna_floors_toward_minus_infinity_and_clamps():
    acc = np.array([-1, 0, 1, -(2**30), 2**30])
    assert rules.nna(acc, np.int64(0), np.int64(8), 8).tolist() == [127, 128, 128, 0, 255]


@given(SUMS, INT32, st.integers(1, 2**16 - 1), st.integers(4, 16))
def test_nna_is_floor_division_of_integers(acc, bias, mult, bits):
    expected = min(max((4 * acc + bias) // mult + 2 ** (bits - 1), 0), 2**bits - 1)
    assert rules.nna(one(acc), one(bias), one(mult), bits).tolist() == [expected]


@given(st.integers(-(2**20), 2**20), INT32, st.integers(1, 2**16 - 1), st.integers(0, 3))
def test_nna_steps_exactly_where_the_sum_is_a_multiple_of_mult(step, bias, mult, rest):
    """The rest makes bias + 4 * acc an exact multiple of mult: one sum less is one code less."""
    target = step * mult
    acc = (target - rest) // 4
    bias = target - 4 * acc
    at, before = (rules.nna(one(acc), one(b), one(mult), 62).item() for b in (bias, bias - 1))
    assert at - before == 1
    assert at == step + 2**61


def test_nna_broadcasts_parameters_along_channels():
    acc = np.array([[[8, 9], [8, 9]]])
    codes = rules.nna(acc, np.array([[[0], [4]]]), np.array([[[32], [40]]]), 8)
    assert codes.tolist() == [[[129, 129], [128, 129]]]


@settings(deadline=None)
@given(POSITIVE, POSITIVE, st.floats(-1e4, 1e4, width=32), POSITIVE, st.integers(4, 16), st.data())
def test_nna_parameters_follow_the_manuals_formula(in_scale, weight_scale, bias, out_scale, bits, data):
    zero_point = data.draw(st.integers(0, 2**bits - 1))
    scales, real = np.array([weight_scale], np.float32), np.array([bias], np.float32)
    offset, mult = rules.nna_parameters(in_scale, scales, real, out_scale, zero_point, bits)
    assert (offset.dtype, mult.dtype) == (np.int32, np.int32)
    effective_scale = 4 * Fraction(out_scale) / (Fraction(in_scale) * Fraction(weight_scale))
    wanted = min(max(nearest_even(effective_scale), 1), 2**16 - 1)
    assert abs(mult.item() - wanted) <= (1 if abs(effective_scale % 1 - Fraction(1, 2)) < Fraction(1, 2**30) else 0)
    with localcontext() as context:
        context.prec = 60
        share = Decimal(bias) / Decimal(out_scale)
        exact = mult.item() * (zero_point - 2 ** (bits - 1) + share) + Decimal(mult.item()) / 2
    exact = min(max(exact, Decimal(1 - 2**31)), Decimal(2**31 - 1))
    assert abs(Decimal(offset.item()) - exact) <= Decimal("0.500001")


def test_nna_parameters_of_a_case_worked_out_by_hand():
    """mult = 4*0.5 / (0.25*0.02) = 400; bias = 400 * (10 - 128 + 1.25/0.5) + 200 = -46000."""
    bias, mult = rules.nna_parameters(0.25, np.array([0.02]), np.array([1.25]), 0.5, 10, 8)
    assert (mult.tolist(), bias.tolist()) == ([400], [-46000])


def test_nna_parameters_round_halves_to_even():
    """mult 5 halves to 2.5, and 7 to 3.5."""
    bias, mult = rules.nna_parameters(1.0, np.array([0.8, 4 / 7]), np.zeros(2), 1.0, 128, 8)
    assert (mult.tolist(), bias.tolist()) == ([5, 7], [2, 4])


def test_nna_parameters_stay_within_their_limits():
    scales = np.array([1e-30, 1e30, 1.0, 1.0], np.float32)
    bias, mult = rules.nna_parameters(1.0, scales, np.array([0.0, 0.0, 1e12, -1e12]), 1.0, 0, 8)
    assert mult.tolist() == [rules.MULT_LIMIT, 1, 4, 4] == [65535, 1, 4, 4]
    assert bias.tolist()[2:] == [2**31 - 1, 1 - 2**31]


@given(st.integers(-(10**6), 10**6), st.floats(-4, 3), st.floats(-3, 3), st.integers(0, 255))
def test_nna_with_its_parameters_is_rounding(acc, power, real_bias, zero_point):
    """Of the effective scale that mult stands for; the bias is rounded too, by half of a mult-th."""
    out_scale = 2.0**power
    bias, mult = rules.nna_parameters(0.01, np.array([0.001]), np.array([real_bias]), out_scale, zero_point, 8)
    code = rules.nna(one(acc), bias.astype(np.int64), mult.astype(np.int64), 8).item()
    exact = acc * 4 / int(mult[0]) + real_bias / out_scale + zero_point
    assert abs(code - min(max(exact, 0), 255)) <= 0.5 + 1.01 / (2 * int(mult[0]))


@given(SUMS, st.integers(0, 2**15), st.integers(1, 46), st.integers(4, 16), st.data())
def test_multiplier_shift_rounds_halves_up(acc, multiplier, shift, bits, data):
    acc = max(min(acc, 2**46 // max(multiplier, 1)), -(2**46) // max(multiplier, 1))
    zero_point = data.draw(st.integers(0, 2**bits - 1))
    exact = halves_up(Fraction(acc * multiplier, 2**shift)) + zero_point
    code = rules.multiplier_shift(one(acc), one(multiplier), one(shift), zero_point, bits)
    assert code.tolist() == [min(max(exact, 0), 2**bits - 1)]


@given(st.integers(-(2**61), 2**61), st.integers(1, 46))
def test_scale_sum_divides_like_big_integers(acc, shift):
    expected = (acc + 2 ** (shift - 1)) // 2**shift
    assert rules.scale_sum(one(acc), shift).tolist() == [expected]
    assert rules.scale_sum(one(acc), one(shift)).tolist() == [expected]
    assert expected == halves_up(Fraction(acc, 2**shift))


def test_scale_sum_takes_halves_up_on_both_sides_of_zero():
    acc = np.array([-7, -6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6, 7])
    assert rules.scale_sum(acc, 2).tolist() == [-2, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2, 2]


@given(st.lists(st.floats(-28, 12), min_size=1, max_size=8))
def test_multipliers_have_fifteen_bits_and_are_close_to_their_effective_scales(powers):
    effective_scales = np.array([2.0**power for power in powers])
    multiplier, shift = rules.multiplier_shift_parameters(effective_scales)
    assert (multiplier.dtype, shift.dtype) == (np.int32, np.int32)
    for effective_scale, m, s in zip(effective_scales, multiplier.tolist(), shift.tolist(), strict=True):
        assert 2**14 <= m <= 2**15
        assert 1 <= s <= 46
        assert abs(Fraction(m, 2**s) / Fraction(float(effective_scale)) - 1) <= Fraction(1, 2**15)


def test_multipliers_stay_within_their_limits():
    multiplier, shift = rules.multiplier_shift_parameters(np.array([2.0**-32, 2.0**-33, 2.0**-60, 2.0**13, 2.0**40]))
    assert shift.tolist() == [46, 46, 46, 1, 1]
    assert multiplier.tolist() == [2**14, 2**13, 0, 2**14, 2**31 - 1]


@given(st.floats(-46, -1))
def test_shift_only_effective_scales_are_the_nearest_power_of_two(power):
    multiplier, shift = rules.shift_parameters(np.array([2.0**power]))
    assert multiplier.tolist() == [1]
    assert abs(-shift.item() - power) <= 0.5 + 1e-9
    assert (multiplier.dtype, shift.dtype) == (np.int32, np.int32)


def test_shifts_stay_within_their_limits():
    assert rules.shift_parameters(np.array([4.0, 1.0, 0.5, 2.0**-60]))[1].tolist() == [1, 1, 1, 46]


@given(st.lists(st.floats(-20, 8), min_size=1, max_size=4), st.data())
def test_fixed_point_effective_scales_share_a_shift(powers, data):
    effective_scales = [data.draw(st.sampled_from([1, -1])) * 2.0**power for power in powers]
    multipliers, shift = rules.fixed_point(effective_scales)
    assert 1 <= shift <= 46
    assert max(map(abs, multipliers)) <= 2**14
    for effective_scale, multiplier in zip(effective_scales, multipliers, strict=True):
        assert abs(Fraction(multiplier) - Fraction(effective_scale) * 2**shift) <= Fraction(1, 2)
    largest = max(range(len(effective_scales)), key=lambda i: abs(effective_scales[i]))
    assert abs(Fraction(multipliers[largest], 2**shift) / Fraction(effective_scales[largest]) - 1) <= Fraction(1, 2**14)


@pytest.mark.parametrize(
    ("effective_scales", "expected"),
    [
        ([1.0, 1.0], ([2**13, 2**13], 13)),
        ([1.0, -0.5], ([2**13, -(2**12)], 13)),
        ([0.75, 3.0], ([3072, 12288], 12)),
        ([1.99999], ([2**14], 13)),
        ([2.0**-50], ([0], 46)),
        ([2.0**20], ([2**21], 1)),
    ],
)
def test_fixed_point_effective_scales_worked_out_by_hand(effective_scales, expected):
    assert rules.fixed_point(effective_scales) == expected


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=4), st.floats(-6, 3), st.integers(4, 16), st.data()
)
def test_up_to_its_limit_a_mult_has_a_bias_that_fits(biases, power, bits, data):
    out_scale, bias = float(np.float32(2.0**power)), np.array(biases, np.float32)
    limits = rules.nna_limits(bias, out_scale, bits)
    assert (limits.dtype, limits.shape) == (np.int64, bias.shape)
    for limit, real in zip(limits.tolist(), biases, strict=True):
        assert 1 <= limit <= rules.MULT_LIMIT
        for zero_point in (0, 2**bits - 1, data.draw(st.integers(0, 2**bits - 1))):
            offset = limit * (zero_point - 2 ** (bits - 1) + Fraction(real) / Fraction(out_scale)) + Fraction(limit, 2)
            assert abs(offset) <= 2**31 - 1


def test_limits_of_mult_worked_out_by_hand():
    """2**31 - 1 over 2**bits + |bias| / scale, within 1 .. 2**16 - 1."""
    assert rules.nna_limits(np.array([0.0, -25.0, 1e30]), 1.0, 8).tolist() == [65535, 65535, 1]
    assert rules.nna_limits(np.array([53431.0, 31872.0]), 0.5, 8).tolist() == [20047, 33554]
    assert rules.nna_limits(np.array([0.0]), 1.0, 16).tolist() == [32767]


def test_nna_parameters_of_channels_worked_out_by_hand():
    """mult = 4 * 0.5 / (0.25 * 0.02) = 400 and 4 * 0.125 / (0.5 * 0.01) = 100.

    bias = 400 * (10 - 128 + 1.25 / 0.5) + 200 and 100 * (10 - 128 + 1.25 / 0.125) + 50.
    """
    y_params, real = np.array([0.5, 0.125]), np.array([1.25, 1.25])
    bias, mult = rules.nna_parameters(np.array([0.25, 0.5]), np.array([0.02, 0.01]), real, y_params, 10, 8)
    assert (mult.tolist(), bias.tolist()) == ([400, 100], [-46000, -10750])
    wide = rules.nna_limits(np.array([2.0**20, 2.0**20]), np.array([1.0, 0.5]), 8)
    assert wide.tolist() == [(2**31 - 1) // (256 + 2**20), (2**31 - 1) // (256 + 2**21)]


# --- biases and scales of output channels


def test_bias_codes_golden():
    codes = rules.bias_codes(np.float32([1.0, -2.0, 0.3]), np.float32([0.5, 0.25, 0.125]))
    np.testing.assert_array_equal(codes, [2, -8, 2])
    assert codes.dtype == np.int32


def test_the_largest_bias_that_fits():
    largest = np.float32(2**31 - 128)
    np.testing.assert_array_equal(
        rules.bias_codes(np.array([largest, -largest]), np.float32([1, 1])), [2**31 - 128, 128 - 2**31]
    )


def test_a_bias_that_overflows_saturates():
    codes = rules.bias_codes(np.float32([0.0, 2.0**31, -1e30]), np.float32([1, 1, 1]))
    np.testing.assert_array_equal(codes, [0, 2**31 - 1, -(2**31)])


def test_no_bias_has_no_codes():
    assert rules.bias_codes(np.zeros(0, np.float32), np.zeros(0, np.float32)).size == 0


@pytest.mark.parametrize(
    ("scales", "channels", "expected"),
    [([0.5], 3, [0.5] * 3), ([0.5, 0.25], 2, [0.5, 0.25]), ([0.5, 0.25], 4, [0.5, 0.5, 0.25, 0.25]), ([0.5], 1, [0.5])],
)
def test_scales_of_output_channels(scales, channels, expected):
    """Of a depthwise convolution with two outputs a channel, outputs 0 and 1 come from channel 0."""
    each = rules.broadcast_scales(np.float32(scales), channels)
    assert (each.dtype, each.tolist()) == (np.float64, expected)
