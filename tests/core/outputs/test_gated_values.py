"""Values that count only where something is found; numbers are worked out by hand."""

import numpy as np
import pytest

from stages.core.outputs.output_judge import Level, OutputJudge
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import OutputParts

PLACES = 100
FOUND_A_PICTURE = 3


def pictures(count, *, boxes_shift=0.0, noise=0.0, score=0.9, as_map=False):
    """Scores and 4 coordinates of each place; in 3 places of a picture something is found."""
    made = []
    for number in range(count):
        scores, boxes = np.full((PLACES, 1), 0.01), np.full((PLACES, 4), noise * (-1) ** number)
        for index in range(FOUND_A_PICTURE):
            place = (7 * number + 13 * index) % PLACES
            scores[place], boxes[place] = score, 10.0 + (-1) ** number + boxes_shift
        values = {"scores": scores, "boxes": boxes}
        if as_map:
            values = {name: value.T.reshape(1, -1, 10, 10) for name, value in values.items()}
        else:
            values = {name: value[None] for name, value in values.items()}
        made.append({name: value.astype(np.float32) for name, value in values.items()})
    return made


def judged(expected, actual, known=None, side=64):
    parts = {name: OutputParts.whole(values.size) for name, values in expected[0].items()}
    judge = OutputJudge(parts, known, side)
    for values, others in zip(expected, actual, strict=True):
        judge.add(values, others)
    return {each.output: each for each in judge.judgements()}


@pytest.mark.parametrize("as_map", [False, True])
def test_where_nothing_is_found_an_error_is_no_matter(as_map):
    """Of all places the error would be many times the variation of what is found."""
    boxes = judged(pictures(4, as_map=as_map), pictures(4, noise=50.0, as_map=as_map))["boxes"]
    assert (boxes.kind, boxes.found, boxes.level, boxes.fidelity) == (OutputKind.values, 12, Level.good, 1.0)


def test_where_something_is_found_an_error_counts():
    """The coordinates found are 11 and 9 by turns: a deviation of 1. An error of 0.6 leaves sqrt(1 - 0.36)."""
    boxes = judged(pictures(4), pictures(4, boxes_shift=0.6))["boxes"]
    assert (boxes.level, boxes.fidelity) == (Level.look, pytest.approx(0.8, abs=1e-6))
    assert (boxes.worst.deviation, boxes.worst.values, boxes.to_json()["found"]) == (pytest.approx(1.0), 48, 12)


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        (pictures(3), None),  # something is found in 9 places
        (pictures(4, score=0.4), None),  # in none
        (pictures(4), {"boxes": OutputKind.head, "scores": OutputKind.head}),
        ([{**each, "others": each["scores"]} for each in pictures(4)], None),  # which score is it?
    ],
)
def test_else_all_places_count(expected, known):
    actual = [{**each, "boxes": each["boxes"] + 100.0 * (each["boxes"] == 0)} for each in expected]
    boxes = judged(expected, actual, known)["boxes"]
    assert (boxes.found, boxes.fidelity) == (None, 0.0)


@pytest.mark.parametrize("in_picture", [True, False])
def test_a_row_of_values_counts_where_a_row_of_probabilities_finds_something(in_picture):
    """A pitch of each step beside how sure it is. By its shape alone it would be class scores."""
    sure = [{name: values.max(axis=2) for name, values in each.items()} for each in pictures(4)]
    noise = [{name: values.max(axis=2) for name, values in each.items()} for each in pictures(4, noise=50.0)]
    pitch = judged(sure, noise, side=64 * in_picture)["boxes"]
    assert (pitch.kind, pitch.found, pitch.level, pitch.fidelity) == (OutputKind.values, 12, Level.good, 1.0)


def test_of_two_outputs_that_find_something_neither_tells():
    both = [{**each, "others": each["scores"][..., 0]} for each in pictures(4)]
    assert judged(both, both)["boxes"].found is None
    coarse = [{**each, "others": 100.0 * each["boxes"][..., 0]} for each in pictures(4)]
    assert judged(coarse, coarse)["boxes"].found == 12  # coordinates find nothing


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_number_counts_in_all_places():
    actual = pictures(4)
    actual[0]["boxes"][0, 99, 0] = np.nan
    assert judged(pictures(4), actual)["boxes"].level is Level.broken
