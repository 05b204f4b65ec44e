"""What an output is, by its shape and its values."""

import numpy as np
import pytest

from stages.core.outputs.output_kind import OutputKind, ValueSummary, class_axis, kind_of

WAVE = np.sin(np.arange(160) / 4.0).reshape(1, 160)
"""Neighbours differ little, and its mean is near 0."""


def summary(*pictures):
    seen = ValueSummary()
    for values in pictures:
        seen.add(np.asarray(values, np.float32))
    return seen


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape)


def softmax(values, axis):
    powers = np.exp(values)
    return powers / powers.sum(axis=axis, keepdims=True)


def unit(values):
    return values / np.linalg.norm(values)


def shares(*shape):
    """Values in 0 .. 1 that add up to nothing in particular."""
    return np.random.default_rng(1).uniform(0.2, 0.9, shape)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((), None),
        ((5,), 0),
        ((1,), None),
        ((1, 10), 1),
        ((1, 1), None),
        ((1, 20, 7), 2),
        ((1, 4, 8, 8), 1),
        ((1, 1, 8, 8), None),
        ((1, 1, 1, 96), 3),
        ((1, 2, 3, 4, 5), None),
    ],
)
def test_class_axis(shape, axis):
    assert class_axis(shape) == axis


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (3.5, OutputKind.number),
        ([[-0.1]], OutputKind.number),
        ([[1.2]], OutputKind.number),
        ([[0.3]], OutputKind.probability),
        (shares(1, 10), OutputKind.probabilities),
        (softmax(noise(1, 10), 1), OutputKind.class_scores),
        (softmax(noise(1, 10, 1, 1), 1), OutputKind.class_scores),
        (noise(1, 10), OutputKind.class_scores),
        (noise(1, 10, 1, 1), OutputKind.class_scores),
        (noise(1, 1000), OutputKind.class_scores),
        (noise(1, 128), OutputKind.embedding),
        (unit(noise(1, 100)), OutputKind.embedding),
        (unit(noise(1, 15)), OutputKind.class_scores),
        (WAVE, OutputKind.waveform),
        (WAVE + 1, OutputKind.class_scores),  # one sign prevails
        (WAVE[:, :63], OutputKind.class_scores),
        (softmax(noise(1, 20, 5), 2), OutputKind.class_sequence),
        (softmax(noise(1, 4, 16, 16), 1), OutputKind.segmentation),
        (softmax(noise(1, 4, 2, 2), 1), OutputKind.segmentation),
        (shares(1, 1, 16, 16), OutputKind.heat_map),
        (shares(1, 17, 16, 16), OutputKind.heat_map),
        (shares(1, 17, 7, 7), OutputKind.probabilities),
        (noise(1, 1, 16, 16), OutputKind.map),
        (noise(1, 16, 16, 1), OutputKind.map),
        (noise(1, 5, 7, 7), OutputKind.values),  # a grid of features
        (noise(1, 100, 4), OutputKind.values),
        (noise(1, 100, 16), OutputKind.values),
        (unit(shares(1, 96)), OutputKind.embedding),  # none below 0, as behind a Relu
        (noise(20, 1, 37), OutputKind.values),  # no row of neighbours
        (noise(1, 512, 1), OutputKind.values),  # one value a place: no classes
    ],
)
def test_kinds(values, kind):
    assert kind_of(summary(values), own_variation=1.0) is kind


@pytest.mark.parametrize(
    ("shape", "input_side", "kind"),
    [
        ((1, 5, 16, 16), 64, OutputKind.segmentation),
        ((1, 5, 16, 16), 65, OutputKind.values),  # a grid of more than 4 pixels
        ((1, 5, 16, 16), 0, OutputKind.segmentation),
        ((1, 3, 16, 16), 16, OutputKind.values),  # a picture
        ((1, 512, 8, 8), 8, OutputKind.segmentation),
        ((1, 513, 8, 8), 8, OutputKind.values),
    ],
)
def test_scores_of_pixels_are_fine_and_of_few_channels(shape, input_side, kind):
    assert kind_of(summary(noise(*shape)), 1.0, input_side) is kind


def test_coordinates_that_all_pictures_share_are_no_class_scores():
    seen = summary(noise(1, 10))
    assert kind_of(seen, own_variation=0.19) is OutputKind.values
    assert kind_of(seen, own_variation=0.2) is OutputKind.class_scores


def test_without_pictures_a_row_of_values_is_told_no_further():
    assert kind_of(summary(noise(1, 96)), None) is OutputKind.row
    assert kind_of(summary(softmax(noise(1, 96), 1)), None) is OutputKind.class_scores


def test_one_picture_is_enough_to_tell_against_a_kind():
    distribution, scores = softmax(noise(1, 10), 1), noise(1, 10)
    assert kind_of(summary(distribution, scores), 1.0) is OutputKind.class_scores
    assert not summary(distribution, scores).probabilities_of_classes
    assert kind_of(summary(distribution, shares(1, 10)), 1.0) is OutputKind.probabilities
    assert kind_of(summary([[0.5]], [[7.0]]), 1.0) is OutputKind.number
    assert kind_of(summary(unit(noise(1, 100)), noise(1, 100)), 1.0) is OutputKind.class_scores
    assert kind_of(summary(WAVE, noise(1, 160)), 1.0) is OutputKind.class_scores


