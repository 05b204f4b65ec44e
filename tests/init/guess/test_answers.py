"""Expected values by hand."""

import numpy as np
import pytest

from stages.core.heads.detections import Detections
from stages.init.guess.answers import are_values, box_information, information, shifted, thinned, thinning_stride


def rows(*scores):
    """Pairs of equal outputs, one a picture."""
    arrays = [np.array([each], np.float32) for each in scores]
    return [({"y": one}, {"y": one}) for one in arrays]


def test_two_sure_classes_that_stay_are_log_two():
    assert information(rows([1, 0], [0, 1]), {"y": 8}) == pytest.approx(np.log(2))


def test_the_same_answer_to_everything_says_nothing():
    assert information(rows([1, 0], [1, 0], [1, 0]), {"y": 8}) == 0.0
    assert information(rows([0.5, 0.5], [0.5, 0.5]), {"y": 8}) == pytest.approx(0.0, abs=1e-12)


def test_answers_that_a_shift_exchanges_at_random_say_nothing():
    one, other = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    pairs = [({"y": a}, {"y": b}) for a in (one, other) for b in (one, other)]
    assert information(pairs, {"y": 8}) == pytest.approx(0.0, abs=1e-12)


def test_logits_count_by_their_softmax():
    logits = [[2.0, -2.0], [-2.0, 2.0]]
    p = 1 / (1 + np.exp(-4.0))
    joint = np.array([[p * p + (1 - p) ** 2, 2 * p * (1 - p)], [2 * p * (1 - p), p * p + (1 - p) ** 2]]) / 2
    assert information(rows(*logits), {"y": 8}) == pytest.approx((joint * np.log(joint / 0.25)).sum())


def test_values_count_by_their_correlation():
    first, second = [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]  # correlation 1/2
    pairs = [({"y": np.float32([[[a]]])}, {"y": np.float32([[[b]]])}) for a, b in zip(first, second, strict=True)]
    assert information(pairs, {"y": 8}) == pytest.approx(-0.5 * np.log(0.75))


def test_what_is_not_finite_says_nothing():
    assert information(rows([np.nan, 0], [0, 1]), {"y": 8}) == 0.0


def test_a_shift_repeats_the_border():
    picture = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    assert shifted(picture)[..., 0].tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]
    assert (shifted(np.full((480, 640, 3), 7, np.uint8)) == 7).all()
    wide = np.zeros((480, 480, 1), np.uint8)
    wide[0, 0] = 9
    assert (shifted(wide) == 9).sum() == 16  # by 3 pixels, the first row and column repeated


def boxes(*scored):
    corners = np.array([[x, 0, x + 10, 10] for x, _ in scored], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in scored], np.float32)
    return Detections(corners, scores, np.zeros(len(scored), np.int64))


def test_boxes_that_stay_count_and_those_that_go_cost():
    steady = (boxes((0, 0.8), (50, 0.5)), boxes((0, 0.6), (90, 0.3)))
    assert box_information([steady]) == pytest.approx(0.6 / (0.6 + (0.5 + 0.3) / 2 + 0.1))


def test_a_detector_that_finds_nothing_is_not_steady():
    assert box_information([(boxes(), boxes())]) == 0.0
    assert box_information([]) == 0.0


@pytest.mark.parametrize(
    ("shape", "stride"), [([1, 3, 64, 64], 1), ([1, 3, 65, 20], 2), ([1, 3, 20, 640], 10), ([1, 1000], 1)]
)
def test_maps_are_thinned_to_64_rows_and_columns(shape, stride):
    values = np.zeros(shape, np.float32)
    assert thinning_stride(shape) == stride
    kept = thinned(values, stride).shape
    assert kept[:2] == values.shape[:2]
    assert max(kept[2:], default=0) <= 64


def test_pixels_of_a_map_count_together():
    """Half of the pixels are surely one thing and half another, in all pictures alike: log 2."""
    scores = np.zeros((1, 2, 8, 8), np.float32)
    scores[:, 0, :4], scores[:, 1, 4:] = 1.0, 1.0
    pairs = [({"y": scores}, {"y": scores})] * 3
    assert information(pairs, {"y": 8}) == pytest.approx(np.log(2))
    heat = scores[:, :1]
    assert information([({"y": heat}, {"y": heat})] * 3, {"y": 8}) == pytest.approx(np.log(2))


def test_coordinates_are_values_and_scores_are_none():
    rng = np.random.default_rng(0)
    scores = [({"y": each}, {"y": each}) for each in np.eye(4, dtype=np.float32)[:, None]]
    coordinates = [({"y": each}, {"y": each}) for each in rng.normal(20, 5, (12, 1, 9)).astype(np.float32)]
    assert not are_values(scores, {"y": 64})
    assert are_values(coordinates, {"y": 64})
