"""Boxes, scores and points of single cells, computed by hand from the papers' formulas."""

import math
from typing import Any

import numpy as np
import pytest

from stages.core.config.schema import DetectorKind
from stages.core.heads.families.anchors import AnchorHead
from stages.core.heads.families.cells import CellHead
from stages.core.heads.families.centers import CenterHead
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.families.fastestdet import FastestDetHead
from stages.core.heads.families.priors import PriorHead
from stages.core.heads.head import Head, Kind, Level, View, sigmoid, softmax

STRIDE, ROWS, COLUMNS = 8, 2, 3
COLUMN, LINE = 2, 1
"""The cell that has values; all others are 0."""
LN2, LN3 = math.log(2), math.log(3)


def head_of(family: type[Head], counts: dict[Kind, int], anchors: int = 1, sizes: Any = None, **options: Any) -> Head:
    """A head of one level whose kinds are joined in tensor `cut`."""
    views, first, width = {}, 0, sum(counts.values())
    for kind, count in counts.items():
        views[kind] = View("cut", first, count, width)
        first += count
    level = Level(STRIDE, ROWS, COLUMNS, views, tuple(sizes or ((STRIDE, STRIDE),) * anchors))
    return family(ROWS * STRIDE, COLUMNS * STRIDE, (level,), **options)


def predict(head: Head, values: list[float], anchor: int = 0) -> Any:
    """Predictions of the cell in which an anchor has these values."""
    level = head.levels[0]
    anchors, width = len(level.anchors), len(values)
    cut = np.zeros((1, anchors * width, ROWS, COLUMNS), np.float32)
    cut[0, anchor * width : (anchor + 1) * width, LINE, COLUMN] = values
    predictions = head.predict({"cut": cut})
    cell = LINE * COLUMNS + COLUMN
    row = cell * anchors + anchor if head.cells_first else anchor * ROWS * COLUMNS + cell
    points = None if predictions.keypoints is None else predictions.keypoints[row]
    return predictions.boxes[row], predictions.scores[row], points


def test_bins_are_the_mean_of_their_distribution() -> None:
    head = head_of(DistanceHead, {Kind.boxes: 16, Kind.classes: 1}, bins=4)
    certain = [[100.0 * (bin_ == distance) for bin_ in range(4)] for distance in (1, 2, 3)]
    halves = [100.0, 100.0, 0.0, 0.0]
    box, scores, _ = predict(head, [*certain[0], *certain[1], *certain[2], *halves, LN3])
    np.testing.assert_allclose(box, [20 - 8, 12 - 16, 20 + 24, 12 + 4], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.75], rtol=1e-6)


def test_scrfd_measures_from_the_cells_corner() -> None:
    counts = {Kind.boxes: 4, Kind.classes: 1, Kind.keypoints: 2}
    head = head_of(DistanceHead, counts, anchors=2, bins=1, point=0.0, keypoint_size=2)
    box, _, points = predict(head, [1, 0.5, 2, 1.5, 0, 0.25, -0.5], anchor=1)
    np.testing.assert_allclose(box, [16 - 8, 8 - 4, 16 + 16, 8 + 12])
    np.testing.assert_allclose(points, [[16 + 2, 8 - 4, 1]])


def test_pose_counts_double_from_the_cells_corner() -> None:
    counts = {Kind.boxes: 4, Kind.classes: 1, Kind.keypoints: 3}
    _, _, points = predict(head_of(DistanceHead, counts, keypoint_gain=2), [1, 1, 1, 1, 0, 0.5, 0.25, LN3])
    np.testing.assert_allclose(points, [[16 + 8, 8 + 4, 0.75]], rtol=1e-6)


def test_six_values_are_three_points_or_two_with_a_score() -> None:
    counts, values = {Kind.boxes: 4, Kind.classes: 1, Kind.keypoints: 6}, [1, 1, 1, 1, 0, 1, 2, 3, 4, 5, LN3]
    head = head_of(DistanceHead, counts, keypoint_gain=2, keypoint_size=2)
    np.testing.assert_allclose(predict(head, values)[2], [[32, 40, 1], [64, 72, 1], [96, 8 + 16 * LN3, 1]], rtol=1e-6)
    assert head.keypoint_count == 3
    head = head_of(DistanceHead, counts, keypoint_gain=2, keypoint_size=3)
    visible = 1 / (1 + math.exp(-3))
    np.testing.assert_allclose(predict(head, values)[2], [[32, 40, visible], [80, 88, 0.75]], rtol=1e-6)
    assert head.keypoint_count == 2


def test_yolov5_anchor() -> None:
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: 2}
    head = head_of(AnchorHead, counts, sizes=((10, 13), (16, 30)))
    box, scores, _ = predict(head, [0, LN3, 0, LN3, LN3, 0, LN3], anchor=1)
    x, y, width, height = (0.5 + 2) * 8, (1 + 1) * 8, 16, 2.25 * 30
    np.testing.assert_allclose(box, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], rtol=1e-5)
    np.testing.assert_allclose(scores, [0.75 * 0.5, 0.75 * 0.75], rtol=1e-6)
    assert head.kind == DetectorKind.yolov5.name


def test_yolov3_anchor() -> None:
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: 1}
    box, _, _ = predict(head_of(AnchorHead, counts, sizes=((10, 14),), exponential=True), [0, LN3, LN2, 0, 0, 0])
    np.testing.assert_allclose(box, [20 - 10, 14 - 7, 20 + 10, 14 + 7], rtol=1e-6)


