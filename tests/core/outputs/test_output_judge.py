"""Levels of outputs by their kind, answers and error; numbers are worked out by hand."""

import json
import math

import numpy as np
import pytest

from stages.core.outputs.output_error import NetworkError
from stages.core.outputs.output_judge import Level, OutputJudge, OutputJudgement, fidelity_of
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import OutputParts
from stages.core.outputs.reading import may_be_logits

ALIKE = "the float network gives all of them the same class with like scores"
SAME = "the float network gives the same values for all of them"
SAME_CLASS = "the float network gives the same class throughout, so it finds nothing"


def judge(expected, actual, *, parts=None, known=None, sized=True, input_side=0):
    """The judgement of one output, `expected` and `actual` its values picture by picture."""
    expected, actual = ([np.asarray(values, np.float32) for values in side] for side in (expected, actual))
    logits = bool(input_side) and may_be_logits(expected[0].shape)
    whole = {"y": parts or OutputParts.whole(expected[0].size, logits)} if sized else {}
    judge = OutputJudge(whole, {"y": known} if known else None, input_side)
    for values, others in zip(expected, actual, strict=True):
        judge.add({"y": values}, {"y": others})
    (judgement,) = judge.judgements()
    return judgement


def one_hot(classes, count=4, height=1.0):
    """Scores of a class a picture, [1, count] each."""
    return [height * np.eye(count)[[each]] for each in classes]


def steps(classes, count=3):
    return np.eye(count)[list(classes)][None]


# --- one number ---


@pytest.mark.parametrize("constant", [10, 16])
def test_one_number_that_is_constant_after_quantizing_is_broken(constant):
    judged = judge([[[10]], [[12]], [[15]]], [[[constant]]] * 3)
    assert (judged.kind, judged.level, judged.fidelity) == (OutputKind.number, Level.broken, 0)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (0.1980, Level.good),  # of a deviation of 1: fidelity sqrt(1 - 0.0392)
        (0.2000, Level.look),
        (0.6610, Level.look),  # sqrt(1 - 0.4369) = 0.7504
        (0.6620, Level.broken),
    ],
)
def test_levels_of_one_number_by_its_error(error, level):
    judged = judge([[[9]], [[10]], [[11]]], [[[9 + error]], [[10 - error]], [[11 + error]]])
    assert judged.level is level
    assert judged.fidelity == pytest.approx(math.sqrt(1 - error**2), abs=1e-6)


def test_one_number_of_one_picture_shows_nothing():
    judged = judge([[[7]]], [[[7]]])
    assert (judged.level, judged.silent) == (Level.unjudged, "one number of one picture shows no variation")


def test_values_that_never_change_show_nothing():
    judged = judge([[[7]]] * 3, [[[6]]] * 3)
    assert (judged.level, judged.silent) == (Level.unjudged, SAME)


# --- probabilities ---


def test_a_probability_that_moves_by_half_is_not_good():
    judged = judge([[[0.95]], [[0.05]], [[0.9]], [[0.1]]], [[[0.47]], [[0.05]], [[0.9]], [[0.1]]])
    assert judged.kind is OutputKind.probability
    # squared error 0.2304 / 4 = 0.0576; variance (2 * 0.2025 + 2 * 0.16) / 3 = 0.2417
    assert judged.fidelity == pytest.approx(math.sqrt(1 - 0.0576 / 0.241667), abs=1e-4)
    assert judged.level is Level.look


def test_a_probability_that_hardly_varies_may_move_by_a_tenth():
    # the float network's deviation is 0.01: measured by that, an error of 0.015 were a loss of all
    judged = judge([[[0.90]], [[0.91]], [[0.92]]], [[[0.915]], [[0.925]], [[0.905]]])
    assert judged.fidelity == pytest.approx(math.sqrt(1 - 0.015**2 / 0.1**2), abs=1e-4)
    assert judged.level is Level.good


