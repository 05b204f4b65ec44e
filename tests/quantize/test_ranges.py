import math

import numpy as np
import pytest

from stages.core.config import FeatureMethod
from stages.core.statistics import BINS, TensorStatistics
from stages.quantize.ranges import feature_range, kl_divergence, kl_range

NOTHING = np.zeros(1, dtype=np.float32)


def statistics(counts, first=0, exponent=0, low=None, high=None):
    """Statistics with `counts` from the first bin on; the range reaches into the outer occupied bins."""
    histogram = np.zeros(BINS, dtype=np.int64)
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
    clipped = [kl_range(entry, 4) != (entry.low, entry.high) for entry in map(random_statistics, range(6))]
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
    found = kl_range(statistics(LONG_TAIL, low=low), 4)
    assert found[1] < 200


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


def test_methods():
    entry = statistics(LONG_TAIL, low=0.0)
    assert feature_range(entry, FeatureMethod.MAX_ABS, 4) == (0.0, entry.high)
    assert feature_range(entry, FeatureMethod.KL, 4) == kl_range(entry, 4)
    assert kl_range(entry, 4) != (0.0, entry.high)
