from dataclasses import replace

import pytest

from stages.compare.diagnose.outcome import Outcome
from stages.core.outputs.judged_set import JudgedSet
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import Level, OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from stages.core.statistics.task_metric import TaskMetric
from tests.compare.detected import observed, picture, row
from tests.compare.outcomes import came_through


def output(error, kind=OutputKind.values, **more):
    """An output of variance 1."""
    return OutputJudgement("y", kind, [PartError("y", "", 40, 1.0, error)], [1.0], **more)


@pytest.mark.parametrize(
    ("of_quantized", "count", "interval", "level"),
    [
        (0.78, 64, (None, None), Level.good),  # 2.5 % less
        (0.76, 64, (None, None), Level.look),
        (0.76, 64, (-0.1, 0.02), Level.good),
        (0.7, 64, (-0.2, 0.02), Level.look),
        (0.4, 64, (None, None), Level.broken),
        (0.4, 29, (None, None), Level.look),  # too few to call it broken
    ],
)
def test_what_evaluate_measured_has_the_last_word(of_quantized, count, interval, level):
    assert came_through([output(0.1)], task=TaskMetric("top-1", 0.8, of_quantized, count, *interval)).level is level


def test_it_is_said_first():
    task = TaskMetric("top-1", 0.8, 0.75, 29)
    words = came_through([output(0.1)], task=task, noun="sample").words()
    assert words.startswith(
        "top-1 is 0.75, in float 0.8, on 29 evaluation samples, too few to go by; the output y (values) is off"
    )


def test_a_float_network_that_fails_at_the_task_has_nothing_to_lose():
    outcome = came_through([output(0.9)], task=TaskMetric("top-1", 0.1, 0.1, 64, chance=0.1))
    assert outcome.level is Level.broken  # by the output
    assert outcome.words().startswith(
        "top-1 is 0.1, in float 0.1, on 64 evaluation pictures; one answer for every picture would do as well as the "
        "float network: check labels, metric and input; the output y"
    )
    assert came_through([output(0.9)], task=TaskMetric("top-1", 0.2, 0.2, 64, chance=0.1)).level is Level.good


@pytest.mark.parametrize(
    ("lost", "own", "level"),
    [(0, 0, Level.good), (1, 0, Level.good), (4, 0, Level.look), (6, 0, Level.broken), (0, 12, Level.broken)],
)
def test_boxes_decide_where_there_are_enough(lost, own, level):
    quantized = row(range(lost, 12 + own))
    found = observed(picture(row(12), quantized))
    assert came_through([output(0.9)], found).level is level


@pytest.mark.parametrize(("lost", "level"), [(1, Level.good), (4, Level.broken)])
def test_an_output_that_tells_nothing_settles_what_few_boxes_leave_open(lost, level):
    """4 of 12 boxes are lost: of all such boxes 14 to 61 %."""
    assert came_through([output(1.0)], observed(picture(row(12), row(range(lost, 12))))).level is level


def test_what_the_verdict_goes_by_in_place_of_the_outputs():
    assert came_through([output(0.9)]).decided_by is None
    few, lost, enough = (observed(picture(row(count), row(found))) for count, found in ((4, 4), (4, 3), (12, 12)))
    assert [came_through([output(0.9)], boxes).decided_by for boxes in (few, lost, enough)] == [
        "the boxes",
        None,
        "the boxes",
    ]
    task = TaskMetric("top-1", 0.8, 0.8, 64, chance=0.1)
    assert came_through([output(0.9)], task=task).decided_by == "top-1, which evaluate measured"
    assert came_through([output(0.9)], task=replace(task, count=3)).decided_by is None


def test_boxes_that_both_find():
    assert came_through([], observed(picture(row(12), row(8)))).box_agreement == pytest.approx(16 / 20)
    assert came_through([], observed(picture(row(0), row(0)))).box_agreement == 1.0


def test_states_are_no_answers():
    outcome = came_through([output(0.9, OutputKind.state), output(0.1)])
    assert outcome.fidelity == pytest.approx(0.99**0.5)
    assert outcome.level is Level.look


def test_answers_that_differ_beside_a_state_that_tells_nothing_are_broken():
    lost = replace(output(1.5, OutputKind.state), output="memory")
    outcome = came_through([output(0.2), lost])
    assert outcome.level is Level.broken
    assert outcome.words().endswith(
        "; the state memory tells nothing (fidelity 0), so that errors grow from step to step"
    )
    assert came_through([output(0.2), output(0.9, OutputKind.state)]).level is Level.look  # it tells something
    assert came_through([output(0.01), lost]).level is Level.look  # the answers are good
    assert came_through([lost, lost]).level is Level.look


def test_an_output_that_is_not_finite():
    outcome = came_through([output(float("nan"))])
    assert outcome.level is Level.broken
    assert outcome.words() == "the output y (values) is infinite or not a number after quantizing"


def on(name, count, error, **more):
    return JudgedSet(name, count, [output(error, **more)])


@pytest.mark.parametrize(("debug", "evaluated", "name"), [(8, 28, "evaluation"), (8, 8, "evaluation"), (9, 8, "debug")])
def test_the_larger_set_decides_and_the_other_one_is_said_beside(debug, evaluated, name):
    outcome = Outcome.of(on("debug", debug, 0.1), on("evaluation", evaluated, 0.3), "picture")
    said = {"debug": f"0.9950 on {debug} debug pictures", "evaluation": f"0.9539 on {evaluated} evaluation pictures"}
    other, level = {"debug": ("evaluation", Level.good), "evaluation": ("debug", Level.look)}[name]
    assert (outcome.judged.name, outcome.level) == (name, level)
    assert f"(fidelity {said[name]}, {said[other]}" in outcome.words()


def test_without_an_evaluation_the_debug_set_decides():
    outcome = Outcome.of(on("debug", 8, 0.1), None, "picture")
    assert outcome.words().endswith("(fidelity 0.9950 on 8 debug pictures)")


def test_a_set_that_cannot_judge_gives_way_to_one_that_can():
    silent = on("evaluation", 28, 0.1, silent="nothing is there")
    assert Outcome.of(on("debug", 8, 0.1), silent, "picture").judged.name == "debug"
    assert Outcome.of(on("debug", 8, 0.1, silent="neither here"), silent, "picture").judged is silent


def test_the_same_pictures_are_said_once():
    outcome = Outcome.of(on("debug", 5, 0.1), on("evaluation", 5, 0.1), "picture")
    assert outcome.words().endswith("(fidelity 0.9950 on 5 evaluation pictures)")


def test_what_does_not_decide_is_called_so():
    boxes, task = observed(picture(row(12), row(12))), TaskMetric("top-1", 0.8, 0.8, 64)
    assert "; not decisive: the output y" in came_through([output(0.9)], boxes).words()
    assert "; not decisive: the output y" in came_through([output(0.9)], task=task).words()
    assert "not decisive" not in came_through([output(0.9)]).words()
    assert "not decisive" not in came_through([output(0.9)], observed(picture(row(12), row(5)))).words()


@pytest.mark.parametrize(
    ("count", "of_quantized", "level"), [(28, 0.7, Level.look), (28, 0.73, Level.good), (7, 0.1, Level.good)]
)
def test_a_large_loss_on_few_samples_is_not_good(count, of_quantized, level):
    """Of 0.8: a tenth is 0.08; fewer than 8 samples may lose it by chance."""
    assert came_through([output(0.1)], task=TaskMetric("iou", 0.8, of_quantized, count)).level is level
