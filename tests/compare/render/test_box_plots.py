import re

import pytest

from stages.compare.render.box_plots import agreement_plot, score_plot
from tests.compare.detected import detections, observed, picture, row
from tests.compare.render.svg import texts


def test_scores_of_the_same_boxes():
    """Two in both, one of them below the threshold in one; one lost, two invented."""
    quantized = detections((0, 0.9, 0), (1, 0.3, 0), (5, 0.8, 0), (6, 0.8, 0))
    said = texts(score_plot(observed(picture(row(3), quantized))))
    assert {"both (2)", "lost (1)", "invented (2)"} <= set(said)


def test_the_same_boxes_agree_wholly():
    said = texts(agreement_plot(observed(picture(row(4), row(4)), picture(row(0), row(0)))))
    assert {"overlap 0.5 (mean 1.000)", "overlap 0.75 (mean 1.000)"} <= set(said)


def test_half_of_the_boxes():
    """Recall reaches a half at precision 1: 51 of COCO's 101 points."""
    said = texts(agreement_plot(observed(picture(row(4), row(2)))))
    assert f"overlap 0.5 (mean {51 / 101:.3f})" in said


def test_classes_that_only_the_quantized_network_has_are_left_out():
    quantized = detections((0, 0.8, 0), (3, 0.9, 7))
    said = texts(agreement_plot(observed(picture(row(1), quantized))))
    assert "overlap 0.5 (mean 1.000)" in said


@pytest.mark.parametrize("plot", [score_plot, agreement_plot])
def test_the_same_text_twice_without_a_date(plot):
    boxes = observed(picture(row(3), row(2)))
    assert plot(boxes) == plot(boxes)
    assert not re.search(r"\d{4}-\d{2}-\d{2}", plot(boxes))
