import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.core.config.schema import FeatureMethod
from stages.core.statistics.histogram import TensorCollector
from stages.core.statistics.tensor_statistics import HISTOGRAM_BINS, TensorStatistics
from stages.quantize.parameters.ranges import (
    admm_range,
    expected_errors,
    feature_range,
    kl_divergence,
    kl_range,
    mse_range,
    percentile_range,
)
from stages.quantize.parameters.scales import affine, representable
from tests.examples import examples

NOTHING = np.zeros(1, dtype=np.float32)


def statistics(counts, first=0, exponent=0, low=None, high=None):
    """Statistics with `counts` from the first bin on; the range reaches into the outer occupied bins."""
    histogram = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
    histogram[: len(counts)] = counts
    occupied = np.flatnonzero(histogram)
    width = 2.0**exponent
    low = (first + occupied[0] + 0.25) * width if low is None else low
    high = (first + occupied[-1] + 0.75) * width if high is None else high
    return TensorStatistics(low, high, histogram, exponent, first, NOTHING, NOTHING, NOTHING.astype(np.float64))


def brute_force(entry, bits):
    """The clip of least divergence: candidates one 512th of the reach apart, every sum written out."""
    levels, width = 2**bits, 2.0**entry.exponent
    counts = {entry.first + i: int(n) for i, n in enumerate(entry.histogram) if n}
    if max(counts) - min(counts) + 1 <= levels:
        return entry.low, entry.high
    lowest, highest = min(counts), max(counts)
    counts.pop(0, None)  # the bin of zero costs nothing
    total = sum(counts.values())
    reach = max(-entry.low, entry.high)
    best, chosen = math.inf, (entry.low, entry.high)
    for step in range(512, 0, -1):
        threshold = step * (reach / 512)
        low, high = max(entry.low, -threshold), min(entry.high, threshold)
        bins = [b for b in range(lowest, highest + 1) if (b + 1) * width > low and b * width < high]
        if len(bins) <= levels:
            break
        divergence = divergence_of(counts, bins, levels, total)
        if divergence < best:
            best, chosen = divergence, (low, high)
    return chosen