def test_many_probabilities_go_by_those_that_cross_one_half():
    rng = np.random.default_rng(0)
    expected = [np.where(rng.random((1, 10)) < 0.5, 0.05, 0.95) for _ in range(10)]
    assert judge(expected, expected).level is Level.good
    assert judge(expected, [1 - values for values in expected]).level is Level.broken
    nearer = [0.5 + (values - 0.5) * 0.3 for values in expected]  # 0.635 and 0.365: no answer changes
    judged = judge(expected, nearer)
    assert judged.fidelity < 0.85
    assert judged.level is Level.good


def test_a_heat_map_with_nothing_in_it_is_unjudged():
    empty = [np.full((1, 1, 8, 8), value) for value in (0.01, 0.02)]
    judged = judge(empty, [values + 0.2 for values in empty])
    assert (judged.kind, judged.level) == (OutputKind.heat_map, Level.unjudged)
    assert judged.silent == "the float network gives at most 0.02, so it finds nothing"
    assert fidelity_of([judged]) == 1.0


def test_a_heat_map_that_shows_something_after_quantizing_alone_is_judged():
    empty = [np.full((1, 1, 8, 8), value) for value in (0.01, 0.02)]
    judged = judge(empty, [np.full((1, 1, 8, 8), 0.9)] * 2)
    assert judged.silent == ""
    assert (judged.answers.count, judged.answers.changed) == (128, 128)
    assert judged.level is Level.broken


def test_a_heat_map_tolerates_changes_at_edges():
    """By the binomial of 32 places at 0.07: 6 or more come in 0.022 of cases, 5 in 0.070; at 0.05 5 in 0.021."""
    expected = np.full((1, 1, 8, 8), 0.05)
    expected[..., :4, :] = 0.9
    expected[..., 3, :] = 0.61
    for lost, left, level in (
        (5, 0.4, Level.good),
        (6, 0.4, Level.look),
        (5, 0.05, Level.look),
        (16, 0.05, Level.broken),
    ):
        actual = expected.copy()
        actual.reshape(-1)[32 - lost : 32] = left
        judged = judge([expected], [actual])
        assert (judged.answers.count, judged.answers.changed) == (32, lost)
        assert judged.level is level


# --- classes ---


def test_class_scores_go_by_best_classes_where_these_are_many():
    """By the binomial of 40 at a twentieth: 5 or more come in 0.048 of cases, 4 in 0.138."""
    classes = [number % 4 for number in range(40)]
    for changed, level in ((4, Level.good), (5, Level.look), (20, Level.broken)):
        others = [(each + 1) % 4 if place < changed else each for place, each in enumerate(classes)]
        judged = judge(one_hot(classes), one_hot(others))
        assert (judged.kind, judged.answers.changed) == (OutputKind.class_scores, changed)
        assert judged.level is level


def test_near_ties_are_no_changed_answers():
    expected = [[[1.0, 0.9, -1, -1]], [[-1, -1, 0.9, 1.0]]] * 20
    actual = [[[0.9, 1.0, -1, -1]], [[-1, -1, 1.0, 0.9]]] * 20
    judged = judge(expected, actual)
    assert judged.answers.changed == 0
    assert judged.level is Level.good


@pytest.mark.parametrize(
    ("classes", "scale", "others", "level"),
    [
        ([0, 1, 2, 3], 0.2, None, Level.broken),  # fewer than 5 answers: by the error
        ([0, 1, 2, 3], 0.75, None, Level.look),
        ([0, 1, 2, 3, 0, 1], 0.75, None, Level.good),  # more, and all stay: a fidelity of 0.95 will do
        ([0, 1, 2, 3, 0, 1], 1.0, None, Level.good),
        ([0, 1, 2, 3, 0, 1], 0.4, None, Level.look),  # the answers stay, the scores do not
        ([0, 1, 2, 3, 0, 1], 1.0, [1, 2, 3, 0, 1, 2], Level.broken),
    ],
)
def test_few_answers_go_by_the_error_too(classes, scale, others, level):
    # pictures of one class differ in the height of its score
    expected = [values * (1 + place / 10) for place, values in enumerate(one_hot(classes, height=4.0))]
    actual = one_hot(others, height=4.0) if others else [scale * values for values in expected]
    judged = judge(expected, actual)
    assert judged.kind is OutputKind.class_scores
    assert judged.level is level


