"""Precisions of cases that can be worked out by hand, after COCO's definition."""

import numpy as np
import pytest

from stages.core.data.objects import Objects
from stages.core.statistics.average_precision import FoundBoxes, evaluate_boxes, spread

BOX = (10, 10, 110, 110)
SMALL = (200, 200, 220, 220)


def truth(*boxes, crowd=None):
    """Boxes x0, y0, x1, y1, class."""
    rows = np.array(boxes, np.float64).reshape(-1, 5)
    objects = Objects.of_boxes(rows[:, :4], rows[:, 4].astype(np.int64))
    return objects if crowd is None else Objects(objects.boxes, objects.classes, np.array(crowd), objects.areas)


def found(*boxes):
    """Boxes x0, y0, x1, y1, class, score."""
    rows = np.array(boxes, np.float64).reshape(-1, 6)
    return FoundBoxes(rows[:, :4], rows[:, 5], rows[:, 4].astype(np.int64))


def test_all_found_is_one_and_nothing_zero():
    assert evaluate_boxes([truth((*BOX, 0))], [found((*BOX, 0, 0.9))]).mean() == pytest.approx(1)
    assert evaluate_boxes([truth((*BOX, 0))], [found()]).mean() == 0
    assert evaluate_boxes([truth((*BOX, 0))], [found((*BOX, 1, 0.9))]).mean() == 0
    assert evaluate_boxes([truth()], [found((*BOX, 1, 0.9))]).mean() is None
    assert evaluate_boxes([truth()], [found()]).mean() is None


def test_a_box_counts_up_to_its_overlap():
    """An overlap of 72 % is enough at .5, .55, .6, .65, .7: 5 of 10."""
    evaluated = evaluate_boxes([truth((0, 0, 100, 100, 0))], [found((0, 0, 100, 72, 0, 0.9))])
    assert evaluated.mean() == pytest.approx(0.5)
    assert evaluated.mean(at_half=True) == pytest.approx(1)


def test_a_wrong_box_before_the_right_one_halves_the_precision():
    wrong_first = [found((300, 300, 400, 400, 0, 0.9), (*BOX, 0, 0.8))]
    assert evaluate_boxes([truth((*BOX, 0))], wrong_first).mean() == pytest.approx(0.5)
    wrong_last = [found((300, 300, 400, 400, 0, 0.7), (*BOX, 0, 0.8))]
    assert evaluate_boxes([truth((*BOX, 0))], wrong_last).mean() == pytest.approx(1)


def test_classes_and_sizes_are_told_apart():
    evaluated = evaluate_boxes([truth((*BOX, 0), (*SMALL, 2))], [found((*BOX, 0, 0.9))])
    assert evaluated.classes == [0, 2]
    assert (evaluated.of_class(0), evaluated.of_class(2)) == (pytest.approx(1), 0)
    assert evaluated.mean() == pytest.approx(0.5)
    assert (evaluated.mean("small"), evaluated.mean("medium"), evaluated.mean("large")) == (0, None, pytest.approx(1))


def test_a_crowd_need_not_be_found_and_takes_any_number_of_boxes():
    objects = truth((*BOX, 0), (200, 0, 400, 200, 0), crowd=[False, True])
    boxes = found((*BOX, 0, 0.5), (200, 0, 250, 50, 0, 0.9), (300, 100, 350, 150, 0, 0.8))
    assert evaluate_boxes([objects], [boxes]).mean() == pytest.approx(1)


def test_a_box_of_any_size_counts():
    huge = found((-1e6, -1e6, 1e6, 1e6, 0, 0.9), (*BOX, 0, 0.8))
    assert evaluate_boxes([truth((*BOX, 0))], [huge]).mean() == pytest.approx(0.5)


def test_the_interval_holds_the_mean_and_narrows_with_the_pictures():
    right, missed = (truth((*BOX, 0)), found((*BOX, 0, 0.9))), (truth((*BOX, 0)), found())
    widths = []
    for count in (8, 128):
        pictures = [right, missed] * (count // 2)
        evaluated = evaluate_boxes(*zip(*pictures, strict=True))
        low, high = spread(count, evaluated)
        assert low < evaluated.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_a_difference_is_between_the_same_pictures():
    """Both networks find what the other finds: whatever pictures are drawn, the difference is 0."""
    pictures = [(truth((*BOX, 0)), found((*BOX, 0, 0.9))), (truth((*BOX, 0)), found())] * 4
    evaluated, again = (evaluate_boxes(*zip(*pictures, strict=True)) for _ in range(2))
    assert spread(8, evaluated, again) == (0, 0)
    assert spread(1, evaluated, again) is None


def test_drawing_leaves_the_mean_as_it_was():
    pictures = [(truth((*BOX, 0)), found((*BOX, 0, 0.9))), (truth((*BOX, 0)), found())]
    evaluated = evaluate_boxes(*zip(*pictures, strict=True))
    assert evaluated.resampled(np.array([0, 0])) == pytest.approx(1)
    assert evaluated.resampled(np.array([1, 1])) == 0
    before = evaluated.precisions.copy()
    spread(2, evaluated)
    np.testing.assert_array_equal(evaluated.precisions, before)
