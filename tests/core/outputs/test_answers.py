"""Answers that change by quantizing; counted by hand."""

import numpy as np
import pytest

from stages.core.outputs.answers import AnswerCounter, Answers
from stages.core.outputs.output_kind import OutputKind


def answers(kind, *pairs):
    counter = AnswerCounter()
    for expected, actual in pairs:
        counter.add(np.asarray(expected, np.float32), np.asarray(actual, np.float32))
    return counter.answers(kind)


def steps(classes, count=3):
    """Scores of a class at each step, [1, steps, count]."""
    return np.eye(count)[list(classes)][None]


def pixels(classes, count=3):
    """Scores of a class in each place, [1, count, rows, columns]."""
    return np.moveaxis(np.eye(count)[np.array(classes)], -1, 0)[None]


@pytest.mark.parametrize(
    ("second", "changed"),
    [
        (0.9, 0),  # mean 0.475: height 0.525, a fifth 0.105
        (0.88, 1),  # height 0.53, a fifth 0.106
        (1.0, 0),
    ],
)
def test_near_ties_are_no_changed_answers(second, changed):
    scores, others = [[1.0, second, 0, 0]], [[0.5, 0.6, 0, 0]]
    assert answers(OutputKind.class_scores, (scores, others)) == Answers(1, changed, 1, "best classes")


@pytest.mark.parametrize(
    ("apart", "changed"),
    [
        (0.85, 0),  # the scores of the picture deviate by 4.48: a fifth is 0.90
        (0.95, 1),
    ],
)
def test_of_two_classes_of_pixels_the_picture_tells_what_is_clear(apart, changed):
    """A pixel's own two scores never do: their mean is always half-way."""
    expected = np.array([[[[5.0, 5, -5, -5, apart / 2]], [[-5.0, -5, 5, 5, -apart / 2]]]])
    actual = expected.copy()
    actual[..., -1] *= -1
    assert answers(OutputKind.segmentation, (expected, actual)).changed == changed


def test_best_classes_over_pictures():
    first, second, third = np.eye(3)[:, None]
    found = answers(OutputKind.class_scores, (first, first), (second, third), (second, second), (first, third))
    assert found == Answers(4, 2, 2, "best classes")
    assert found.share == 0.5


def test_of_a_class_sequence_blanks_that_stay_do_not_count():
    # 7 blanks, of which one becomes class 2; of the others one becomes a blank
    expected = steps([0, 1, 0, 0, 0, 2, 0, 0, 1, 0])
    actual = steps([0, 1, 0, 2, 0, 2, 0, 0, 0, 0])
    found = answers(OutputKind.class_sequence, (expected, actual))
    assert found == Answers(count=4, changed=2, distinct=3, noun="steps")


def test_of_a_segmentation_background_that_stays_does_not_count():
    expected = pixels([[0, 0, 0, 0], [0, 1, 1, 0], [0, 2, 0, 0]])
    actual = pixels([[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 2, 0]])
    found = answers(OutputKind.segmentation, (expected, actual))
    assert found == Answers(count=4, changed=2, distinct=3, noun="pixels")


def test_the_most_usual_class_is_that_of_all_pictures():
    # class 1 nine times of twelve: it is the background, though the first picture has none of it
    found = answers(OutputKind.class_sequence, (steps([0, 0, 2]),) * 2, (steps([1] * 9),) * 2)
    assert found == Answers(count=3, changed=0, distinct=3, noun="steps")


def test_nothing_but_background():
    found = answers(OutputKind.segmentation, (pixels([[1, 1], [1, 1]]),) * 2)
    assert found == Answers(count=0, changed=0, distinct=1, noun="pixels")
    assert found.share == 0.0


@pytest.mark.parametrize("kind", [OutputKind.probabilities, OutputKind.heat_map, OutputKind.probability])
def test_probabilities_count_that_are_above_one_half_on_either_side(kind):
    expected, actual = [[0.9, 0.1, 0.6, 0.4, 0.2]], [[0.3, 0.1, 0.45, 0.55, 0.8]]
    # 0.6 and 0.4 cross by less than a fifth
    assert answers(kind, (expected, actual)) == Answers(count=4, changed=2, distinct=2, noun="values above 0.5")


def test_no_probability_is_above_one_half():
    found = answers(OutputKind.heat_map, ([[[[0.1, 0.4]]]], [[[[0.3, 0.4]]]]))
    assert found == Answers(0, 0, 1, "values above 0.5")


def test_varying_numbers_of_steps():
    found = answers(OutputKind.class_sequence, (steps([0, 1, 0]), steps([0, 2, 0])), (steps([0, 2]), steps([0, 2])))
    assert found == Answers(count=2, changed=1, distinct=3, noun="steps")


@pytest.mark.parametrize(
    "kind", [OutputKind.number, OutputKind.embedding, OutputKind.waveform, OutputKind.map, OutputKind.values]
)
def test_of_other_kinds_nothing_is_decided(kind):
    assert answers(kind, ([[1.0, 0.0]], [[0.0, 1.0]])) is None


def test_without_an_axis_of_classes_there_are_no_answers():
    assert answers(OutputKind.class_scores, ([[3.0]], [[-3.0]])) is None
