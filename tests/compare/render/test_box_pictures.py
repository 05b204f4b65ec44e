"""Boxes on pictures; colours are looked at where lines must be."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages.compare.render.box_figures import pair_caption
from stages.compare.render.box_pictures import ShownPicture, box_sheet, jpeg_bytes, side_picture
from stages.core.config.schema import Color
from stages.core.data.preprocess import Placement
from tests.compare.detected import detections, picture, row

GREY = np.full((100, 300, 3), 128, np.uint8)
BLUE, RED, ORANGE = (235, 111, 31), (55, 60, 201), (0, 76, 188)  # BGR
TOLERANCE = 70


def shown(boxes, pixels=GREY, color=Color.RGB):
    return ShownPicture(pixels, color, boxes)


def pixels_of(text):
    assert text.startswith("data:image/jpeg;base64,")
    return cv2.imdecode(np.frombuffer(jpeg_bytes(text), np.uint8), cv2.IMREAD_COLOR)


def near(pixels, colour):
    return (np.abs(pixels.astype(int) - colour).max(axis=-1) < TOLERANCE).mean()


def middle(pixels, place):
    """The lower edge of the box in a place, where no label lies; [36, BGR]."""
    return pixels[40, 50 * place + 2 : 50 * place + 38]


def test_what_both_have_is_solid_and_what_one_has_alone_is_broken():
    boxes = picture(row([0, 1]), row([0, 3]))
    reference, quantized = (pixels_of(side_picture(shown(boxes), side)) for side in (False, True))
    for side in (reference, quantized):
        assert near(middle(side, 0), BLUE) > 0.9
    assert 0.3 < near(middle(reference, 1), RED) < 0.9
    assert 0.2 < near(middle(quantized, 3), ORANGE) < 0.9
    for side, places in ((reference, (2, 3)), (quantized, (1, 2))):
        for place in places:
            assert np.abs(middle(side, place).astype(int) - 128).max() < 20


def test_a_box_that_fell_below_the_threshold_is_drawn_where_the_other_has_it():
    boxes = picture(row([0, 1]), detections((0, 0.8, 0), (1, 0.3, 0), (2, 0.3, 0)))
    quantized = pixels_of(side_picture(shown(boxes), True))
    blue, _, red = middle(quantized, 1).astype(int).T
    assert (blue - red > 25).mean() > 0.9  # thin, so that JPEG blurs its colour
    assert np.abs(middle(quantized, 2).astype(int) - 128).max() < 20
    assert near(middle(pixels_of(side_picture(shown(boxes), False)), 1), BLUE) > 0.9


def test_a_score_below_the_threshold_does_not_look_like_one_that_reaches_it():
    # 0.598 would be written 0.60, where 0.6 is the threshold
    near_threshold, low = (
        replace(picture(row([0]), detections((0, score, 0))), threshold=0.6) for score in (0.598, 0.591)
    )
    assert side_picture(shown(near_threshold), True) == side_picture(shown(low), True)


@pytest.mark.parametrize(
    ("reference", "quantized", "caption"),
    [
        (row(3), row(3), "a.jpg: boxes 3 float, 3 quantized"),
        (row(3), row([1, 2, 5]), "a.jpg: boxes 3 float, 3 quantized; 1 lost, 1 invented"),
        # from 0.4 on a box is shown, from 0.2 on it is not lost
        (row(2), detections((0, 0.8, 0), (1, 0.3, 0)), "a.jpg: boxes 2 float, 1 quantized; 1 fainter when quantized"),
        (detections((0, 0.3, 0)), row(1), "a.jpg: boxes 0 float, 1 quantized; 1 fainter in float"),
    ],
)
def test_a_caption_accounts_for_all_boxes(reference, quantized, caption):
    assert pair_caption(picture(reference, quantized, name="photos/a.jpg")) == caption


def test_borders_are_cut_away_and_boxes_move_with_the_picture():
    pixels = np.full((100, 300, 3), 128, np.uint8)
    pixels[:20] = 255
    boxes = replace(picture(row([1]), row([1])), placement=Placement((80, 290), (80, 290), 20, 10))
    drawn = pixels_of(side_picture(shown(boxes, pixels), False))
    assert drawn.shape == (80, 290, 3)
    assert near(drawn[20, 50 + 2 - 10 : 50 + 38 - 10], BLUE) > 0.9  # y 40 - 20


@pytest.mark.parametrize(("color", "expected"), [(Color.RGB, (30, 20, 200)), (Color.BGR, (200, 20, 30))])
def test_colours_are_those_of_the_picture(color, expected):
    pixels = np.empty((100, 300, 3), np.uint8)
    pixels[:] = (200, 20, 30)
    drawn = pixels_of(side_picture(shown(picture(row(0), row(0)), pixels, color), False))
    assert np.abs(drawn[50, 150].astype(int) - expected).max() < 12


def test_grey_and_large_pictures():
    pixels = np.full((400, 1200, 1), 90, np.uint8)
    drawn = pixels_of(side_picture(shown(picture(row(0), row(0)), pixels, Color.GRAY), True))
    assert drawn.shape == (133, 400, 3)
    assert np.abs(drawn.astype(int) - 90).max() < 4


def test_boxes_far_outside_do_no_harm():
    far = detections((0, 0.9, 0), side=1e6)
    assert pixels_of(side_picture(shown(picture(far, far)), False)).shape == GREY.shape


def test_a_sheet_of_three_pictures_has_two_rows():
    sheet = pixels_of(box_sheet([shown(picture(row(1), row(1)))] * 3))
    assert sheet.shape == (2 * 106, 2 * (2 * 306 + 6), 3)


def test_the_same_bytes_twice():
    both = [side_picture(shown(picture(row(3), row(2))), True) for _ in range(2)]
    assert both[0] == both[1]
