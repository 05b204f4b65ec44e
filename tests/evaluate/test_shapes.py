"""Masks from prototypes, in their pixels and in the picture's, and the key points of a picture."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pycocotools import mask

from stages.core.data.masks import mask_of_window
from stages.core.data.objects import Objects
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector, Prototypes
from stages.evaluate.precisions import Precisions
from stages.evaluate.shapes import KeyPointShapes, MaskShapes, Seen, instance_masks, picture_masks, shape_kinds


def detections(*boxes, masks=None, keypoints=None):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(rows)
    return Detections(rows, np.full(count, 0.9, np.float32), np.zeros(count, np.int64), keypoints, masks)


def agreement(kind, one, other, outputs=None, placement=None):
    """Of one picture."""
    seen = [Seen(found, outputs or {}, placement) for found in (one, other)]
    precisions = Precisions(kind)
    precisions.add(seen[0], seen, None)
    assert precisions.label_metrics() == {}
    return precisions.agreement_metrics()


def test_a_mask_by_hand():
    """Prototypes of 4 x 4 pixels for an input of 8 x 16: x from 2 to 6 are the columns 1 and 2."""
    left = np.array([[1, 1, -1, -1]] * 4, np.float32)
    top = np.array([[1] * 4, [1] * 4, [-1] * 4, [-1] * 4], np.float32)
    found = detections((2, 0, 6, 16), (0, 0, 8, 16), masks=np.array([[0, 1], [-2, 1]], np.float32))
    masks = instance_masks(found, np.stack([left, top])[None], (16, 8))
    assert masks.shape == (2, 4, 4)
    assert np.argwhere(masks[0]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]  # the upper half, inside the box
    assert np.argwhere(masks[1]).tolist() == [[line, column] for line in range(4) for column in (2, 3)]


def decoded(codes):
    return [mask.decode(code).astype(bool) for code in codes]


def test_a_mask_in_the_picture_by_hand():
    """A picture of 8 x 4 lies doubled in an input of 16 x 16, from line 4 on; prototypes have 4 pixels a side.

    Their middles are at 2, 6, 10, 14 of the input, so the picture's columns are at -.25, .25, .75, ... of them. With
    +1 and -3 in neighbouring columns the sum is 0 at a quarter of the way: at 1.25, just where the fourth column is.
    """
    prototypes = np.tile(np.array([1, 1, -3, -3], np.float32), (4, 1))[None, None]
    placement = Placement((4, 8), (8, 16), 4, 0)
    whole, part = (0, 4, 16, 12), (1.1, 5, 16, 8.9)
    found = detections(whole, part, masks=np.ones((2, 1), np.float32))
    first, second = decoded(picture_masks(found, prototypes, (16, 16), placement))
    assert first.shape == (4, 8)
    assert first.tolist() == [[True] * 3 + [False] * 5] * 4
    # the box is 0.55 to 8 and 0.5 to 2.45 in the picture: the middles of columns from 1 on, of lines 0 and 1
    assert np.argwhere(second).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


@pytest.mark.parametrize(
    "placement",
    [
        Placement((48, 64), (96, 128), 16, 0),  # letterbox, centred, the picture smaller than the input
        Placement((300, 200), (128, 85), 0, 21),  # the picture larger, its sides rounded each for itself
        Placement((90, 90), (160, 160), -16, -16),  # cut: the picture is larger than what the network sees
    ],
)
def test_masks_in_the_picture_are_those_that_a_warp_gives(placement):
    """OpenCV interpolates too, with 32 steps between two pixels: masks differ at a few pixels of the border."""
    rng = np.random.default_rng(5)
    prototypes = cv2.GaussianBlur(rng.normal(size=(32, 32, 6)).astype(np.float32), (0, 0), 3).transpose(2, 0, 1)[None]
    found = detections((-9, -9, 200, 200), (20, 30.5, 90, 88), masks=rng.normal(size=(2, 6)).astype(np.float32))
    (height, width), across, down = placement.picture, placement.scaled[1], placement.scaled[0]
    sums = np.tensordot(found.masks, prototypes[0], 1)
    for code, values, box in zip(
        picture_masks(found, prototypes, (128, 128), placement), sums, placement.to_picture(found.boxes), strict=True
    ):
        x = ((np.arange(width) + 0.5) * across / width + placement.left) / 4 - 0.5
        y = ((np.arange(height) + 0.5) * down / height + placement.top) / 4 - 0.5
        grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        expected = cv2.remap(values, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0
        columns, lines = np.arange(width) + 0.5, np.arange(height) + 0.5
        expected &= ((columns >= box[0]) & (columns < box[2])) & ((lines >= box[1]) & (lines < box[3]))[:, None]
        actual = mask.decode(code).astype(bool)
        assert expected.any()
        assert (actual != expected).sum() <= 0.01 * expected.sum()


def test_prototypes_of_one_pixel_are_the_same_everywhere():
    found = detections((0, 0, 8, 8), masks=np.ones((1, 1), np.float32))
    (code,) = picture_masks(found, np.ones((1, 1, 1, 1), np.float32), (8, 8), Placement((3, 5), (8, 8), 0, 0))
    assert mask.decode(code).all()


def test_masks_agree_with_themselves_and_not_with_their_opposite():
    prototypes = {"protos": np.where(np.eye(8, dtype=bool), 1, -1).astype(np.float32)[None, None]}
    whole = (0, 0, 64, 64)
    one, opposite = (detections(whole, masks=np.array([[sign]], np.float32)) for sign in (1, -1))
    for other, expected in ((one, 1), (opposite, 0)):
        assert agreement(MaskShapes(Prototypes("protos", 64, 64)), one, other, prototypes) == {
            "mask_agreement": pytest.approx(expected),
            "mask_agreement_map": pytest.approx(expected),
        }


def test_an_object_too_small_for_a_mask_is_not_compared():
    """Half a pixel of the prototypes, between two of them; both networks see it, and the large one."""
    prototypes = {"protos": np.ones((1, 1, 8, 8), np.float32)}
    found = detections((0, 0, 64, 64), (9, 9, 13, 13), masks=np.ones((2, 1), np.float32))
    metrics = agreement(MaskShapes(Prototypes("protos", 64, 64)), found, found, prototypes)
    assert metrics["mask_agreement_map"] == pytest.approx(1)


def test_key_points_are_compared_in_the_picture():
    """A similarity of exp(-d^2 / (8 * area)): .88, enough at .5 to .85; in a picture 20 times as wide .08."""
    points = np.array([[[10, 10, 1]]], np.float32)
    box = (0, 0, 20, 20)
    one, other = (detections(box, keypoints=points + np.array([x, 0, 0], np.float32)) for x in (0, 20))
    for width, expected in ((64, 0.8), (1280, 0)):
        placement = Placement((64, width), (64, 64), 0, 0)
        metrics = agreement(KeyPointShapes(), one, other, placement=placement)
        assert metrics["keypoint_agreement_map"] == pytest.approx(expected)


def test_a_point_that_the_float_network_hardly_sees_need_not_be_found():
    points = np.array([[[10, 10, 0.6], [400, 10, 0.4]]], np.float32)
    box = (0, 0, 20, 20)
    one, other = detections(box, keypoints=points), detections(box, keypoints=points * [1, 1, 0])
    moved = detections(box, keypoints=points + np.array([[0, 0, 0], [200, 0, 0]], np.float32))
    for found in (other, moved):
        assert agreement(KeyPointShapes(), one, found)["keypoint_agreement_map"] == pytest.approx(1)
    moved = detections(box, keypoints=points + np.array([[200, 0, 0], [0, 0, 0]], np.float32))
    assert agreement(KeyPointShapes(), one, moved)["keypoint_agreement_map"] == 0


def test_a_point_that_is_no_number_is_far_away():
    points = np.array([[[10, 10, 1]]], np.float32)
    one, broken = (detections((0, 0, 20, 20), keypoints=each) for each in (points, points * np.float32("nan")))
    assert agreement(KeyPointShapes(), one, broken)["keypoint_agreement_map"] == 0


def test_of_labelled_poses_twenty_a_picture_count():
    """Recall ends at 20 of 21: 96 of COCO's 101 recalls are not above it."""
    points = np.arange(21, dtype=np.float32)[:, None, None] * [500, 0, 0] + [0, 0, 1]
    seen = Seen(detections(*[(0, 0, 9, 9)] * 21, keypoints=points.astype(np.float32)), {}, None)
    kind = KeyPointShapes()
    truth, found = [kind.shown(seen)], [kind.found(seen)]
    assert kind.evaluate(truth, found).mean() == pytest.approx(96 / 101)
    assert kind.evaluate_agreement(truth, found).mean() == pytest.approx(1)


