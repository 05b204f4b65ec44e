"""Masks from prototypes, and the agreement of masks and key points."""

import numpy as np
import pytest

from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector, Prototypes
from stages.evaluate.shapes import ShapeAgreement, instance_masks


def detections(*boxes, masks=None, keypoints=None):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(rows)
    return Detections(rows, np.full(count, 0.9, np.float32), np.zeros(count, np.int64), keypoints, masks)


def detector(prototypes=None):
    return Detector(lambda _: detections(), False, 0.3, 0.6, "YOLOv8-like", prototypes)


def test_a_mask_by_hand():
    """Prototypes of 4 x 4 pixels for an input of 8 x 16: x from 2 to 6 are the columns 1 and 2."""
    left = np.array([[1, 1, -1, -1]] * 4, np.float32)
    top = np.array([[1] * 4, [1] * 4, [-1] * 4, [-1] * 4], np.float32)
    found = detections((2, 0, 6, 16), (0, 0, 8, 16), masks=np.array([[0, 1], [-2, 1]], np.float32))
    masks = instance_masks(found, np.stack([left, top])[None], (16, 8))
    assert masks.shape == (2, 4, 4)
    assert np.argwhere(masks[0]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]  # the upper half, inside the box
    assert np.argwhere(masks[1]).tolist() == [[line, column] for line in range(4) for column in (2, 3)]


def test_masks_agree_with_themselves_and_not_with_their_opposite():
    prototypes = {"protos": np.where(np.eye(8, dtype=bool), 1, -1).astype(np.float32)[None, None]}
    whole = (0, 0, 64, 64)
    one, opposite = (detections(whole, masks=np.array([[sign]], np.float32)) for sign in (1, -1))
    for other, expected in ((one, 1), (opposite, 0)):
        agreement = ShapeAgreement(detector(Prototypes("protos", 64, 64)))
        agreement.add((one, other), (prototypes, prototypes), None)
        assert agreement.metrics() == {
            "mask_agreement": pytest.approx(expected),
            "mask_agreement_map": pytest.approx(expected),
        }


def test_key_points_are_compared_in_the_picture():
    """A similarity of exp(-d^2 / (8 * area)): .88, enough at .5 to .85; in a picture 20 times as wide .08."""
    points = np.array([[[10, 10, 1]]], np.float32)
    box = (0, 0, 20, 20)
    one, other = (detections(box, keypoints=points + np.array([x, 0, 0], np.float32)) for x in (0, 20))
    for width, expected in ((64, 0.8), (1280, 0)):
        agreement = ShapeAgreement(detector())
        agreement.add((one, other), ({}, {}), Placement((64, width), (64, 64), 0, 0))
        assert agreement.metrics()["keypoint_agreement_map"] == pytest.approx(expected)


def test_a_detector_of_boxes_has_neither():
    agreement = ShapeAgreement(detector())
    agreement.add((detections((0, 0, 1, 1)), detections()), ({}, {}), None)
    assert agreement.metrics() == {}
