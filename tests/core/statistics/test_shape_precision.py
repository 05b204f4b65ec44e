"""Precisions of cases that can be worked out by hand, after COCO's definition."""

import numpy as np
import pytest

from stages.core.statistics.shape_precision import KeyPoints, Masks, evaluate_keypoints, evaluate_masks, oks_sigmas

SIDE = 100


def masks(*regions, classes=None):
    """Masks of 100 x 100 pixels, each of the lines and columns of a region; the first has the best score."""
    drawn = np.zeros((len(regions), SIDE, SIDE), bool)
    for mask, (lines, columns) in zip(drawn, regions, strict=True):
        mask[lines, columns] = True
    scores = np.linspace(0.9, 0.5, len(regions)).astype(np.float32)
    return Masks.of(drawn, scores, np.array(classes or [0] * len(regions), np.int64))


def keypoints(*points, visible=None, side=100.0, classes=None):
    """Objects of `side` x `side` pixels with one key point each, at x, y."""
    xy = np.array(points, np.float64).reshape(-1, 1, 2)
    flags = np.ones((len(points), 1, 1)) if visible is None else np.array(visible, np.float64).reshape(-1, 1, 1)
    boxes = np.tile([0.0, 0.0, side, side], (len(points), 1))
    scores = np.linspace(0.9, 0.5, len(points))
    return KeyPoints(np.concatenate([xy, flags], axis=2), boxes, scores, np.array(classes or [0] * len(points)))


ALL = slice(None)


def test_a_mask_counts_up_to_its_overlap():
    """An overlap of 72 % is enough at .5, .55, .6, .65, .7: 5 of 10."""
    evaluated = evaluate_masks([masks((ALL, ALL))], [masks((slice(0, 72), ALL))])
    assert evaluated.mean() == pytest.approx(0.5)
    assert evaluated.mean(at_half=True) == pytest.approx(1)


def test_masks_differ_where_their_boxes_are_the_same():
    """Two triangles of a square overlap in its diagonal alone."""
    upper = np.triu(np.ones((1, SIDE, SIDE), bool))
    one, other = (
        Masks.of(mask, np.ones(1, np.float32), np.zeros(1, np.int64)) for mask in (upper, upper[:, ::-1, ::-1])
    )
    assert evaluate_masks([one], [one]).mean() == pytest.approx(1)
    assert evaluate_masks([one], [other]).mean() == 0


def test_masks_of_another_class_are_others():
    whole = masks((ALL, ALL))
    assert evaluate_masks([whole], [masks((ALL, ALL), classes=[1])]).mean() == 0
    assert evaluate_masks([masks()], [whole]).mean() is None


def test_a_key_point_counts_by_its_distance_in_parts_of_the_object():
    """One point, sigma 1: its similarity is exp(-d^2 / (2 * area * 4)); .72 at d = 100 * sqrt(-8 * ln .72)."""
    distance = 100 * np.sqrt(-8 * np.log(0.72))
    evaluated = evaluate_keypoints([keypoints((0, 0))], [keypoints((distance, 0))])
    assert evaluated.mean() == pytest.approx(0.5)
    twice = evaluate_keypoints([keypoints((0, 0), side=200)], [keypoints((2 * distance, 0), side=200)])
    assert twice.mean() == pytest.approx(0.5)
    assert evaluate_keypoints([keypoints((0, 0))], [keypoints((0, 0))]).mean() == pytest.approx(1)


def test_what_is_not_visible_need_not_be_found():
    hidden = keypoints((0, 0), (50, 50), visible=[1, 0.4])
    assert evaluate_keypoints([hidden], [keypoints((0, 0))]).mean() == pytest.approx(1)
    seen = keypoints((0, 0), (500, 500), visible=[1, 0.6])
    assert evaluate_keypoints([seen], [keypoints((0, 0))]).mean() == pytest.approx(51 / 101)


def test_a_person_has_the_sigmas_of_coco():
    sigmas = oks_sigmas(17)
    assert (sigmas[0], sigmas[-1], len(sigmas)) == (0.026, 0.089, 17)
    np.testing.assert_array_equal(oks_sigmas(5), [0.2] * 5)
