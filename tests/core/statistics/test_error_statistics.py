import numpy as np
import pytest

from stages.core.statistics.error_statistics import ErrorStatistics, error_statistics


def test_statistics_worked_out_by_hand():
    f, q = np.array([[1.0, -2.0], [3.0, 0.0]], np.float32), np.array([[0.0, -2.0], [5.0, 0.5]], np.float32)
    assert error_statistics(f, q) == ErrorStatistics(
        f_squared=14.0, q_squared=29.25, product=19.0, error=-1.5, error_squared=5.25, worst=2.0, low=-2.0, high=3.0
    )


def test_of_nothing_all_is_zero():
    empty = np.zeros((1, 0), np.float32)
    assert error_statistics(empty, empty) == ErrorStatistics(*[0.0] * 8)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1003])
def test_statistics_equal_numpy_s_at_any_length(size):
    rng = np.random.default_rng(size)
    f, q = rng.normal(1, 2, (2, size)).astype(np.float32)
    a, b = f.astype(np.float64), q.astype(np.float64)
    expected = [a @ a, b @ b, a @ b, (a - b).sum(), ((a - b) ** 2).sum(), np.abs(a - b).max(), a.min(), a.max()]
    np.testing.assert_allclose(error_statistics(f, q), expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("side", [0, 1])
def test_the_error_is_not_finite_where_a_value_is_not(bad, side):
    values = np.ones((2, 6), np.float32)
    values[side, 4] = bad
    assert not np.isfinite(error_statistics(*values).error)
