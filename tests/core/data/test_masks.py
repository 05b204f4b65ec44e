"""Run-length codes: pycocotools decodes them to the masks that they were made of."""

import numpy as np
import pytest
from pycocotools import mask

from stages.core.data.masks import area, mask_of_polygons, mask_of_segmentation, mask_of_window

HEIGHT, WIDTH = 7, 9


@pytest.mark.parametrize(
    ("top", "left", "height", "width"), [(0, 0, 7, 9), (2, 3, 4, 5), (0, 4, 7, 2), (6, 8, 1, 1), (3, 3, 0, 4)]
)
def test_a_window_is_the_whole_picture_with_nothing_around_it(top, left, height, width):
    for density in (0, 0.5, 0.9, 1):
        picture = np.zeros((HEIGHT, WIDTH), np.uint8)
        window = np.random.default_rng(3).random((height, width)) < density
        picture[top : top + height, left : left + width] = window
        code = mask_of_window(window, top, left, HEIGHT, WIDTH)
        assert code == mask.encode(np.asfortranarray(picture))
        assert area(code) == window.sum()


def test_the_parts_of_a_polygon_are_one_mask():
    squares = [[0, 0, 2, 0, 2, 2, 0, 2], [4, 3, 7, 3, 7, 5, 4, 5]]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[0:2, 0:2] = expected[3:5, 4:7] = 1
    for code in (mask_of_polygons(squares, HEIGHT, WIDTH), mask_of_segmentation(squares, HEIGHT, WIDTH)):
        np.testing.assert_array_equal(mask.decode(code), expected)


def test_both_forms_of_a_code_are_read():
    # column by column: three empty pixels, two of the object, the rest
    counts = {"size": [HEIGHT, WIDTH], "counts": [3, 2, 58]}
    code = mask_of_segmentation(counts, HEIGHT, WIDTH)
    assert np.argwhere(mask.decode(code)).tolist() == [[3, 0], [4, 0]]
    text = {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}
    assert mask_of_segmentation(text, HEIGHT, WIDTH) == code


@pytest.mark.parametrize("nothing", [None, [], [[]], [[1, 2, 3, 4]]])
def test_what_has_no_area_is_no_mask(nothing):
    assert mask_of_segmentation(nothing, HEIGHT, WIDTH) is None


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([1, 2, 3, 4, 5, 6], "neither a list of polygons"),
        ("mask", "neither a list of polygons"),
        ([[1, 2, 3, 4, 5, 6, 7]], "is not x, y, x, y"),
        ([[1, 2, 3, 4, 5, float("nan")]], "is not x, y, x, y"),
        ([[1, 2, 3, 4, 5, 1e9]], "is not x, y, x, y"),
        ({"size": [9, 7], "counts": [3, 2, 58]}, r"`size` is \[9, 7\], height and width of the picture are \[7, 9\]"),
        ({"size": [7, 9], "counts": [3, 2, 57]}, "do not add up to the 63 pixels"),
        ({"size": [7, 9], "counts": [5, -2, 60]}, "do not add up"),
        ({"size": [7, 9], "counts": None}, "neither numbers nor a text"),
        ({"size": [7, 9], "counts": "0oooo0"}, "damaged"),
    ],
)
def test_what_is_no_segmentation_is_refused(segmentation, reason):
    with pytest.raises(ValueError, match=reason):
        mask_of_segmentation(segmentation, HEIGHT, WIDTH)
