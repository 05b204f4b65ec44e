import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages.core.statistics.histogram import TensorCollector, fitting_exponent
from stages.core.statistics.tensor_statistics import HISTOGRAM_BINS

SMALLEST = -126  # exponent of the smallest normal float32
INDEX_BITS = 30  # bin numbers stay below 2**30

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
intervals = st.tuples(finite, finite).map(sorted)


def bins_covered(low, high, exponent):
    """How many bins of width 2**exponent the interval touches, in exact arithmetic."""
    width = Fraction(2) ** exponent
    return math.floor(Fraction(high) / width) - math.floor(Fraction(low) / width) + 1


def numbers_fit(low, high, exponent):
    return exponent >= SMALLEST and max(abs(low), abs(high)) < Fraction(2) ** (exponent + INDEX_BITS)


def smallest_fitting(low, high):
    return next(
        e for e in range(SMALLEST, 200) if numbers_fit(low, high, e) and bins_covered(low, high, e) <= HISTOGRAM_BINS
    )  # fmt: skip


def counted(values, exponent):
    """First bin and counts of all values by flooring in NumPy."""
    numbers = np.floor(np.concatenate([value.ravel() for value in values]).astype(np.float64) * 2.0**-exponent)
    first = int(numbers.min())
    return first, np.bincount((numbers - first).astype(np.int64), minlength=HISTOGRAM_BINS)


def collected(parts):
    collector = TensorCollector()
    assert all(collector.add(part) for part in parts)
    return collector.finish()


def same(left, right):
    assert (left.low, left.high, left.exponent, left.first) == (right.low, right.high, right.exponent, right.first)
    for field in ("histogram", "channel_low", "channel_high", "channel_mean"):
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field))


# --- the exponent


@pytest.mark.parametrize(
    ("low", "high", "exponent"),
    [
        (0.0, 0.0, -126),
        (0.0, 4095.5, 0),
        (0.0, 4096.0, 1),
        (-1.0, 4094.5, 0),
        (-1.0, 4095.0, 1),
        (0.0, 1.0, -11),
        (-1.0, 0.99, -11),
        (-1.0, 1.0, -10),
        (1.0, 1.0, -29),
        (-3.0, -3.0, -28),
    ],
)
def test_exponent_golden(low, high, exponent):
    assert fitting_exponent(low, high) == exponent


@settings(deadline=None)
@given(intervals)
def test_range_fits_in_the_bins(interval):
    assert bins_covered(*interval, fitting_exponent(*interval)) <= HISTOGRAM_BINS


@settings(deadline=None)
@given(intervals)
def test_exponent_is_the_smallest(interval):
    exponent = fitting_exponent(*interval)
    assert not numbers_fit(*interval, exponent - 1) or bins_covered(*interval, exponent - 1) > HISTOGRAM_BINS


@settings(deadline=None)
@given(intervals, intervals)
def test_a_wider_range_never_has_a_smaller_exponent(inner, other):
    outer = (min(inner[0], other[0]), max(inner[1], other[1]))
    assert fitting_exponent(*inner) <= fitting_exponent(*outer)


# --- the collector

dyadic = hnp.arrays(
    np.float32,
    st.tuples(st.just(1), st.integers(1, 3), st.integers(1, 5)),
    elements=st.integers(-(2**18), 2**18).map(lambda n: n / 64),
)


@settings(deadline=None)
@given(st.lists(dyadic, min_size=1, max_size=5).filter(lambda parts: len({part.shape[1] for part in parts}) == 1))
def test_statistics_equal_numpy(parts):
    found = collected(parts)
    together = np.concatenate([part.swapaxes(0, 1).reshape(part.shape[1], -1) for part in parts], axis=1)
    low, high = float(together.min()), float(together.max())
    assert (found.low, found.high) == (low, high)
    np.testing.assert_array_equal(found.channel_low, together.min(axis=1))
    np.testing.assert_array_equal(found.channel_high, together.max(axis=1))
    np.testing.assert_allclose(found.channel_mean, together.astype(np.float64).mean(axis=1), rtol=1e-15)
    assert found.exponent == smallest_fitting(low, high)
    first, counts = counted(parts, found.exponent)
    assert found.first == first
    np.testing.assert_array_equal(found.histogram, counts)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e30])
def test_statistics_equal_numpy_at_any_scale(scale):
    rng = np.random.default_rng(7)
    parts = [(rng.normal(0.3, grow, (1, 4, 9, 7)) * scale).astype(np.float32) for grow in (1, 5, 0.1, 40)]
    found = collected(parts)
    assert found.exponent == smallest_fitting(found.low, found.high)
    first, counts = counted(parts, found.exponent)
    assert found.first == first
    np.testing.assert_array_equal(found.histogram, counts)
    np.testing.assert_allclose(
        found.channel_mean, np.mean(np.array(parts, dtype=np.float64), axis=(0, 1, 3, 4)), rtol=1e-9, atol=1e-12 * scale
    )


