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
        (OutputKind.segmentation, False, True),
        (OutputKind.number, False, False),
        (OutputKind.embedding, False, False),
        (OutputKind.waveform, False, False),
        (OutputKind.map, False, False),
        (OutputKind.state, False, False),
        (OutputKind.values, False, False),
    ],
)
def test_what_is_read_off_a_kind(kind, share, classes):
    assert (kind.is_share, kind.has_classes) == (share, classes)
