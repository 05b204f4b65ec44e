import cv2
import numpy as np

from benchmarks.detection.by_hand import _scale, _size


def test_a_picture_is_resized_to_whole_pixels() -> None:
    # 640 x 427 into 416: ratio .65, 277.55 lines become 278
    np.testing.assert_allclose(_scale(427, 640, exact=True), [0.65, 278 / 427] * 2)
    np.testing.assert_allclose(_scale(427, 640, exact=False), [0.65] * 4)


def test_the_size_of_a_picture(tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 5, 3), np.uint8))
    assert _size(tmp_path / "a.png") == (3, 5)
