import numpy as np
import pytest

from stages.compare.diagnose.inputs.input_fit import (
    StandardizedChannels,
    clearly_better,
    contrast_misfit,
    log_likelihoods,
    misfit,
    surely_likelier,
)


def standardized(means, squares=None):
    means = np.array(means, dtype=np.float64)
    return StandardizedChannels(means, means**2 if squares is None else np.array(squares, dtype=np.float64))


def test_misfit_by_hand():
    """Channel means over two pictures: 0, 1 and 10, of which the square counts 25; the second norm fits."""
    first = standardized([[1.0, 1.0, 10.0], [-1.0, 1.0, 10.0]])
    assert misfit([first, standardized([[0.0], [0.0]])]) == pytest.approx((0 + 1 + 25) / 3 / 2)


def test_contrast_by_hand():
    """Variances 1 and e^2: logarithms of the deviations 0 and 1."""
    one = standardized([[1.0, 0.0]], [[2.0, np.exp(2.0)]])
    assert contrast_misfit([one]) == pytest.approx(0.5)


def test_an_advantage_of_one_picture_is_none():
    good = standardized(np.zeros((10, 2)))
    even = standardized(np.full((10, 2), 0.5))
    lone = standardized([[5.0, 5.0], *[[0.0, 0.0]] * 9])
    assert clearly_better([even], [good], 3.0)
    assert not clearly_better([lone], [good], 3.0)
    assert not clearly_better([even], [standardized(np.full((10, 2), 0.4))], 1.5)  # does not fit itself
    assert not clearly_better([even], [standardized(np.full((10, 2), 0.3))], 3.0)  # 2.8 times
    assert not clearly_better([], [], 1.5)


def test_how_sure_an_advantage_must_be():
    """Means 1 and 0 in turns: 1/4 better than none; left out one by one 0.198 or 0.309, a standard error of 0.167."""
    good, uneven = standardized(np.zeros((10, 1))), standardized(np.array([[1.0], [0.0]] * 5))
    assert clearly_better([uneven], [good], 3.0, 1.45)
    assert not clearly_better([uneven], [good], 3.0, 1.55)


def test_likelihoods():
    flat = np.zeros((2, 4))
    np.testing.assert_allclose(log_likelihoods(flat, [0, 3]), np.log(0.25))
    sure = np.array([[8.0, 0.0], [0.0, 8.0]])
    np.testing.assert_allclose(log_likelihoods(sure, [0, 1]), log_likelihoods(sure * 4, [0, 1]), atol=1e-6)
    even = np.array([[2.0, 0.0], [2.0, 0.0]])  # half right: no better than guessing
    assert log_likelihoods(even, [0, 1]).sum() == pytest.approx(-2 * np.log(2))
    chances = np.array([[0.75, 0.25], [0.25, 0.75]])
    np.testing.assert_allclose(log_likelihoods(chances, [0, 1]), log_likelihoods(np.log(chances), [0, 1]), atol=1e-9)


def test_values_that_are_no_numbers_are_as_wrong_as_can_be():
    assert misfit([standardized([[np.nan, np.inf, 0.0]])]) == pytest.approx(50 / 3)
    np.testing.assert_allclose(log_likelihoods(np.full((1, 4), np.nan), [0]), np.log(0.25))


def test_likelier_labels():
    low, gain = np.full(10, -2.0), np.array([1.0, 1.2] * 5)
    assert surely_likelier(low, low + gain, -np.log(10))
    assert not surely_likelier(low, low + 0.05, -np.log(10))
    assert not surely_likelier(low, low + np.array([10.0] + [0.0] * 9), -np.log(1000))  # one picture alone
    assert not surely_likelier(low * 2, low * 2 + gain, -np.log(10))  # worse than guessing
    assert not surely_likelier(low[:5], low[:5] + 1.0, -np.log(10))
