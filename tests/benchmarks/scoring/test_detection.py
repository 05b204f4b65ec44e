from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.scoring.detection import Boxes, decode, mean_average_precision, precisions, read_labels, suppress
from stages.core.base.errors import UserError

ANCHORS = 52 * 52 + 26 * 26 + 13 * 13
FINEST_ROW = 52


def boxes(*rows: tuple[float, float, float, float, int, float]) -> Boxes:
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 6)
    return Boxes(values[:, :4], values[:, 4].astype(np.int64), values[:, 5])


def raw() -> np.ndarray:
    return np.zeros((ANCHORS, 5 + 80), dtype=np.float32)


def test_decode_by_hand() -> None:
    output = raw()
    # finest grid (stride 8), row 2, column 3: centre (3.5 * 8, 2.25 * 8) = (28, 18), size (16, 8)
    output[2 * FINEST_ROW + 3, :5] = 0.5, 0.25, np.log(2), 0, 0.5
    output[2 * FINEST_ROW + 3, 5 + 7] = 0.5
    # coarsest grid (stride 32), row 1, column 0: centre (0, 32), size (32, 64)
    coarse = 52 * 52 + 26 * 26 + 13
    output[coarse, :5] = 0, 0, 0, np.log(2), 1
    output[coarse, 5:7] = 0.125, 0.75
    decoded = decode(output)
    np.testing.assert_allclose(decoded.corners, [[20, 14, 36, 22], [-16, 0, 16, 64]], atol=1e-5)
    assert decoded.classes.tolist() == [7, 1]
    np.testing.assert_allclose(decoded.scores, [0.25, 0.75])


def test_decode_needs_more_than_the_confidence() -> None:
    output = raw()
    output[:2, 4] = 1
    output[0, 5], output[1, 5] = 0.0099, 0.0101
    assert decode(output).scores.tolist() == pytest.approx([0.0101])


def test_suppression_is_class_wise() -> None:
    # the second overlaps the first by 8 / 12 = .667, the third by 6 / 14 = .43; the fourth is of another class
    overlapping = boxes((0, 0, 10, 1, 3, 0.9), (2, 0, 12, 1, 3, 0.8), (4, 0, 14, 1, 3, 0.7), (0, 0, 10, 1, 4, 0.95))
    kept = suppress(overlapping, 0.5)
    assert kept.scores.tolist() == [0.95, 0.9, 0.7]
    assert kept.corners.tolist() == [[0, 0, 20, 2], [0, 0, 20, 2], [8, 0, 28, 2]]
    assert kept.classes.tolist() == [4, 3, 3]


def test_an_enormous_box_does_not_merge_classes() -> None:
    overlapping = boxes((0, 0, 1e30, 1e30, 0, 0.5), (0, 0, 10, 10, 1, 0.9), (0, 0, 10, 10, 2, 0.8))
    assert suppress(overlapping, 1).classes.tolist() == [1, 2, 0]


def test_a_hundred_boxes_at_most() -> None:
    apart = boxes(*((20 * n, 0, 20 * n + 10, 10, 0, 0.1 + 0.005 * n) for n in range(120)))
    kept = suppress(apart, 1)
    assert len(kept.scores) == 100
    assert kept.scores.min() == pytest.approx(0.1 + 0.005 * 20)


def test_no_boxes() -> None:
    kept = suppress(boxes(), 1)
    assert kept.corners.shape == (0, 4)


def test_labels_are_relative_centres(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("45 0.5 0.25 0.5 0.5\n\n0 1 1 0.25 0.5\n")
    labelled = read_labels(file, height=100, width=200)
    assert labelled.corners.tolist() == [[50, 0, 150, 50], [175, 75, 225, 125]]
    assert labelled.classes.tolist() == [45, 0]


def test_a_picture_without_labels(tmp_path: Path) -> None:
    assert read_labels(tmp_path / "none.txt", 10, 10).corners.shape == (0, 4)


def test_labels_that_are_not_five_numbers(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("45 0.5 0.25 0.5\n")
    with pytest.raises(UserError, match="five numbers"):
        read_labels(file, 10, 10)


def test_mean_average_precision_by_hand() -> None:
    labelled = [boxes((0, 0, 10, 10, 0, 1)), boxes((0, 0, 10, 10, 1, 1), (50, 50, 60, 60, 1, 1))]
    # class 0: its box exact, AP 1 at every IoU. Class 1: one of two boxes found, at IoU .72 (9.0 * 8 / 100), so half of
    # the recall (51 of the 101 points) at full precision up to IoU .7, and nothing from .75 on
    predicted = [boxes((0, 0, 10, 10, 0, 0.3)), boxes((0, 0, 9, 8, 1, 0.9))]
    overall, at_half = mean_average_precision(predicted, labelled)
    half = 51 / 101
    assert at_half == pytest.approx((1 + half) / 2)
    assert overall == pytest.approx((1 + half * 5 / 10) / 2)


def test_false_boxes_cost_precision_whatever_their_size() -> None:
    labelled = [boxes((0, 0, 10, 10, 0, 1))]
    predicted = [boxes((0, 0, 1e12, 1e12, 0, 0.9), (0, 0, 10, 10, 0, 0.8))]
    assert mean_average_precision(predicted, labelled) == pytest.approx((0.5, 0.5))


def test_no_predictions_have_no_precision() -> None:
    assert mean_average_precision([boxes()], [boxes((0, 0, 10, 10, 0, 1))]) == (0, 0)


def test_a_class_that_is_not_labelled_does_not_count() -> None:
    labelled = [boxes((0, 0, 10, 10, 0, 1))]
    predicted = [boxes((0, 0, 10, 10, 0, 0.5), (0, 0, 10, 10, 1, 0.9))]
    assert mean_average_precision(predicted, labelled) == pytest.approx((1, 1))


def test_raw_outputs_to_precisions(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "coco_train128" / "labels").mkdir(parents=True)
    picture = tmp_path / "images" / "a.png"
    # 208 high, 832 wide: half size inside the input
    cv2.imwrite(str(picture), np.zeros((208, 832, 3), dtype=np.uint8))
    # the box of test_decode_by_hand's first anchor, (20, 14, 36, 22), is (40, 28, 72, 44) in the picture
    line = f"7 {56 / 832} {36 / 208} {32 / 832} {16 / 208}\n"
    (tmp_path / "coco_train128" / "labels" / "a.txt").write_text(line)
    output = raw()
    output[2 * FINEST_ROW + 3, :5] = 0.5, 0.25, np.log(2), 0, 0.5
    output[2 * FINEST_ROW + 3, 5 + 7] = 0.5
    assert precisions(output[np.newaxis], [picture], tmp_path) == pytest.approx({"map": 1.0, "map50": 1.0})


def test_pictures_without_any_label(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(UserError, match="no label of any of the 1 pictures"):
        precisions(raw()[np.newaxis], [picture], tmp_path)