def divergence_of(counts, bins, levels, total):
    inside = sum(counts.get(b, 0) for b in bins)
    if not inside:
        return math.inf
    p = {b: counts.get(b, 0) for b in bins}
    p[bins[0]] += sum(n for b, n in counts.items() if b < bins[0])
    p[bins[-1]] += sum(n for b, n in counts.items() if b > bins[-1])
    sums = []
    for level in range(levels):
        members = bins[level * len(bins) // levels : (level + 1) * len(bins) // levels]
        occupied = [b for b in members if counts.get(b, 0)]
        for b in members:
            if p[b] and b not in occupied:
                return math.inf
            if p[b]:
                q = sum(counts[o] for o in occupied) / len(occupied) / inside
                sums.append(p[b] / total * math.log(p[b] / total / q))
    return sum(sums)


def random_statistics(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(20, 300))
    counts = rng.integers(1, 1000, size) * (rng.random(size) < 0.8)
    counts = counts * np.exp(-np.abs(np.arange(size) - size * rng.random()) / rng.uniform(3, 60))
    counts[-1] += 1
    return statistics(counts.astype(int), first=-int(rng.integers(0, size)), exponent=int(rng.integers(-9, 4)))


@pytest.mark.parametrize("bits", [2, 4, 6])
@pytest.mark.parametrize("seed", range(6))
def test_kl_range_equals_brute_force(seed, bits):
    entry = random_statistics(seed)
    assert kl_range(entry, bits) == pytest.approx(brute_force(entry, bits), rel=1e-12)


def test_random_cases_do_clip():
    clipped = [kl_range(each, 4) != (each.low, each.high) for each in map(random_statistics, range(6))]
    assert sum(clipped) >= 3


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("seed", range(20, 40))
def test_kl_is_never_wider_than_what_was_seen(seed, bits):
    entry = random_statistics(seed)
    low, high = kl_range(entry, bits)
    assert entry.low <= low < high <= entry.high


LONG_TAIL = [int(10**6 * math.exp(-i / 12)) for i in range(100)] + [1] * 500


@pytest.mark.parametrize("low", [None, 0.0])
def test_a_long_thin_tail_is_clipped(low):
    actual = kl_range(statistics(LONG_TAIL, low=low), 4)
    assert actual[1] < 200


def test_nothing_is_clipped_below_for_a_range_without_negatives():
    entry = statistics([500] * 40 + [1] * 100, low=0.0)
    assert kl_range(entry, 4)[0] == 0.0


def test_the_clip_has_the_same_distance_on_both_sides():
    counts = [1] * 100 + [1000] * 20 + [1] * 100
    low, high = kl_range(statistics(counts, first=-110), 3)
    assert low == pytest.approx(-high)
    assert high < 100


@pytest.mark.parametrize("occupied", [1, 15, 16])
def test_a_histogram_no_finer_than_the_codes_stays_whole(occupied):
    entry = statistics([10] + [0] * (occupied - 2) + [1] * (occupied > 1))
    assert kl_range(entry, 4) == (entry.low, entry.high)


def test_equal_candidates_give_the_widest():
    entry = statistics([7] * 64, low=0.0, high=64.0)  # flat: two levels lose nothing at any clip that keeps all
    assert kl_range(entry, 6) == (0.0, 64.0)


def test_the_mass_at_zero_does_not_matter():
    counts = np.array([3, 4, 5, 90, 200, 90, 40, 30, 20, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 1])
    many = counts.copy()
    many[3] = 10**9
    assert kl_range(statistics(counts, first=-3), 2) == kl_range(statistics(many, first=-3), 2)


def test_only_values_at_zero_and_one_outlier_keep_the_outlier():
    entry = statistics([10**6] + [0] * 500 + [1], low=0.0)
    assert kl_range(entry, 8) == (entry.low, entry.high)


def test_divergence_golden():
    histogram = np.array([1.0, 3.0, 2.0, 2.0])
    # levels {1, 3} and {2, 2}: q = 2/8 each
    expected = 1 / 8 * math.log((1 / 8) / (2 / 8)) + 3 / 8 * math.log((3 / 8) / (2 / 8))
    assert kl_divergence(histogram, 0, 4, 2) == pytest.approx(expected, rel=1e-12)


def test_divergence_of_clipped_mass_golden():
    histogram = np.array([2.0, 1.0, 1.0, 4.0])
    # bins 1 and 2 stay: p = 3/8 and 5/8, q = 1/2 each
    expected = 3 / 8 * math.log((3 / 8) / 0.5) + 5 / 8 * math.log((5 / 8) / 0.5)
    assert kl_divergence(histogram, 1, 3, 1) == pytest.approx(expected, rel=1e-12)


def test_divergence_is_infinite_where_an_empty_end_takes_mass_in():
    assert kl_divergence(np.array([1.0, 2.0, 0.0, 4.0]), 0, 3, 1) == math.inf
    assert kl_divergence(np.array([1.0, 0.0, 0.0, 4.0]), 1, 3, 1) == math.inf


# --- what the other methods are held against


def collected(*values):
    """Statistics as calibration gathers them."""
    collector = TensorCollector()
    collector.add(np.float32(values))
    return collector.finish()


def spread(entry, parts=32):
    """The histogram as values and their counts: each bin in `parts`, the bin of zero left out."""
    bins = [b for b in range(HISTOGRAM_BINS) if entry.histogram[b] and entry.first + b != 0]
    values = [(entry.first + b + (part + 0.5) / parts) * entry.width for b in bins for part in range(parts)]
    return np.array(values), np.repeat(entry.histogram[bins] / parts, parts)


def plain_errors(entry, ranges, bits, symmetric):
    """Squared errors of quantizing the histogram's values with the codes of each range."""
    values, counts = spread(entry)
    errors = []
    for chosen in ranges:
        scale, zero_point = affine(*chosen, bits, symmetric)
        codes = np.clip(np.round(values / float(scale)) + zero_point, 0, 2**bits - 1)
        errors.append(float(counts @ (values - (codes - zero_point) * float(scale)) ** 2))
    return errors


def plain_clips(entry, count):
    """The clips +-T, T falling from the reach in `count` steps."""
    reach = max(-entry.low, entry.high)
    thresholds = [reach * step / count for step in range(count, 0, -1)]
    return [(max(entry.low, -t), min(entry.high, t)) for t in thresholds if entry.low <= t and entry.high >= -t]


def slack(bits):
    """By how much `plain_errors` may be wrong: a bin's 32 values tell little of steps that are much finer."""
    return 1.001 if bits == 4 else 1.2


def seen(entry):
    return entry.low, entry.high


symmetries = st.booleans()
bit_widths = st.sampled_from([4, 6, 8, 10, 12, 14, 16])


@st.composite
def histograms(draw):
    counts = draw(st.lists(st.integers(0, 500), min_size=1, max_size=60).filter(any))
    counts += [0] * draw(st.integers(0, 40)) + [draw(st.integers(0, 2))]
    return statistics(counts, first=draw(st.integers(-70, 10)), exponent=draw(st.integers(-40, 20)))


# --- all methods


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("method", FeatureMethod)
class TestEdges:
    def test_a_constant(self, method, bits, symmetric):
        for value in (5.0, -0.3, 1e-30, -3e38):
            entry = collected(value, value)
            assert feature_range(entry, method, bits, 99.99, symmetric) == seen(entry)

    def test_all_zero(self, method, bits, symmetric):
        assert feature_range(collected(0.0, 0.0, -0.0), method, bits, 99.99, symmetric) == (0.0, 0.0)

    def test_no_positive_values(self, method, bits, symmetric):
        entry = collected(*-np.abs(np.random.default_rng(0).normal(size=500)), 0.0)
        low, high = feature_range(entry, method, bits, 99.99, symmetric)
        _, zero_point = affine(low, high, bits, symmetric)
        assert low < 0
        assert zero_point == (2 ** (bits - 1) if symmetric else 2**bits - 1)

    def test_no_values_near_zero(self, method, bits, symmetric):
        for sign in (-1, 1):
            entry = collected(*(sign * np.linspace(3, 4, 300)))
            low, high = feature_range(entry, method, bits, 99.99, symmetric)
            assert low <= high
            if method is not FeatureMethod.KL:  # which does not weigh how far a clipped value moves
                assert max(abs(low), abs(high)) == pytest.approx(4, rel=0.2)

    def test_one_outlier_among_few(self, method, bits, symmetric):
        entry = collected(*np.linspace(0, 1, 50), 1000.0)
        actual = feature_range(entry, method, bits, 99.99, symmetric)
        assert actual[1] == pytest.approx(1000, rel=1e-6)

    def test_the_extremes_of_float(self, method, bits, symmetric):
        for each in (collected(-3e38, 1.0, 3e38), collected(-1e-40, 0.0, 1e-40), collected(1e-45)):
            low, high = feature_range(each, method, bits, 99.99, symmetric)
            assert np.isfinite([low, high]).all()
            assert low <= high


@examples(40)
@given(histograms(), bit_widths, symmetries, st.sampled_from(FeatureMethod))
def test_the_same_statistics_give_the_same_range(entry, bits, symmetric, method):
    actual = feature_range(entry, method, bits, 99.0, symmetric)
    assert actual[0] <= actual[1]
    assert all(isinstance(end, float) for end in actual)
    assert feature_range(entry, method, bits, 99.0, symmetric) == actual


@pytest.mark.parametrize("choose", [mse_range, admm_range])
@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16])
def test_the_mass_at_zero_does_not_drive_the_choice(choose, bits):
    counts = np.array(LONG_TAIL)
    many = counts.copy()
    many[0] = 10**12
    actual = choose(statistics(counts, low=0.0), bits, False)
    assert choose(statistics(many, low=0.0), bits, False) == actual
    assert bits > 8 or actual[1] < 590


