from pathlib import Path

import numpy as np
import pytest

from benchmarks.strangers.measures.answers import (
    changed_decisions,
    concordance,
    expected_value_change,
    nearest_neighbours_kept,
    same_class,
    same_labels,
)
from benchmarks.strangers.measures.masks import correlation, decibels_kept, overlap, same_marks
from benchmarks.strangers.measures.sounds import gain_kept, pitches_changed
from benchmarks.strangers.measures.texts import character_errors, edits
from benchmarks.strangers.stranger import Bounds, Measured, Value
from stages.core.base.errors import UserError


def measured(expected, actual, truth=None, names=("y",)):
    """Outputs of samples: of each a value, or a value an output."""
    sides = []
    for side in (expected, actual):
        values = [sample if len(names) > 1 else (sample,) for sample in side]
        sides.append([{name: np.asarray(v) for name, v in zip(names, sample, strict=True)} for sample in values])
    return Measured(*sides, truth, Path())


@pytest.mark.parametrize(
    ("bounds", "value", "level"),
    [
        (Bounds(good=0.9, dead=0.5), 0.9, "good"),
        (Bounds(good=0.9, dead=0.5), 0.89, "degraded"),
        (Bounds(good=0.9, dead=0.5), 0.5, "dead"),
        (Bounds(good=0.02, dead=0.3), 0.02, "good"),
        (Bounds(good=0.02, dead=0.3), 0.1, "degraded"),
        (Bounds(good=0.02, dead=0.3), 0.3, "dead"),
        (Bounds(good=0.9, dead=0.5), float("nan"), "dead"),
        (Bounds(good=0.02, dead=0.3), float("nan"), "dead"),
    ],
)
def test_bounds_hold_in_both_directions(bounds, value, level):
    assert bounds.level(value) == level


def test_the_spread_of_a_mean_is_its_standard_error():
    """The jackknife of a mean is the textbook's standard error: values 0 .. 9 have a variance of 55/6."""
    shares = measured([float(index) for index in range(10)], [0.0] * 10)
    value = Value.of(lambda part: float(np.mean([expected for expected, _ in part.pairs()])), shares, stream=False)
    half = 1.96 * (55 / 6 / 10) ** 0.5
    assert (value.value, value.low, value.high) == pytest.approx((4.5, 4.5 - half, 4.5 + half))
    assert Value.of(lambda _: 4.5, shares, stream=True) == Value(4.5, 4.5, 4.5)
    assert Bounds(good=6.0, dead=1.0).levels(value) == ["degraded", "good"]
    assert Bounds(good=5.0, dead=4.0).levels(value) == ["degraded", "dead", "good"]


def test_same_class_counts_every_output():
    expected = [([1, 0], [0, 1]), ([0, 1], [0, 1])]
    actual = [([2, 0], [3, 1]), ([0, 1], [0, 5])]
    assert same_class(measured(expected, actual, names=("a", "b"))) == 0.75


def test_kappa_takes_chance_away():
    one, two = [1, 0], [0, 1]
    same = measured([one, one, two, two], [one, two, two, one])  # half agrees, as chance would have it
    assert same_labels(same) == 0.0
    # 3 of 4 agree; by chance 3/4 * 1/2 + 1/4 * 1/2 = 1/2
    assert same_labels(measured([one, one, two, two], [one, one, two, one])) == pytest.approx(0.5)
    assert same_labels(measured([one, one], [one, one])) == 1.0


def test_decisions_change_at_the_threshold():
    assert changed_decisions(0.5)(measured([[0.4, 0.5, 0.9, 0.1]], [[0.5, 0.6, 0.4, 0.2]])) == 0.5
    first = changed_decisions(0.5, column=0)
    assert first(measured([[[0.4, 0.5], [0.9, 0.1]]], [[[0.4, 0.1], [0.1, 0.1]]])) == 0.5


def test_concordance_of_a_shift_by_hand():
    # variances 2/3, covariance 2/3, means 1 apart: 2 * (2/3) / (2/3 + 2/3 + 1)
    assert concordance()(measured([[1.0], [2.0], [3.0]], [[2.0], [3.0], [4.0]])) == pytest.approx(4 / 7)
    assert concordance(column=1)(measured([[9, 1], [8, 2]], [[0, 1], [0, 2]])) == 1.0
    assert concordance()(measured([[1.0], [2.0]], [[5.0], [5.0]])) == 0.0


