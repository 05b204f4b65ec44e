"""Which kind of evidence decides, with networks that answer as the test says."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages.core.config.schema import Color
from stages.init.guess.colors import guess_color
from stages.init.guess.customs import custom_of_metadata
from stages.init.guess.guess import Sure
from stages.init.guess.ranges import RANGES, Clues, guess_range
from stages.init.network.first_operators import FirstArithmetic

UNIT, IMAGENET, SIGNED, PIXELS, CAFFE = RANGES
YOLO_METADATA = {"stride": "32", "task": "detect", "names": "{0: 'a'}"}


def trials(answers=None, misfits=None, likelihoods=None, color_answers=None, likeness=None, largest=None, values=False):
    """Runs whose outcome is given by the range, and by the colour where it is told."""

    def answer(normalization, color):
        return (answers or {}).get(normalization, 0.0) + (color_answers or {}).get(color, 0.0)

    return SimpleNamespace(
        colors=(Color.RGB, Color.BGR),
        answers=answer,
        largest=lambda normalization, color: (largest or {}).get(normalization, 1.0),
        are_values=lambda normalization, color: values,
        likeness=lambda normalization, color: None if likeness is None else likeness.get(normalization, 0.0),
        misfit=lambda normalization, color: (misfits or {}).get((normalization, color)),
        order_by_norms=lambda normalization: Color.BGR if (misfits or {}).get((normalization, Color.BGR)) else None,
        likelihoods=lambda normalization, color: (likelihoods or {}).get((normalization, color), np.zeros(0)),
        labelled=likelihoods,
        chance=-np.log(10),
    )


def clues(**given):
    return Clues(**{"arithmetic": None, "by_metadata": None, "by_head": None, "trials": None, "detects": False} | given)


def arithmetic(scale, offset, *operators, **seen):
    return FirstArithmetic(np.atleast_1d(scale), np.atleast_1d(offset), operators, **seen)


def batch_norm(mean, deviation):
    seen = {"seen_mean": np.full(3, mean), "seen_deviation": np.full(3, deviation)}
    return arithmetic(1.0, 0.0, "BatchNormalization", **seen)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (arithmetic(1 / 255, 0.0, "Div"), PIXELS),
        (arithmetic(1 / 127.5, -1.0, "Mul", "Sub"), PIXELS),
        (arithmetic(2.0, -1.0, "Mul", "Sub"), UNIT),
        (arithmetic([1 / 0.229, 1 / 0.224, 1 / 0.225], [-2.1, -2.0, -1.8], "Sub", "Div"), UNIT),
        (arithmetic(1.0, [-104.0, -117.0, -123.0], "Sub"), PIXELS),
        (batch_norm(117.0, 60.0), PIXELS),
        (batch_norm(0.45, 0.27), UNIT),
        (batch_norm(0.0, 1.0), IMAGENET),
        (batch_norm(-0.1, 0.52), SIGNED),
    ],
)  # fmt: skip
def test_what_the_graph_does_itself_decides(found, expected):
    known = guess_range(clues(arithmetic=found, by_metadata=custom_of_metadata(YOLO_METADATA, 640)))
    assert (known.normalization, known.sure) == (expected, Sure.high)


def test_metadata_come_before_answers():
    known = guess_range(clues(by_metadata=custom_of_metadata(YOLO_METADATA, 640), trials=trials({PIXELS: 9.0})))
    assert (known.normalization, known.sure) == (UNIT, Sure.high)


def test_labels_that_are_surely_likelier_decide():
    rng = np.random.default_rng(0)
    chance = rng.normal(-2.3, 0.1, 16)
    of = {(each, color): chance for each in RANGES for color in (Color.RGB, Color.BGR)}
    of[SIGNED, Color.BGR] = chance + 1.5
    known = guess_range(clues(trials=trials(likelihoods=of)))
    assert (known.normalization, known.sure) == (SIGNED, Sure.high)
    color = guess_color(clues(trials=trials(likelihoods=of)), SIGNED, 3)
    assert (color.value, color.sure) == ("BGR", Sure.high)


def test_labels_that_lean_decide_last():
    rng = np.random.default_rng(0)
    rgb = rng.normal(-1.0, 1.0, 16)
    of = {(UNIT, Color.RGB): rgb, (UNIT, Color.BGR): rgb + rng.normal(0.05, 1.0, 16)}
    color = guess_color(clues(trials=trials(likelihoods=of)), UNIT, 3)
    expected = max(of, key=lambda key: of[key].mean())[1]
    assert (color.value, color.sure) == (expected.value, Sure.low)
    assert "the labels lean to it" in color.evidence


def test_batch_norms_that_fit_decide():
    misfits = {(each, color): 2.0 for each in RANGES for color in (Color.RGB, Color.BGR)}
    misfits[PIXELS, Color.RGB], misfits[PIXELS, Color.BGR] = 0.05, 0.02
    given = clues(trials=trials(misfits=misfits, answers={UNIT: 5.0}))
    known = guess_range(given)
    assert (known.normalization, known.sure) == (PIXELS, Sure.high)
    assert guess_color(given, PIXELS, 3).value == "BGR"


def test_the_clearest_answers_decide_and_ties_go_to_the_usual():
    clear = guess_range(clues(trials=trials({PIXELS: 1.0, UNIT: 0.2, IMAGENET: 0.1})))
    assert (clear.normalization, clear.sure) == (PIXELS, Sure.medium)
    tied = guess_range(clues(trials=trials({UNIT: 0.54, SIGNED: 0.52, IMAGENET: 0.49})))
    assert (tied.normalization, tied.sure) == (IMAGENET, Sure.low)
    silent = guess_range(clues(trials=trials({UNIT: 0.001})))
    assert (silent.normalization, silent.sure) == (IMAGENET, Sure.low)
    assert guess_range(clues(detects=True)).normalization == UNIT


@pytest.mark.parametrize(
    ("answers", "detects", "taken"),
    [
        ({PIXELS: 0.11, IMAGENET: 0.08}, False, IMAGENET),
        ({PIXELS: 0.11, IMAGENET: 0.05}, False, PIXELS),
        ({PIXELS: 0.16, IMAGENET: 0.09}, False, PIXELS),
        ({PIXELS: 0.11, UNIT: 0.08}, True, PIXELS),  # scores are no nats
    ],
)
def test_where_the_answers_say_very_little_the_usual_range_needs_half_of_it(answers, detects, taken):
    found = guess_range(clues(trials=trials(answers=answers), detects=detects))
    assert (found.normalization, found.sure) == (taken, Sure.low)


def test_a_range_that_gives_values_of_any_size_is_none():
    answers, largest = {PIXELS: 2.2, UNIT: 0.8}, {PIXELS: 1.4e5, UNIT: 50.0}
    found = guess_range(clues(trials=trials(answers=answers, largest=largest)))
    assert found.normalization == UNIT
    assert "values up to 1.4e+05 with 0..255" in found.evidence
    all_large = dict.fromkeys(RANGES, 1e6)
    assert guess_range(clues(trials=trials(answers=answers, largest=all_large))).normalization == PIXELS


def test_answers_that_are_values_are_never_sure():
    for values, sure in ((False, Sure.medium), (True, Sure.low)):
        assert guess_range(clues(trials=trials(answers={UNIT: 2.2}, values=values))).sure is sure


def test_nothing_tells_the_colours_of_a_classifier():
    color = guess_color(clues(trials=trials({UNIT: 1.0}, color_answers={Color.BGR: 0.2})), UNIT, 3)
    assert (color.value, color.sure) == ("RGB", Sure.low)
    assert guess_color(clues(), UNIT, 1).value == "GRAY"


def test_a_mean_a_channel_tells_the_order():
    blue_first = arithmetic(1.0, [-104.0, -117.0, -123.0], "Sub")
    assert guess_color(clues(arithmetic=blue_first), PIXELS, 3).value == "BGR"
    red_first = arithmetic(1.0, [-0.485, -0.456, -0.406], "Sub")
    assert guess_color(clues(arithmetic=red_first), UNIT, 3).value == "RGB"
    assert guess_color(clues(arithmetic=arithmetic(1 / 255, 0.0, "Div")), PIXELS, 3).sure is Sure.low


@pytest.mark.parametrize(
    ("likeness", "expected", "sure"),
    [
        ({SIGNED: 0.98, UNIT: 0.96, PIXELS: 0.5}, SIGNED, Sure.medium),  # 2 % are lost, and 4 %
        ({SIGNED: 0.98, UNIT: 0.978}, UNIT, Sure.low),
        ({PIXELS: 1.0, UNIT: 0.9}, PIXELS, Sure.medium),
    ],
)
def test_a_picture_as_the_answer_is_like_what_is_fed(likeness, expected, sure):
    known = guess_range(clues(trials=trials({IMAGENET: 3.0}, likeness=likeness)))
    assert (known.normalization, known.sure) == (expected, sure)
    assert known.evidence.startswith("the output is a picture, 9") or expected is PIXELS


def test_a_picture_of_something_else_is_no_evidence():
    known = guess_range(clues(trials=trials({IMAGENET: 3.0}, likeness={UNIT: 0.7})))
    assert known.normalization is IMAGENET