# --- PERCENTILE


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [
        (50, (0.0, 1.0)),
        (50.1, (0.0, 2.0)),
        (80, (0.0, 2.0)),
        (95, (0.0, 4.0)),
        (99, (0.0, 5.0)),
        (99.5, (0.0, 6.75)),  # the edge of the last bin lies beyond what was seen
        (100, (0.0, 6.75)),
    ],
)
def test_percentile_golden(percentile, expected):
    entry = statistics([50, 30, 0, 15, 4, 0, 1], low=0.0)
    assert percentile_range(entry, percentile) == expected


@pytest.mark.parametrize(
    ("percentile", "expected"),
    [(10, (-0.5, 0.5)), (95, (-0.5, 0.5)), (95.5, (-1.0, 0.875)), (98, (-1.0, 0.875)), (98.5, (-1.375, 0.875))],
)
def test_percentile_counts_both_sides(percentile, expected):
    entry = statistics([2, 1, 49, 46, 2], first=-3, exponent=-1)  # bins of a half from -1.5 to 1
    assert percentile_range(entry, percentile) == expected


@pytest.mark.parametrize(("percentile", "total"), [(99.99, 10_000), (99.9, 1_000), (99.9, 9_000), (55.1, 1_000)])
def test_the_share_is_a_decimal(percentile, total):
    kept = round(percentile * total / 100)
    assert percentile_range(statistics([kept, total - kept], low=0.0), percentile) == (0.0, 1.0)
    assert percentile_range(statistics([kept - 1, total - kept + 1], low=0.0), percentile) == (0.0, 1.75)


