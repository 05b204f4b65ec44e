"""Precisions of cases that can be worked out by hand, after COCO's definition."""

from dataclasses import replace

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.data.masks import mask_of_window
from stages.core.data.objects import Objects
from stages.core.statistics.shape_precision import KeyPoints, Masks, evaluate_keypoints, evaluate_masks, oks_sigmas

SIDE = 100


def codes(drawn):
    """Masks [N, H, W]."""
    return tuple(mask_of_window(mask, 0, 0, *mask.shape) for mask in drawn)


def drawn(*regions):
    """Masks of 100 x 100 pixels, each of the lines and columns of a region."""
    masks = np.zeros((len(regions), SIDE, SIDE), bool)
    for mask, (lines, columns) in zip(masks, regions, strict=True):
        mask[lines, columns] = True
    return masks


def found_masks(masks, classes=None):
    """The first has the best score."""
    return Masks(codes(masks), np.linspace(0.9, 0.5, len(masks)), np.array(classes or [0] * len(masks)))


def true_masks(masks):
    boxes = np.tile([0.0, 0.0, SIDE, SIDE], (len(masks), 1))
    return replace(Objects.of_boxes(boxes, np.zeros(len(masks), np.int64)), masks=codes(masks))


def true_points(*points, visible=None, side=100.0):
    """Objects of `side` x `side` pixels with one key point each, at x, y."""
    flags = np.array([2] * len(points) if visible is None else visible, np.float64)
    xyv = np.concatenate([np.array(points, np.float64), flags[:, None]], axis=1)[:, None]
    objects = Objects.of_boxes(np.tile([0.0, 0.0, side, side], (len(points), 1)), np.zeros(len(points), np.int64))
    return replace(objects, keypoints=xyv, keypoint_counts=(flags > 0).astype(np.int64))


def found_points(*points):
    count = len(points)
    xy = np.array(points, np.float64).reshape(count, 1, 2)
    return KeyPoints(xy, np.linspace(0.9, 0.5, count), np.zeros(count, np.int64))


ALL = slice(None)


def test_a_mask_counts_up_to_its_overlap():
    """An overlap of 72 % is enough at .5, .55, .6, .65, .7: 5 of 10."""
    evaluated = evaluate_masks([true_masks(drawn((ALL, ALL)))], [found_masks(drawn((slice(0, 72), ALL)))])
    assert evaluated.mean() == pytest.approx(0.5)
    assert evaluated.mean(at_half=True) == pytest.approx(1)


def test_masks_differ_where_their_boxes_are_the_same():
    """Two triangles of a square overlap in its diagonal alone."""
    upper = np.triu(np.ones((1, SIDE, SIDE), bool))
    assert evaluate_masks([true_masks(upper)], [found_masks(upper)]).mean() == pytest.approx(1)
    assert evaluate_masks([true_masks(upper)], [found_masks(upper[:, ::-1, ::-1])]).mean() == 0


def test_masks_of_another_class_are_others():
    whole = drawn((ALL, ALL))
    assert evaluate_masks([true_masks(whole)], [found_masks(whole, classes=[1])]).mean() == 0
    assert evaluate_masks([true_masks(whole[:0])], [found_masks(whole)]).mean() is None


def test_a_part_of_a_crowd_is_not_wrong():
    objects = true_masks(drawn((slice(0, 50), ALL), (slice(50, 100), ALL)))
    found = found_masks(drawn((slice(60, 70), ALL), (slice(0, 50), ALL)))
    assert evaluate_masks([objects], [found]).mean() == pytest.approx(0.5 * 51 / 101)
    crowd = replace(objects, crowd=np.array([False, True]))
    assert evaluate_masks([crowd], [found]).mean() == pytest.approx(1)


def test_a_key_point_counts_by_its_distance_in_parts_of_the_object():
    """One point, sigma 1: its similarity is exp(-d^2 / (2 * area * 4)); .72 at d = 100 * sqrt(-8 * ln .72)."""
    distance = 100 * np.sqrt(-8 * np.log(0.72))
    evaluated = evaluate_keypoints([true_points((0, 0))], [found_points((distance, 0))])
    assert evaluated.mean() == pytest.approx(0.5)
    twice = evaluate_keypoints([true_points((0, 0), side=200)], [found_points((2 * distance, 0))])
    assert twice.mean() == pytest.approx(0.5)
    half = evaluate_keypoints([true_points((0, 0))], [found_points((distance / 2, 0))], sigmas=[0.5])
    assert half.mean() == pytest.approx(0.5)
    assert evaluate_keypoints([true_points((0, 0))], [found_points((0, 0))]).mean() == pytest.approx(1)


def test_what_is_not_labelled_need_not_be_found():
    hidden = true_points((0, 0), (50, 50), visible=[2, 0])
    assert evaluate_keypoints([hidden], [found_points((0, 0))]).mean() == pytest.approx(1)
    seen = true_points((0, 0), (500, 500), visible=[2, 1])
    assert evaluate_keypoints([seen], [found_points((0, 0))]).mean() == pytest.approx(51 / 101)


def test_only_the_best_poses_of_a_picture_count():
    found = found_points((0, 0), (900, 0), (0, 900))
    truth = true_points((0, 0), (900, 0), (0, 900))
    assert evaluate_keypoints([truth], [found]).mean() == pytest.approx(1)
    assert evaluate_keypoints([truth], [found], most=1).mean() == pytest.approx(34 / 101)


def test_a_person_has_the_sigmas_of_coco():
    sigmas = oks_sigmas(17)
    assert (sigmas[0], sigmas[-1], len(sigmas)) == (0.026, 0.089, 17)
    np.testing.assert_array_equal(oks_sigmas(5), [0.2] * 5)
    np.testing.assert_array_equal(oks_sigmas(2, [0.1, 0.3]), [0.1, 0.3])


def test_sigmas_of_another_count_are_refused():
    with pytest.raises(
        UserError, match=r"kpt_oks_sigmas=\[0\.1\]: the network gives 2 key points; give 2 numbers, or \[\]"
    ):
        oks_sigmas(2, [0.1])
