"""Suppression against OpenCV's and against a plain loop."""

import cv2
import numpy as np
import pytest

from stages.core.heads.detections import Detections, Predictions
from stages.core.heads.nms import intersection_over_union, nms


def random_detections(count: int, classes: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 80, (count, 2))
    boxes = np.hstack([first, first + rng.uniform(5, 40, (count, 2))]).astype(np.float32)
    return Detections(boxes, rng.random(count, np.float32), rng.integers(0, classes, count))


def plain_nms(detections: Detections, threshold: float) -> list[int]:
    """Every pair by itself, as in the definition."""

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        common = max(width, 0) * max(height, 0)
        return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)

    kept: list[int] = []
    for i in sorted(range(len(detections)), key=lambda i: (-detections.scores[i], i)):
        rivals = [j for j in kept if detections.classes[j] == detections.classes[i]]
        if all(overlap(detections.boxes[j], detections.boxes[i]) <= threshold for j in rivals):
            kept.append(i)
    return kept


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [1, 3])
def test_as_a_plain_loop(seed: int, classes: int) -> None:
    detections = random_detections(150, classes, seed)
    kept, expected = nms(detections, 0.45), detections.select(np.array(plain_nms(detections, 0.45)))
    np.testing.assert_array_equal(kept.boxes, expected.boxes)
    np.testing.assert_array_equal(kept.classes, expected.classes)


@pytest.mark.parametrize("seed", range(5))
def test_as_opencv(seed: int) -> None:
    detections = random_detections(150, 4, seed)
    sizes = np.hstack([detections.boxes[:, :2], detections.boxes[:, 2:] - detections.boxes[:, :2]])
    index = cv2.dnn.NMSBoxesBatched(
        sizes.tolist(), detections.scores.tolist(), detections.classes.tolist(), score_threshold=0.2, nms_threshold=0.5
    )
    kept = nms(detections.above(0.2), 0.5)
    np.testing.assert_array_equal(np.sort(kept.scores), np.sort(detections.scores[np.array(index)]))


def test_of_equal_scores_the_earlier_row_is_kept() -> None:
    boxes = np.array([(0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)], np.float32)
    kept = nms(Detections(boxes, np.full(3, 0.5, np.float32), np.zeros(3, np.int64)), 0.5)
    np.testing.assert_array_equal(kept.boxes, boxes[[0, 2]])


def test_the_threshold_itself_does_not_suppress() -> None:
    boxes = np.array([(0, 0, 2, 1), (0, 0, 1, 1)], np.float32)  # overlap 1 / 2
    detections = Detections(boxes, np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64))
    assert len(nms(detections, 0.5)) == 2
    assert len(nms(detections, 0.49)) == 1


def test_at_most_so_many_the_best_first() -> None:
    detections = random_detections(100, 2, 0)
    every, best = nms(detections, 0.5), nms(detections, 0.5, max_detections=7)
    np.testing.assert_array_equal(best.scores, every.scores[:7])
    assert (np.diff(every.scores) <= 0).all()


def test_boxes_without_area_suppress_nothing() -> None:
    boxes = np.array([(5, 5, 5, 5), (5, 5, 5, 5), (0, 0, 10, 10)], np.float32)
    assert len(nms(Detections(boxes, np.ones(3, np.float32), np.zeros(3, np.int64)), 0.5)) == 3
    np.testing.assert_array_equal(intersection_over_union(boxes[0], boxes), 0)


def test_no_detection_stays_none() -> None:
    assert len(nms(random_detections(0, 1, 0), 0.5)) == 0


def test_rows_keep_what_belongs_to_them() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    scores = np.array([(0.1, 0.3), (0.5, 0.5), (0.9, 0.2)], np.float32)
    keypoints = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    best = Predictions(boxes, scores, keypoints, masks=boxes[:, :2]).best()
    np.testing.assert_array_equal(best.classes, [1, 0, 0])  # the first of equal ones
    certain = best.above(0.5)
    np.testing.assert_array_equal(certain.scores, np.array([0.5, 0.9], np.float32))
    np.testing.assert_array_equal(certain.keypoints, keypoints[1:])
    np.testing.assert_array_equal(certain.masks, boxes[1:, :2])