def test_order_of_pictures_does_not_matter():
    parts = [np.float32([[[start, start + spread]]]) for start, spread in ((0, 1), (-300, 2), (7, 9000), (1e-5, 0))]
    first, *others = [collected(order) for order in itertools.permutations(parts)]
    for other in others:
        same(other, first)


def test_batch_split_does_not_matter():
    batch = np.random.default_rng(1).integers(-5000, 5000, (6, 3, 4, 4)).astype(np.float32) / 8
    whole = collected([batch])
    same(collected([batch[i : i + 1] for i in range(6)]), whole)
    same(collected([batch[:2], batch[2:]]), whole)


def test_bins_grow_upward_and_downward():
    collector = TensorCollector()
    seen = []
    for value in (1.0, 1.001, -1.0, 500.0, -70000.0, 3.0):
        seen.append(np.float32([[value]]))
        assert collector.add(seen[-1])
        found = collector.finish()
        first, counts = counted(seen, found.exponent)
        assert found.first == first
        np.testing.assert_array_equal(found.histogram, counts)


@pytest.mark.parametrize("value", [0.0, 5.25, -5.25, 1e-38, 1e-45, 3e38, -3e38])
def test_constant_tensor_fills_one_bin(value):
    found = collected([np.full((1, 2, 3), value, dtype=np.float32)] * 2)
    constant = float(np.float32(value))
    assert (found.low, found.high) == (constant, constant)
    assert found.histogram.sum() == 12
    (index,) = np.flatnonzero(found.histogram)
    assert found.edges[index] <= constant < found.edges[index + 1]
    np.testing.assert_allclose(found.channel_mean, [constant] * 2, rtol=1e-12)


def test_all_zeros_then_values():
    parts = [np.zeros((1, 2, 4), np.float32), np.float32([[[1, 2, 3, 4], [-1, 0, 1, 2]]])]
    found = collected(parts)
    first, counts = counted(parts, smallest_fitting(-1.0, 4.0))
    assert found.first == first
    np.testing.assert_array_equal(found.histogram, counts)


def test_negative_only():
    parts = [np.float32([[[-2.5, -7.0, -2.0]]]), np.float32([[[-9.0, -3.0, -3.0]]])]
    found = collected(parts)
    assert (found.low, found.high) == (-9.0, -2.0)
    first, counts = counted(parts, found.exponent)
    assert found.first == first
    np.testing.assert_array_equal(found.histogram, counts)
    assert found.channel_mean[0] == pytest.approx(-26.5 / 6, rel=1e-15)


def test_numbers_too_small_for_a_bin_lie_on_their_side_of_zero():
    # bins are 2**90 wide: 1e-40 / 2**90 is 0 in float32
    found = collected([np.float32([[[-1e-40, 1e-40, 1e-40, 2.0**101]]])])
    assert (found.exponent, found.first) == (90, -1)
    assert np.flatnonzero(found.histogram).tolist() == [0, 1, 2049]
    assert found.histogram[[0, 1, 2049]].tolist() == [1, 2, 1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", range(6))
def test_values_that_are_not_finite_are_refused_and_change_nothing(bad, position):
    collector = TensorCollector()
    good = np.float32([[[1, 2, 3], [4, 5, 6]]])
    assert collector.add(good)
    broken = good * 100
    broken.flat[position] = bad
    assert not collector.add(broken)
    same(collector.finish(), collected([good]))


def test_both_infinities_in_one_channel_are_refused():
    assert not TensorCollector().add(np.float32([[[np.inf, -np.inf, 0.0, 0.0, 1.0]]]))


@pytest.mark.parametrize(
    ("shape", "channels"), [((), 1), ((6,), 1), ((1, 6), 6), ((1, 2, 3), 2), ((1, 3, 2, 1), 3), ((1, 1, 2, 3, 1), 1)]
)
def test_channels_are_axis_one(shape, channels):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = collected([values])
    assert found.channel_low.shape == found.channel_mean.shape == (channels,)
    assert found.histogram.sum() == values.size


def test_values_that_do_not_lie_in_one_run_of_memory():
    values = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4).transpose(0, 3, 2, 1)
    same(collected([values]), collected([np.ascontiguousarray(values)]))


@settings(deadline=None)
@given(intervals)
def test_edges_enclose_every_value(interval):
    low, high = interval
    assume(high - low < 3e38)
    found = collected([np.float32([[low, high]])])
    occupied = np.flatnonzero(found.histogram)
    assert found.edges[occupied[0]] <= low
    assert found.edges[occupied[-1] + 1] > high
