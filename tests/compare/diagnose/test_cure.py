import pytest

from stages.compare.diagnose.cure import Cure, best_first, effect_of, helps
from stages.compare.diagnose.finding import BOXES, FIDELITY, Effect
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from tests.compare.detected import observed, picture, row
from tests.compare.outcomes import came_through


def outcome(error, boxes=None):
    """One output of variance 1."""
    return came_through([OutputJudgement("y", OutputKind.values, [PartError("y", "", 9, 1.0, error)], [1.0])], boxes)


def cure(line, after, level=Level.look, converter=True, number=0):
    return Cure(line, Effect(FIDELITY, 0.6, after), level, converter, number)


@pytest.mark.parametrize(
    ("metric", "before", "after", "said"),
    [
        (FIDELITY, 0.6, 0.65, False),  # by hand: errors of 0.64 and 0.5775; a tenth less than the first is 0.576
        (FIDELITY, 0.6, 0.6514, True),
        (FIDELITY, 0.6, 0.61, False),
        (FIDELITY, 0.6, 0.6, False),
        (FIDELITY, 0.0, 0.2, False),
        (FIDELITY, 1.0, 1.0, False),  # nothing is lost
        (FIDELITY, 0.9999, 1.0, False),  # 1.4 % of the variation
        (BOXES, 0.8, 0.83, True),
        (BOXES, 0.8, 0.81, False),
        (BOXES, 1.0, 1.0, False),
    ],
)
def test_a_cure_helps_if_it_leaves_clearly_less(metric, before, after, said):
    assert helps(Effect(metric, before, after)) == said


def test_boxes_tell_the_effect_where_there_are_enough():
    few, many = (observed(picture(row(count), row(count - 2))) for count in (8, 12))
    assert effect_of(outcome(0.6), outcome(0.28)) == Effect(FIDELITY, 0.8, pytest.approx(0.96))
    assert effect_of(outcome(0.6, few), outcome(0.28, few)).metric == FIDELITY
    effect = effect_of(outcome(0.6, many), outcome(0.28, observed(picture(row(12), row(12)))))
    assert effect == Effect(BOXES, pytest.approx(20 / 22), 1.0)  # 10 in both, 12 and 10 in all


@pytest.mark.parametrize(("error", "good"), [(0.1, True), (0.28, False)])
def test_an_effect_says_whether_the_network_is_good_then(error, good):
    assert effect_of(outcome(0.6), outcome(error)).good is good


def test_what_a_converter_takes_comes_first_then_what_helps_most():
    cures = [
        cure("little", 0.8, number=0),
        cure("nothing", 0.6, number=1),
        cure("most", 0.99, number=2),
        cure("on the PC", 0.999, Level.good, converter=False, number=3),
        cure("as much", 0.992, number=4),
        cure("good", 0.98, Level.good, number=5),
    ]
    assert [each.override for each in best_first(cures)] == ["good", "most", "as much", "little", "on the PC"]


@pytest.mark.parametrize(
    ("other", "left"),
    [
        (cure("a=1 b=2", 0.902, number=1), ["a=1"]),
        (cure("a=1 b=2", 0.92, number=1), ["a=1 b=2", "a=1"]),  # helps more
        (cure("b=2", 0.9, number=1), ["a=1", "b=2"]),  # is another
        (cure("a=1 b=2", 0.9, Level.good, number=1), ["a=1 b=2", "a=1"]),  # makes the network good
    ],
)
def test_a_line_that_adds_what_does_not_help_is_left_out(other, left):
    assert [each.override for each in best_first([cure("a=1", 0.9), other])] == left


def test_a_line_for_the_pc_alone_takes_no_place_of_what_a_converter_takes():
    cures = [cure("a=1", 0.9, converter=False), cure("a=1 b=2", 0.9, number=1)]
    assert [each.override for each in best_first(cures)] == ["a=1 b=2", "a=1"]