def test_yolov5_face_points_are_parts_of_the_anchor() -> None:
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.keypoints: 4, Kind.classes: 1}
    _, _, points = predict(head_of(AnchorHead, counts, sizes=((10, 20),)), [0, 0, 0, 0, 0, 0.5, 1, -1, 0.25, 0])
    np.testing.assert_allclose(points, [[16 + 5, 8 + 20, 1], [16 - 10, 8 + 5, 1]])


def test_yolox_cell() -> None:
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: 2}
    head = head_of(CellHead, counts)
    box, scores, _ = predict(head, [0.25, 0.5, LN2, 0, LN3, 0, LN3])
    np.testing.assert_allclose(box, [18 - 8, 12 - 4, 18 + 8, 12 + 4], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.375, 0.5625], rtol=1e-6)
    assert head.kind == DetectorKind.yolox.name


def test_yunet_takes_the_root_and_has_points() -> None:
    counts = {Kind.boxes: 4, Kind.objectness: 1, Kind.classes: 1, Kind.keypoints: 2}
    _, scores, points = predict(head_of(CellHead, counts), [0, 0, 0, 0, LN3, 0, 0.5, -0.25])
    np.testing.assert_allclose(scores, [math.sqrt(0.375)], rtol=1e-6)
    np.testing.assert_allclose(points, [[16 + 4, 8 - 2, 1]])


def test_prior() -> None:
    counts = {Kind.boxes: 4, Kind.classes: 2, Kind.keypoints: 2}
    head = head_of(PriorHead, counts, sizes=((10, 20), (30, 40)))
    box, scores, points = predict(head, [1, -1, LN2 / 0.2, 0, 0, LN3, 2, 1], anchor=1)
    np.testing.assert_allclose(box, [23 - 30, 8 - 20, 23 + 30, 8 + 20], rtol=1e-5)
    np.testing.assert_allclose(scores, [0.75], rtol=1e-6)
    np.testing.assert_allclose(points, [[20 + 6, 12 + 4, 1]], rtol=1e-6)


def test_even_cells_end_with_the_picture() -> None:
    level = Level(8, 2, 2, {Kind.boxes: View("boxes", 0, 4, 4), Kind.classes: View("classes", 0, 2, 2)}, ((8, 8),))
    outputs = {"boxes": np.zeros((1, 4, 2, 2), np.float32), "classes": np.zeros((1, 2, 2, 2), np.float32)}
    boxes = PriorHead(12, 16, (level,), even=True).predict(outputs).boxes
    np.testing.assert_allclose(boxes[3], [12 - 4, 9 - 4, 12 + 4, 9 + 4])  # cells of 8 x 6 pixels
    boxes = PriorHead(12, 16, (level,), even=False).predict(outputs).boxes
    np.testing.assert_allclose(boxes[3], [12 - 4, 12 - 4, 12 + 4, 12 + 4])


def test_centre_point_has_y_first() -> None:
    counts = {Kind.classes: 1, Kind.sizes: 2, Kind.boxes: 2, Kind.keypoints: 2}
    box, scores, points = predict(head_of(CenterHead, counts), [LN3, LN2, 0, 0.5, 0.25, 0.5, 0.25])
    x, y, width, height = (2 + 0.25 + 0.5) * 8, (1 + 0.5 + 0.5) * 8, 8, 16
    np.testing.assert_allclose(box, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.75], rtol=1e-6)
    np.testing.assert_allclose(points, [[x - width / 2 + 2, y - height / 2 + 8, 1]], rtol=1e-6)


def test_fastestdet_cell() -> None:
    counts = {Kind.objectness: 1, Kind.boxes: 4, Kind.classes: 2}
    box, scores, _ = predict(head_of(FastestDetHead, counts), [LN3, math.atanh(0.5), 0, 0, LN3, 0, LN3])
    x, y, width, height = 2.5 * 8, 1 * 8, 24 / 2, 16 * 0.75
    np.testing.assert_allclose(box, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], rtol=1e-5)
    np.testing.assert_allclose(scores, [0.75**0.6 * 0.25**0.4, 0.75**0.6 * 0.75**0.4], rtol=1e-6)


def test_levels_follow_each_other_with_their_strides() -> None:
    levels = tuple(
        Level(
            stride,
            rows,
            rows,
            {Kind.boxes: View(f"b{stride}", 0, 4, 4), Kind.classes: View(f"c{stride}", 0, 1, 1)},
            ((1, 1),),
        )
        for stride, rows in ((8, 2), (16, 1))
    )
    head = DistanceHead(16, 16, levels)
    assert head.count == 5
    assert head.tensors == ["b8", "c8", "b16", "c16"]
    np.testing.assert_array_equal(head.strides.ravel(), [8, 8, 8, 8, 16])
    np.testing.assert_array_equal(head.cells, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 0)])


@pytest.mark.parametrize("x", [-200.0, -1.0, 0.0, 3.0, 200.0])
def test_sigmoid_does_not_overflow(x: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        result = sigmoid(np.array([x], np.float32))
    assert result.dtype == np.float32
    assert result[0] == pytest.approx(1 / (1 + math.exp(-x)) if x > -100 else 0, abs=1e-7)


def test_softmax_does_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_allclose(softmax(np.array([[200, 200 + LN3]], np.float32)), [[0.25, 0.75]], rtol=1e-4)