def test_answers_of_one_class_alone_tell_nothing():
    rng = np.random.default_rng(0)
    expected = [np.array([[9, 0, 0, 0]]) + rng.normal(0, [[4, 1, 1, 1]]).clip(-3, 3) for _ in range(40)]
    judged = judge(expected, [np.array([[9, 0, 0, 0]])] * 40, known=OutputKind.class_scores)
    assert (judged.answers.count, judged.answers.changed, judged.answers.distinct) == (40, 0, 1)
    assert judged.level is Level.broken


def test_distributions_that_are_alike_for_all_pictures_show_nothing():
    expected = [[[0.97, 0.01, 0.02]], [[0.96, 0.02, 0.02]], [[0.98, 0.01, 0.01]]]
    judged = judge(expected, expected)
    assert (judged.kind, judged.level, judged.silent) == (OutputKind.class_scores, Level.unjudged, ALIKE)
    other = judge(expected, [[[0.1, 0.8, 0.1]]] * 3)
    assert (other.level, other.silent) == (Level.broken, "")


def test_a_class_sequence_goes_by_what_is_no_blank():
    """Of 40 steps that are no blank, 4 may change and 5 are too many; 400 blanks would hide either."""
    classes = [0] * 400 + [1, 2] * 20
    for lost, level in ((4, Level.good), (5, Level.look), (40, Level.broken)):
        others = classes[:400] + [0] * lost + classes[400 + lost :]
        judged = judge([steps(classes)], [steps(others)])
        assert judged.kind is OutputKind.class_sequence
        assert (judged.answers.count, judged.answers.changed, judged.answers.noun) == (40, lost, "steps")
        assert judged.level is level


def test_a_class_sequence_of_blanks_shows_nothing_unless_quantizing_adds_steps():
    blanks = steps([0] * 10)
    judged = judge([blanks], [blanks])
    assert (judged.level, judged.silent) == (Level.unjudged, SAME_CLASS)
    assert judge([blanks], [steps([1] * 10)]).level is Level.broken


def test_a_segmentation_goes_by_what_is_no_background():
    classes = np.zeros((16, 16), int)
    classes[:4, :8], classes[4:6, :8] = 1, 2
    expected = np.moveaxis(4 * np.eye(5)[classes], -1, 0)[None]
    for lost, level in ((0, Level.good), (32, Level.broken)):
        others = classes.copy()
        others.reshape(-1)[np.flatnonzero(classes == 1)[:lost]] = 0
        judged = judge([expected], [np.moveaxis(4 * np.eye(5)[others], -1, 0)[None]], input_side=64)
        assert judged.kind is OutputKind.segmentation
        assert (judged.answers.count, judged.answers.changed, judged.answers.distinct) == (48, lost, 3)
        assert judged.level is level


# --- other kinds ---


def test_landmarks_are_told_from_class_scores_by_what_all_pictures_share():
    rng = np.random.default_rng(0)
    mean = np.array([[30, 40, 70, 40, 50, 60, 35, 80, 65, 80]])
    moved = [mean + rng.normal(0, 2, (1, 10)) for _ in range(8)]
    judged = judge(moved, [np.round(values) for values in moved])
    assert (judged.kind, judged.answers) == (OutputKind.values, None)
    still = judge(moved, [mean] * 8)  # the cosine is 0.999
    assert still.level is Level.broken
    free = [rng.normal(0, 2, (1, 10)) for _ in range(8)]
    assert judge(free, free).kind is OutputKind.values  # none stands out
    sure = [values + 9 * np.eye(10)[[number % 4]] for number, values in enumerate(free)]
    assert judge(sure, sure).kind is OutputKind.class_scores