def test_labels_serve_for_masks_if_every_object_has_one():
    kind = MaskShapes(Prototypes("protos", 64, 64))
    code = mask_of_window(np.ones((2, 2), bool), 0, 0, 4, 4)
    boxes, classes = np.zeros((2, 4)), np.zeros(2, np.int64)
    whole, part = (replace(Objects.of_boxes(boxes, classes), masks=(code, each)) for each in (code, None))
    assert kind.lacking([whole, whole]) is None
    assert kind.lacking([whole, part]) == "1 of 4 labelled objects have a box and no mask: no mAP of masks"


def test_labels_serve_for_key_points_if_there_are_as_many():
    objects = Objects.of_boxes(np.zeros((2, 4)), np.zeros(2, np.int64))
    fitting = replace(objects, keypoints=np.zeros((2, 1, 3)), keypoint_counts=np.array([0, 1]))
    empty = replace(fitting, keypoint_counts=np.zeros(2, np.int64))
    kind = KeyPointShapes()
    assert kind.lacking([fitting, empty]) is None
    assert kind.lacking([empty]) == "none of 2 labelled objects has key points: no mAP of key points"
    assert kind.lacking([fitting, objects]).startswith("objects of 1 pictures have more or fewer key points than the")


def test_a_detector_gives_the_shapes_of_its_head():
    boxes = Detector(lambda _: detections(), False, 0.3, 0.6, "YOLOX-like")
    assert [kind.prefix for kind in shape_kinds(boxes)] == [""]
    both = Detector(lambda _: detections(), False, 0.3, 0.6, "YOLOv8-like", Prototypes("protos", 64, 64), keypoints=5)
    assert [kind.prefix for kind in shape_kinds(both)] == ["", "mask_", "keypoint_"]