@settings(deadline=None)
@given(histograms(), st.floats(0.01, 100))
def test_percentile_keeps_the_share_and_not_a_bin_more(entry, percentile):
    bounds = {max(abs(entry.first + b), abs(entry.first + b + 1)) for b in range(HISTOGRAM_BINS) if entry.histogram[b]}

    def share(threshold):
        inside = [
            b for b in range(HISTOGRAM_BINS) if -threshold <= entry.first + b and entry.first + b + 1 <= threshold
        ]
        return 100 * entry.histogram[inside].sum() / entry.histogram.sum()

    shares = {threshold: share(threshold) for threshold in sorted(bounds)}
    assume(all(abs(actual - percentile) > 1e-9 for actual in shares.values()))
    threshold = min(t for t, actual in shares.items() if actual > percentile or t == max(bounds)) * entry.width
    assert percentile_range(entry, percentile) == (max(entry.low, -threshold), min(entry.high, threshold))


# --- MSE


@pytest.mark.parametrize(
    ("scale", "lowest", "highest", "expected"),
    [
        (1.0, 0, 3, 1 / 12),
        (1.0, -2, 1, 1 / 3),  # saturates at 1
        (1.0, 0, 0, 7 / 3),
        (4.0, 0, 3, 7 / 3),  # all become zero
        (0.5, 0, 9, 1 / 48),
        (0.125, 0, 99, 1 / 768),
        (0.125, 0, 8, 1 / 3),
        (0.75, 0, 3, 0.75**3 / 12 + 2 * (0.375**3 - 0.25**3) / 3),  # all of 1.5's cell, parts of two others
    ],
)
def test_expected_errors_golden(scale, lowest, highest, expected):
    """One value between 1 and 2."""
    actual = expected_errors(
        np.float64([1, 2]), np.float64([-1, 1]), np.float64([scale]), np.float64([lowest]), np.float64([highest])
    )
    assert actual == pytest.approx([expected], rel=1e-12)


def test_mse_keeps_an_outlier_that_costs_more_than_a_fine_step():
    bulk = [0] + [10] * 100
    assert mse_range(statistics([*bulk, *[0] * 200, 100], low=0.0), 8, False)[1] == pytest.approx(301.75, abs=1)


def test_mse_gives_up_an_outlier_among_many():
    bulk = [0] + [100_000] * 100
    assert mse_range(statistics([*bulk, *[0] * 200, 1], low=0.0), 4, False)[1] == pytest.approx(101, abs=6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 6])
@pytest.mark.parametrize("seed", range(6))
def test_mse_range_equals_brute_force(seed, bits, symmetric):
    entry = random_statistics(seed)
    clips = plain_clips(entry, 512)
    actual = mse_range(entry, bits, symmetric)
    assert any(actual == pytest.approx(clip, rel=1e-12) for clip in clips)
    error, *errors = plain_errors(entry, [actual, *clips], bits, symmetric)
    assert error <= 1.0005 * min(errors)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_mse_at_steps_of_a_few_bins(bits, symmetric):
    entry = collected(*np.random.default_rng(bits).laplace(0.1, 1, size=20_000), 15.0)
    error, *errors = plain_errors(entry, [mse_range(entry, bits, symmetric), *plain_clips(entry, 64)], bits, symmetric)
    assert error <= 1.0005 * min(errors)


def test_mse_clips_random_cases_and_zero_points_matter():
    actual = [[mse_range(random_statistics(seed), 4, symmetric) for seed in range(6)] for symmetric in (False, True)]
    assert sum(chosen != seen(random_statistics(seed)) for seed, chosen in enumerate(actual[0])) >= 3
    assert actual[0] != actual[1]


@settings(deadline=None)
@given(histograms(), bit_widths, symmetries)
def test_mse_is_no_worse_than_max_abs_and_kl(entry, bits, symmetric):
    ranges = [mse_range(entry, bits, symmetric), seen(entry), kl_range(entry, bits)]
    error, *others = plain_errors(entry, ranges, bits, symmetric)
    assert error <= min(others) * slack(bits) + 1e-9 * entry.width**2 * entry.histogram.sum()


def test_steps_much_finer_than_bins_cost_a_twelfth():
    entry = statistics([1000] * 4000, low=0.0, high=4000.0)
    scale, _ = affine(0.0, 4000.0, 16, False)
    actual = expected_errors(
        np.float64([1, 4000]), np.float64([-1000, 1000]), np.float64([scale]), np.zeros(1), np.float64([65535])
    )
    assert actual == pytest.approx([3999 * 1000 * float(scale) ** 2 / 12], rel=1e-5)
    assert mse_range(entry, 16, False) == (0.0, 4000.0)