def test_waveforms_and_embeddings_go_by_their_error():
    time = np.arange(160) / 4
    waves = [np.sin(time + phase)[None] for phase in range(4)]
    judged = judge(waves, [values * 0.9 for values in waves])
    assert (judged.kind, judged.answers) == (OutputKind.waveform, None)
    assert judged.level is Level.good
    rng = np.random.default_rng(0)
    vectors = [values / np.linalg.norm(values) for values in rng.normal(size=(6, 1, 32))]
    judged = judge(vectors, [np.roll(values, 1, axis=1) for values in vectors])
    assert (judged.kind, judged.answers, judged.level) == (OutputKind.embedding, None, Level.broken)


def test_a_state_is_at_most_to_be_looked_at():
    rng = np.random.default_rng(0)
    states = list(rng.normal(size=(4, 1, 10)))
    judged = judge(states, [-values for values in states], known=OutputKind.state)
    assert (judged.kind, judged.level, judged.fidelity) == (OutputKind.state, Level.look, 0)
    assert judge(states, states, known=OutputKind.state).level is Level.good
    assert judge(states, [-values for values in states]).level is Level.broken


def test_a_joined_output_is_as_bad_as_its_small_part():
    parts = OutputParts(["box", "score"], np.arange(5), np.array([0, 4]), 5)
    expected = [[[10, 20, 200, 220, 0.9]], [[90, 40, 120, 70, 0.1]], [[15, 80, 60, 150, 0.8]]]
    actual = [[[*values[0][:4], 0]] for values in expected]
    judged = judge(expected, actual, parts=parts)
    assert (judged.level, judged.fidelity, judged.worst.part) == (Level.broken, 0, "score")
    assert judged.errors[0] == 0
    # 0.9, 0.1, 0.8 deviate by 0.3, -0.5, 0.2: variance 0.19; squared error 1.46 / 3
    assert judged.errors[1] == pytest.approx(1.46 / 3 / 0.19)
    assert judged.answers is None
    whole = judge(expected, actual)
    assert whole.fidelity > 0.9999


def test_outputs_of_varying_size():
    # all float values: 1, 3, 1, 3, 2: variance 0.8; squared error 2 / 5
    judged = judge([[1, 3], [1, 3, 2]], [[1, 4], [1, 3, 3]], sized=False)
    assert judged.fidelity == pytest.approx(math.sqrt(0.5))


def test_an_output_that_is_sometimes_empty():
    judged = judge([np.zeros((0, 4)), [[1, 5, 9, 2]]], [np.zeros((0, 4)), [[1, 5, 9, 2]]], sized=False)
    assert (judged.level, judged.worst.values) == (Level.good, 4)


def test_an_output_that_is_always_empty_has_no_judgement():
    judge = OutputJudge({})
    judge.add({"y": np.zeros((0, 4), np.float32)}, {"y": np.zeros((0, 4), np.float32)})
    assert judge.judgements() == []


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "expected",
    [
        [[[10]], [[12]], [[15]]],
        [[[0.1]], [[0.2]], [[0.15]]],
        one_hot([0, 1, 2, 3] * 10),
        [np.full((1, 1, 8, 8), 0.01), np.full((1, 1, 8, 8), 0.02)],
        [steps([0] * 10)],
    ],
)
def test_what_is_no_number_is_broken(expected, value):
    judged = judge(expected, [np.full(np.shape(values), value) for values in expected])
    assert (judged.level, judged.fidelity) == (Level.broken, 0)


# --- over all outputs ---


