import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stages.core.statistics.metrics import SQNR_CAP, Distance, cosine, distance, summarize

finite = st.floats(-1e6, 1e6, width=32)
tensors = arrays(np.float32, st.integers(1, 40), elements=finite)
pairs = st.integers(1, 40).flatmap(lambda n: st.tuples(*[arrays(np.float32, n, elements=finite)] * 2))


def test_distance_of_a_tensor_worked_out_by_hand():
    found = distance(np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([[3.0, 0.0], [0.0, 2.0]]))
    assert found.cosine == pytest.approx(9 / (5 * math.sqrt(13)))
    assert found.euclidean == pytest.approx(math.sqrt(20) / 5)
    # the errors are 0, 4, 0, -2: mean 0.5, squared deviations 0.25 + 12.25 + 0.25 + 6.25 = 19
    assert found.standard_deviation == pytest.approx(math.sqrt(19 / 4))
    assert found.max_absolute == 4.0
    assert found.max_normalized == 1.0
    assert found.sqnr == pytest.approx(10 * math.log10(25 / 20))
    # half the sums: 3, 2, 0, 1
    assert found.euclidean_similarity == pytest.approx(1 - math.sqrt(20 / 14))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ([1, 0], [0, 1], 0.0),
        ([1, 2], [-2, -4], -1.0),
        ([1, 1], [1, 0], math.sqrt(0.5)),
        ([0, 0], [0, 0], 1.0),
        ([0, 0], [0, 1], 0.0),
        ([5, 0], [0, 0], 0.0),
    ],
)
def test_cosine(left, right, expected):
    assert cosine(np.array(left), np.array(right)) == pytest.approx(expected)


def test_two_tensors_of_zeros_are_equal():
    zeros = np.zeros((2, 3), dtype=np.float32)
    assert distance(zeros, zeros) == Distance(1.0, 0.0, 0.0, 0.0, 0.0, SQNR_CAP, 1.0)


def test_any_error_on_a_tensor_of_zeros_counts_as_whole():
    found = distance(np.zeros(2), np.array([0.5, 0.5]))
    assert found == Distance(
        cosine=0.0,
        euclidean=1.0,
        standard_deviation=0.0,
        max_absolute=0.5,
        max_normalized=1.0,
        sqnr=-SQNR_CAP,
        euclidean_similarity=-1.0,
    )


def test_the_opposite_of_a_tensor():
    found = distance(np.array([1.0, -2.0]), np.array([-1.0, 2.0]))
    assert found.sqnr == pytest.approx(10 * math.log10(5 / 20))
    assert found.euclidean_similarity == -1.0


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193, 30000])
def test_large_tensors_are_summed_up_whole(size):
    """Against plain float64 NumPy over the whole tensor."""
    rng = np.random.default_rng(size)
    f = rng.normal(1, 2, size).astype(np.float32)
    q = (f + rng.normal(0.5, 0.1, size)).astype(np.float32)
    a, b = f.astype(np.float64), q.astype(np.float64)
    found = distance(f.reshape(1, 1, -1), q.reshape(1, 1, -1))
    assert found.cosine == pytest.approx(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)), rel=1e-12)
    assert found.euclidean == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), rel=1e-12)
    assert found.standard_deviation == pytest.approx((a - b).std(), rel=1e-9, abs=1e-7)
    assert found.max_absolute == np.abs(a - b).max()
    assert found.sqnr == pytest.approx(10 * np.log10(np.sum(a * a) / np.sum((a - b) ** 2)), rel=1e-9)
    similar = 1 - np.linalg.norm(a - b) / np.linalg.norm((a + b) / 2)
    assert found.euclidean_similarity == pytest.approx(similar, rel=1e-9)


def test_signal_to_noise_stays_within_the_cap():
    assert distance(np.array([1e20]), np.array([1e20 * (1 - 2**-40)])).sqnr == SQNR_CAP
    assert distance(np.array([1e-30]), np.array([1e10])).sqnr == -SQNR_CAP


def test_integers_do_not_overflow():
    found = distance(np.array([127, -128], dtype=np.int8), np.array([-128, 127], dtype=np.int8))
    assert found.max_absolute == 255.0
    assert found.max_normalized == 1.0


def test_summary_of_two_pictures():
    rows = [Distance(0.5, 1.0, 2.0, 3.0, 0.25, 20.0, 0.5), Distance(1.0, 0.0, 1.0, 5.0, 0.125, 40.0, 1.0)]
    assert summarize(rows) == {
        "cosine_avg": 0.75,
        "cosine_min": 0.5,
        "cosine_max": 1.0,
        "euclidean": 0.5,
        "standard_deviation": 1.5,
        "max_absolute": 5.0,
        "max_normalized": 0.25,
        "sqnr": 30.0,
        "euclidean_similarity": 0.75,
    }


@settings(deadline=None)
@given(pairs)
def test_cosine_stays_within_its_bounds_and_is_symmetric(pair):
    left, right = pair
    assert -1.0 <= cosine(left, right) <= 1.0
    assert cosine(left, right) == pytest.approx(cosine(right, left))


@settings(deadline=None)
@given(tensors)
def test_a_tensor_is_at_no_distance_from_itself(tensor):
    found = distance(tensor, tensor)
    assert found.cosine == pytest.approx(1.0)
    assert (found.euclidean, found.standard_deviation, found.max_absolute, found.max_normalized) == (0, 0, 0, 0)


@settings(deadline=None)
@given(tensors.filter(lambda tensor: not 0 < np.abs(tensor).max() < 1e-30), st.sampled_from([0.5, 2.0, 8.0]))
def test_relative_measures_do_not_depend_on_the_unit(tensor, factor):
    quantized = np.round(tensor)
    plain, scaled = distance(tensor, quantized), distance(tensor * factor, quantized * factor)
    assert scaled.euclidean == pytest.approx(plain.euclidean)
    assert scaled.max_normalized == pytest.approx(plain.max_normalized)
    assert scaled.max_absolute == pytest.approx(plain.max_absolute * factor)