# --- ADMM


def test_admm_golden():
    """Centres 1.5, 2.5 and 3.5 get the codes 1, 2 and 3, whose best scale is (1.5 + 5 + 10.5) / 14."""
    entry = statistics([0, 100, 100, 100], low=0.0, high=4.0)
    assert admm_range(entry, 2, False) == pytest.approx((0.0, 3 * 17 / 14), rel=1e-6)


def test_admm_of_values_beyond_the_last_code_golden():
    """1.5 and 2.5 become code 1, 9.5 saturates at 3: (100 * 1.5 + 100 * 2.5 + 20 * 28.5) / (100 + 100 + 20 * 9)."""
    entry = statistics([0, 100, 100, 0, 0, 0, 0, 0, 0, 20], low=0.0, high=10.0)
    assert admm_range(entry, 2, False) == pytest.approx((0.0, 3 * 970 / 380), rel=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("seed", range(6))
def test_admm_has_settled(seed, bits, symmetric):
    entry = random_statistics(seed)
    actual = admm_range(entry, bits, symmetric)
    if actual == seen(entry):
        return
    scale, zero_point = affine(*actual, bits, symmetric)
    bins = np.array([b for b in np.flatnonzero(entry.histogram) if entry.first + b != 0])
    values = np.clip((entry.first + bins + 0.5) * entry.width, entry.low, entry.high)
    codes = np.clip(np.round(values / float(scale)) + zero_point, 0, 2**bits - 1) - zero_point
    counts = entry.histogram[bins]
    again = (counts * values * codes).sum() / (counts * codes * codes).sum()
    assert abs(again - scale) * 2**bits <= scale / 16


@pytest.mark.parametrize("choose", [mse_range, admm_range])
def test_symmetric_codes_of_positive_values_have_their_zero_at_the_end(choose):
    entry = statistics(LONG_TAIL, low=0.0)
    assert choose(entry, 4, True) == choose(entry, 4, False)
    assert choose(entry, 4, True) != seen(entry)


def test_admm_changes_random_cases():
    assert all(admm_range(random_statistics(seed), 4, False) != seen(random_statistics(seed)) for seed in range(6))


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("seed", range(6))
def test_admm_comes_close_to_brute_force(seed, bits, symmetric):
    entry = random_statistics(seed)
    ranges = [admm_range(entry, bits, symmetric), *plain_clips(entry, 512)]
    error, *errors = plain_errors(entry, ranges, bits, symmetric)
    assert error <= 1.15 * min(errors)


@settings(deadline=None)
@given(histograms(), bit_widths, symmetries)
def test_admm_is_no_worse_than_max_abs(entry, bits, symmetric):
    error, other = plain_errors(entry, [admm_range(entry, bits, symmetric), seen(entry)], bits, symmetric)
    assert error <= other * slack(bits) + 1e-9 * entry.width**2 * entry.histogram.sum()


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8, 12])
@pytest.mark.parametrize("seed", range(6))
def test_admm_range_is_what_its_codes_represent(seed, bits, symmetric):
    entry = random_statistics(seed)
    actual = admm_range(entry, bits, symmetric)
    scale, zero_point = affine(*actual, bits, symmetric)
    low, high = representable(float(scale), zero_point, bits)
    if actual != seen(entry):
        assert high == pytest.approx(actual[1], rel=1e-12)
        assert low == pytest.approx(actual[0] - (float(scale) if symmetric and zero_point else 0), rel=1e-12)


# --- the choice of method


@pytest.mark.parametrize("symmetric", [False, True])
def test_methods(symmetric):
    entry = statistics(LONG_TAIL, first=-20)
    expected = {
        FeatureMethod.MAX_ABS: seen(entry),
        FeatureMethod.KL: kl_range(entry, 4),
        FeatureMethod.MSE: mse_range(entry, 4, symmetric),
        FeatureMethod.ADMM: admm_range(entry, 4, symmetric),
        FeatureMethod.OUTPUT: mse_range(entry, 4, symmetric),  # where no consumer can be measured
        FeatureMethod.PERCENTILE: percentile_range(entry, 99.0),
    }
    assert {method: feature_range(entry, method, 4, 99.0, symmetric) for method in FeatureMethod} == expected
    assert len(set(expected.values())) == 5