def test_an_age_is_what_its_probabilities_expect():
    assert expected_value_change(measured([[[0.5, 0, 0.5]]], [[[0, 0, 1.0]]])) == 1.0


def test_nearest_neighbours():
    expected = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]]
    assert nearest_neighbours_kept(measured(expected, expected)) == 1.0
    assert nearest_neighbours_kept(measured(expected, [[1, 0], [0, 1], [0.1, 0.9], [0.9, 0.1]])) == 0.0


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("flaw", "lawn", 2), ("same", "same", 0)],
)
def test_edits_of_known_words(first, second, count):
    assert edits([ord(c) for c in first], [ord(c) for c in second]) == count


def test_repeated_steps_are_one_character_and_blanks_part_them():
    steps = np.eye(3)
    expected = steps[[1, 1, 0, 1, 2]][np.newaxis]  # 1, 1, 2
    actual = steps[[1, 1, 1, 0, 2]][np.newaxis]  # 1, 2
    assert character_errors(axis=2)(measured([expected], [actual])) == pytest.approx(1 / 3)
    assert character_errors(axis=2, blank=2)(measured([expected], [expected])) == 0.0


def test_decibels_that_are_kept():
    """Errors of 0.1 before, 0.01 in float and 0.1 ** 0.5 * 0.1 after quantizing: 20 dB are gained, 10 dB are kept."""
    perfect = np.full((2, 2, 3), 51, np.uint8)  # 0.2
    clean = np.full((1, 3, 2, 2), 0.2)
    noisy = [[0.3 * 255] * 3] * 2, [[0.1 * 255] * 3] * 2
    made = measured([clean + 0.01], [clean - 0.1 * 0.1**0.5], truth=[(np.array(noisy), perfect)])
    assert decibels_kept(made) == pytest.approx(0.5)


def test_overlap_and_marks():
    pair = [[1.0, 1.0, 0.0, 0.0]], [[1.0, 0.0, 1.0, 0.0]]
    assert overlap(0.5)(measured(*pair)) == pytest.approx(1 / 3)
    two = measured([([0], pair[0][0])], [([0], pair[1][0])], names=("a", "b"))
    assert same_marks(0.5, 1)(two) == 0.5
    assert overlap(0.5)(measured([[0.0]], [[0.0]])) == 1.0


def test_a_flat_map_tells_nothing():
    assert correlation(measured([[0, 1, 2]], [[0, 2, 4]])) == pytest.approx(1.0)
    assert correlation(measured([[0, 1, 2]], [[1, 1, 1]])) == 0.0


def test_the_gain_that_is_kept():
    clean = np.array([[1, 1, 1, 1]], np.complex64)
    noise = np.array([[1, -1, 1, -1]], np.complex64)  # orthogonal to it

    def enhanced(noisy, outputs):
        return clean + outputs[0]["y"] * noise

    # noise of 1 in the mixture: 0 dB; of 0.1 after the float network: 20 dB; of 0.1 ** 0.5: 10 dB
    given = measured([0.1], [10**-0.5], truth=(clean + noise, clean))
    assert gain_kept(enhanced)(given) == pytest.approx(0.5, abs=1e-4)
    assert gain_kept(enhanced)(measured([0.1], [1.0], truth=(clean + noise, clean))) == pytest.approx(0, abs=1e-4)


def test_a_float_network_that_gains_nothing_tells_nothing():
    clean = np.array([[1, 1, 1, 1]], np.complex64)
    noise = np.array([[1, -1, 1, -1]], np.complex64)
    same = measured([0], [0], truth=(clean + noise, clean))
    with pytest.raises(UserError, match=r"the float network gains 0\.00 dB"):
        gain_kept(lambda noisy, outputs: noisy)(same)


def test_pitches_that_change():
    expected = [([100.0, 100.0, 100.0, 100.0], [0.9, 0.9, 0.9, 0.1])]
    actual = [([101.0, 110.0, 100.0, 100.0], [0.9, 0.9, 0.2, 0.1])]  # 17 cents, 165 cents, not voiced, neither
    assert pitches_changed(measured(expected, actual, names=("pitch", "confidence"))) == pytest.approx(2 / 3)