@pytest.mark.parametrize(
    ("scale", "distribution"),
    [(1.009, True), (0.991, True), (1.011, False), (0.989, False)],
)
def test_rows_of_float16_still_add_up(scale, distribution):
    values = softmax(noise(1, 4, 3), 2)
    assert summary(values * scale).probabilities_of_classes == distribution


@pytest.mark.parametrize(("low", "high", "inside"), [(-0.0009, 1.0009, True), (-0.0011, 1, False), (0, 1.0011, False)])
def test_unit_range_is_left_by_more_than_rounding(low, high, inside):
    assert summary([low, high]).in_unit_range == inside


def test_what_is_seen():
    seen = summary([[3.0, -4.0]], [[0.0, 1.0, 0.0]])
    assert (seen.shape, seen.low, seen.high, seen.norms) == ((1, 2), -4.0, 3.0, (1.0, 5.0))
    assert not seen.unit_length
    assert summary(unit(noise(1, 32))).unit_length


@pytest.mark.parametrize(
    ("kind", "share", "classes"),
    [
        (OutputKind.probability, True, False),
        (OutputKind.probabilities, True, False),
        (OutputKind.heat_map, True, False),
        (OutputKind.class_scores, False, True),
        (OutputKind.class_sequence, False, True),
        (OutputKind.class_rows, False, True),
        (OutputKind.segmentation, False, True),
        (OutputKind.number, False, False),
        (OutputKind.embedding, False, False),
        (OutputKind.logits, False, False),
        (OutputKind.waveform, False, False),
        (OutputKind.map, False, False),
        (OutputKind.state, False, False),
        (OutputKind.values, False, False),
    ],
)
def test_what_is_read_off_a_kind(kind, share, classes):
    assert (kind.is_share, kind.has_classes) == (share, classes)


# --- several rows, and places ---


def characters(*shape, height=9.0, seed=0, classes=None):
    """Noise of deviation 1 in which one class of each row stands out by `height`."""
    draw = np.random.default_rng(seed)
    values = draw.normal(0, 1, shape)
    rows = values.reshape(-1, shape[-1])
    rows[np.arange(len(rows)), draw.integers(0, classes or shape[-1], len(rows))] += height
    return values


@pytest.mark.parametrize(
    ("shape", "more", "kind"),
    [
        ((1, 4, 62), {}, OutputKind.class_rows),
        ((20, 1, 37), {}, OutputKind.class_rows),
        ((1, 4, 62), {"height": 0.0}, OutputKind.values),
        ((1, 4, 9), {}, OutputKind.values),  # coordinates as likely
        ((1, 4, 62), {"classes": 2}, OutputKind.values),  # two outlying channels
        ((1, 62), {}, OutputKind.class_scores),
    ],
)
def test_rows_of_class_scores_have_a_best_one_each(shape, more, kind):
    pictures = [characters(*shape, seed=seed, **more) for seed in range(8)]
    assert kind_of(summary(*pictures), 1.0) is kind


def test_the_same_best_classes_on_all_pictures_are_no_answers():
    assert kind_of(summary(*[characters(1, 4, 62)] * 8), own_variation=0.1) is OutputKind.values


@pytest.mark.parametrize(("count", "kind"), [(8, OutputKind.embedding), (7, OutputKind.class_scores)])
def test_a_row_of_which_nothing_ever_stands_out_is_an_embedding(count, kind):
    assert kind_of(summary(*[noise(1, 1, 1, 96, seed=seed) for seed in range(count)]), 1.0) is kind


@pytest.mark.parametrize(
    ("elements", "height", "kind"),
    [
        (15, 0.0, OutputKind.values),
        (15, 5.0, OutputKind.class_scores),
        (8, 0.0, OutputKind.values),
        (7, 0.0, OutputKind.class_scores),
    ],
)
def test_a_short_row_of_which_nothing_ever_stands_out_is_coordinates(elements, height, kind):
    pictures = [characters(1, elements, height=height, seed=seed) for seed in range(8)]
    for picture in pictures if not height else ():
        picture[:] = np.random.default_rng(int(1e6 * abs(picture[0, 0]))).permuted(np.linspace(0, 64, elements))
    assert kind_of(summary(*pictures), 1.0) is kind


def test_scores_that_lean_to_one_side_are_no_embedding():
    pictures = [np.random.default_rng(seed).exponential(1, (1, 100)) - 1 for seed in range(8)]
    assert kind_of(summary(*pictures), 1.0) is OutputKind.class_scores


def places(*shape, found=5, height=2.0, depth=4.0):
    values = -depth - np.abs(noise(*shape))
    values.reshape(-1)[:found] = height
    return values


@pytest.mark.parametrize(
    ("values", "side", "kind"),
    [
        (places(1, 512, 1), 128, OutputKind.logits),
        (places(1, 1, 16, 16), 64, OutputKind.logits),
        (places(1, 512, 1), 0, OutputKind.values),  # no picture has places
        (places(1, 512, 1, found=26), 128, OutputKind.values),  # more than one in 20
        (places(1, 512, 1, found=25), 128, OutputKind.logits),
        (places(1, 512, 1, height=-0.8), 128, OutputKind.logits),  # a probability of 0.31
        (places(1, 512, 1, height=-0.9), 128, OutputKind.values),
        (places(1, 512, 1, height=0.5, depth=0.0) * 0.1, 128, OutputKind.values),
        (places(1, 512, 2), 128, OutputKind.values),
        (places(1, 63, 1, found=3), 128, OutputKind.values),
    ],
)
def test_logits_of_places_are_seldom_above_0(values, side, kind):
    assert kind_of(summary(values), 1.0, side) is kind
