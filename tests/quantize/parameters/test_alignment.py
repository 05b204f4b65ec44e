import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.config.schema import Requantization
from stages.quantize.parameters.alignment import aligned_scales, least_scale_of_short_biases, short_bias_limit

scales = st.floats(2.0**-20, 1.0, width=32)
features = st.floats(2.0**-10, 2.0, width=32)
EXACT = {"rel": 1e-6}  # a scale is a float32


LIMIT = np.int64([65535])


def effective_scales(wanted, x_scale, y_scale, rule, limit=LIMIT):
    """Effective scales of the candidates for one channel."""
    actual = aligned_scales(np.float32([wanted]), x_scale, y_scale, rule, limit)
    return [float(candidate[0]) * x_scale / y_scale for candidate in actual]


@pytest.mark.parametrize(
    ("wanted", "below", "above"),
    [
        (1.0, 4 / 4, 4 / 4),
        (0.3, 4 / 13, 4 / 14),  # 4 / 0.3 = 13.33
        (0.011, 4 / 363, 4 / 364),
        (3.0, 4 / 1, 4 / 2),
        (9.0, 4 / 1, 4 / 1),  # the largest that there is
        (1e-5, 4 / 65535, 4 / 65535),  # the smallest
    ],
)
def test_nna_effective_scales_are_four_over_a_whole_number(wanted, below, above):
    assert effective_scales(wanted, 1.0, 1.0, Requantization.nna) == pytest.approx([below, above], **EXACT)


def test_a_channels_own_limit_holds():
    assert effective_scales(0.01, 1.0, 1.0, Requantization.nna, np.int64([300])) == pytest.approx(
        [4 / 300] * 2, **EXACT
    )
    assert effective_scales(0.01, 1.0, 1.0, Requantization.shift, np.int64([300])) == pytest.approx(
        [2**-6, 2**-7], **EXACT
    )


@pytest.mark.parametrize(
    ("wanted", "candidates"),
    [(0.25, [0.25, 0.25]), (0.3, [0.5, 0.25]), (0.01, [2**-6, 2**-7]), (0.9, [0.5, 0.5]), (1e-15, [2**-46, 2**-46])],
)
def test_shift_effective_scales_are_powers_of_two(wanted, candidates):
    assert effective_scales(wanted, 1.0, 1.0, Requantization.shift) == pytest.approx(candidates, **EXACT)


@settings(deadline=None)
@given(scales, features, features)
def test_nna_candidates_enclose_the_wanted_effective_scale(wanted, x_scale, y_scale):
    effective_scale = wanted * x_scale / y_scale
    actual = effective_scales(wanted, x_scale, y_scale, Requantization.nna)
    divisors = [4 / candidate for candidate in actual]
    assert divisors == pytest.approx([round(d) for d in divisors], rel=1e-6)
    assert abs(divisors[1] - divisors[0]) <= 1.01
    if 4 / 65535 < effective_scale < 4:
        assert min(actual) * (1 - 1e-6) <= effective_scale <= max(actual) * (1 + 1e-6)


@settings(deadline=None)
@given(scales, features, features)
def test_shift_candidates_enclose_the_wanted_effective_scale(wanted, x_scale, y_scale):
    effective_scale = wanted * x_scale / y_scale
    actual = effective_scales(wanted, x_scale, y_scale, Requantization.shift)
    exponents = [np.log2(candidate) for candidate in actual]
    assert exponents == pytest.approx([round(e) for e in exponents], abs=1e-5)
    if effective_scale < 0.5:
        assert min(actual) * (1 - 1e-6) <= effective_scale <= max(actual) * (1 + 1e-6)
        assert max(actual) <= 2.0001 * min(actual)


@settings(deadline=None)
@given(scales, features, features)
def test_a_multiplier_and_shift_barely_moves_the_scale(wanted, x_scale, y_scale):
    (actual,) = effective_scales(wanted, x_scale, y_scale, Requantization.multiplier_shift)
    assert actual == pytest.approx(wanted * x_scale / y_scale, rel=2.0**-14)
    mantissa, _ = np.frexp(actual)
    assert mantissa * 2**15 == pytest.approx(round(mantissa * 2**15), rel=1e-6)


@pytest.mark.parametrize("rule", list(Requantization))
@pytest.mark.parametrize("channels", [1, 5])
def test_each_channel_is_aligned_on_its_own(rule, channels):
    wanted = np.linspace(0.001, 0.3, channels, dtype=np.float32)
    limits = np.int64([100, 65535, 50, 65535, 65535])[:channels]
    together = aligned_scales(wanted, 0.02, 0.05, rule, limits)
    alone = [aligned_scales(wanted[i : i + 1], 0.02, 0.05, rule, limits[i : i + 1]) for i in range(channels)]
    for which, candidate in enumerate(together):
        assert candidate.dtype == np.float32
        np.testing.assert_array_equal(candidate, [actual[which][0] for actual in alone])


@pytest.mark.parametrize("rule", [Requantization.nna, Requantization.multiplier_shift])
def test_channels_of_their_own_feature_scales_are_aligned_each_to_its_own(rule):
    wanted, limits = np.float32([0.01, 0.02, 0.3]), np.int64([65535, 300, 65535])
    x_scale, y_scale = np.array([0.02, 0.3, 0.001]), np.array([0.05, 0.07, 0.0004])
    together = aligned_scales(wanted, x_scale, y_scale, rule, limits)
    for i in range(3):
        alone = aligned_scales(wanted[i : i + 1], float(x_scale[i]), float(y_scale[i]), rule, limits[i : i + 1])
        assert [candidate[i] for candidate in together] == [candidate[0] for candidate in alone]


# --- biases of 16 bits


@pytest.mark.parametrize(("large", "within"), [(0, 1.0), (3, 1.0), (4, 50.0)])
def test_few_biases_may_be_beyond_16_bits(large, within):
    bias = np.float32([-50.0] * large + [1.0] * (100 - large))
    assert least_scale_of_short_biases(bias, 0.5) == pytest.approx(within / 0.5 / 32767)


@pytest.mark.parametrize(
    ("largest_code", "large", "share"),
    [(126, 0, 1.0), (64, 0, 1.0), (63, 0, 0.5), (31, 0, 0.25), (63, 3, 0.5), (63, 4, 1.0), (0, 0, 1.0)],
)
def test_small_codes_leave_less_room_for_biases(largest_code, large, share):
    bias = np.float32([-30000.0] * large + [1.0] * (100 - large))
    assert short_bias_limit(bias, 1.0, largest_code) == share * 32767