def test_outputs_keep_their_order_and_the_worst_that_is_judged_counts():
    parts = {name: OutputParts.whole(1) for name in ("b", "a", "c")}
    judge = OutputJudge(parts)
    for sign in (-1, 1):
        one = np.full((1, 1), 10.0 + sign, np.float32)
        same = np.full((1, 1), 5.0, np.float32)
        # of `b` variance 2, squared error 0.25: fidelity sqrt(0.875); of `c` all is lost, but it never varies
        judge.add({"b": one, "a": one, "c": same}, {"b": one + 0.5, "a": one, "c": same * 0})
    judged = judge.judgements()
    assert [each.output for each in judged] == ["b", "a", "c"]
    assert [each.level for each in judged] == [Level.look, Level.good, Level.unjudged]
    assert fidelity_of(judged) == pytest.approx(math.sqrt(0.875))
    assert fidelity_of([]) == 1.0


def test_the_error_is_that_of_the_network():
    """Where nothing is harmless in itself, the judgement and the search's measure agree."""
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(5, 1, 7)).astype(np.float32)
    actual = (expected + rng.normal(0, 0.1, expected.shape)).astype(np.float32)
    error = NetworkError({"y": OutputParts.whole(7)})
    for values, others in zip(expected, actual, strict=True):
        error.add({"y": values}, {"y": others})
    assert judge(expected, actual).errors == [pytest.approx(error.worst())]


def test_levels_are_in_order():
    order = [Level.unjudged, Level.good, Level.look, Level.broken]
    assert sorted(Level, key=lambda level: level.severity) == order


def test_plain_form():
    judged = judge(one_hot([0, 1]), one_hot([0, 0]))
    # position 0 and 1 deviate by 1/2 each: variance 4 / 4 * (1/4) = 1/4; squared error 2 / 8
    plain = judged.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == {
        "output": "y",
        "kind": "class scores",
        "level": "broken",
        "fidelity": 0.0,
        "silent": None,
        "changes_input": False,
        "found": None,
        "span": [0.0, 1.0],
        "answers": {"count": 2, "changed": 1, "distinct": 2, "noun": "best classes"},
        "parts": [
            {
                "part": "", "values": 8, "deviation": 0.5, "varies": True, "change": 0.0, "variance": 0.25,
                "error": 0.5, "fidelity": 0.0,
            }
        ],
    }  # fmt: skip
    assert OutputJudgement.from_json(plain) == judged
    one = judge([[[7]]], [[[7]]])
    silent = one.to_json()
    assert OutputJudgement.from_json(silent) == one
    assert silent["silent"] == "one number of one picture shows no variation"
    assert (silent["answers"], silent["level"]) == (None, "unjudged")


# --- logits of places ---


def lone_logits(found=2.0, rest=-4.0, far=-4000.0):
    """Of 100 places one far below 0, and one above it on every second picture, [1, 100, 1] each."""
    pictures = []
    for index in range(12):
        values = np.full((1, 100, 1), rest)
        values[0, 0], values[0, 1 + index] = far, found if index % 2 else rest
        pictures.append(values)
    return pictures


def test_of_logits_what_is_far_below_0_says_nothing():
    judged = judge(lone_logits(), lone_logits(far=-400.0), input_side=64)
    assert (judged.kind, judged.level, judged.fidelity) == (OutputKind.logits, Level.good, 1.0)
    assert (judged.answers.count, judged.answers.changed, judged.answers.noun) == (6, 0, "values above 0")


def test_logits_that_end_at_0_are_broken_however_near_they_are():
    """A step of 18.7: all that is near 0 becomes 0."""
    judged = judge(lone_logits(), lone_logits(found=0.0, rest=0.0), input_side=64)
    assert (judged.level, judged.fidelity) == (Level.broken, 0.0)
    assert judged.answers.changed == 6


def test_logits_of_which_none_is_above_0_cannot_be_judged():
    judged = judge(lone_logits(found=-0.5), lone_logits(found=-0.7), input_side=64)
    assert (judged.kind, judged.level) == (OutputKind.logits, Level.unjudged)
    assert judged.silent == "no value is above 0 in either network, so nothing is found"
