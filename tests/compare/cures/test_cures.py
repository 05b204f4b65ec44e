from dataclasses import replace

import pytest

from stages.compare.cures import cures
from stages.compare.cures.candidates import is_sure
from stages.compare.cures.trial import TrialResult
from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.finding import Effect, Finding
from stages.compare.render.report_verdict import cure_command
from stages.core.base.errors import UserError
from stages.core.config.schema import CompareConfig, Config, QuantConfig
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from stages.core.statistics.task_metric import TaskMetric
from tests.compare.outcomes import came_through
from tests.networks import soc_config

RANGE = Finding("range", "x", "wide", {}, "quant.node_ranges=false")
IMBALANCE = Finding("channel_imbalance", "y", "unlike", {}, "quant.skip_nodes=[y]")
FEW = Finding("calibration", None, "few", {}, "data.calibration.size=20")
INPUT = Finding("input", None, "blue", {}, "model.inputs=[{color: BGR}]", Effect("top-1", 0.5, 0.9))
LEFT = Finding("accumulates", None, "many layers", {})


def outcome(error):
    """One output of variance 1."""
    return came_through([OutputJudgement("y", OutputKind.values, [PartError("y", "", 9, 1.0, error)], [1.0])])


def diagnosis(*findings, error=0.5):
    left = LEFT if error > 0.2 else None
    return Diagnosis(findings, [], [], outcome(error), accumulated=left)


@pytest.fixture
def errors(monkeypatch):
    """Line -> the error that it leaves (0.5 unless known), or why it is refused; and what was tried."""
    known, tried = {}, []

    def try_line(line, _, samples, preparation):
        assert samples == "debug"
        assert bool(preparation) == ("node_bits=file" in line)
        tried.append(line)
        result = known.get(line, 0.5)
        if isinstance(result, str):
            raise UserError(result)
        return TrialResult(outcome(result), line == "quant=best")

    monkeypatch.setattr(cures, "try_line", try_line)
    monkeypatch.setattr(cures, "why_untried", lambda _: "")
    return known, tried


def treated(found, count=20):
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"), compare=CompareConfig(cures=count))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cures, "outcome_on", lambda *_: found.outcome)
        return cures.with_cures(found, config)


def test_a_finding_keeps_its_line_with_what_it_was_measured_to_do(errors):
    errors[0][RANGE.cure] = 0.1
    found = treated(diagnosis(RANGE))
    effect = Effect("fidelity of the outputs", pytest.approx(0.75**0.5), pytest.approx(0.99**0.5))
    assert found.findings == [replace(RANGE, effect=effect)]
    assert [(cure.override, cure.effect) for cure in found.cures] == [(RANGE.cure, effect)]
    assert errors[1] == [RANGE.cure]  # the network is good with it


def test_a_line_is_printed_before_the_trials_and_one_a_trial(errors, capsys):
    errors[0][RANGE.cure] = 0.1
    treated(diagnosis(RANGE), count=7)
    assert capsys.readouterr().err.splitlines() == [
        "cures: trying up to 7, minutes: compare.cures=0 leaves them out",
        f"tried: {RANGE.cure}: fidelity of the outputs 0.866 -> 0.995 on 4 debug pictures",
    ]


def test_a_layer_whose_mending_does_not_help_is_no_finding(errors):
    errors[0][IMBALANCE.cure] = 0.49
    found = treated(diagnosis(IMBALANCE, FEW, error=0.5))
    assert found.findings == [replace(FEW, cure=None)]
    assert found.cures == []
    assert [cure.override for cure in found.tried] == errors[1]
    assert found.notes == [f"none of {len(errors[1])} lines that were tried helps the outputs"]


def test_where_no_finding_is_left_of_a_poor_network_the_loss_is(errors):
    assert treated(diagnosis(IMBALANCE)).findings == [LEFT]
    assert treated(diagnosis(IMBALANCE, error=0.1)).findings == []
    assert IMBALANCE.cure in errors[1]


def test_the_trials_go_on_until_a_converter_takes_what_is_good(errors):
    errors[0].update({"quant=best": 0.05, "quant=best quant.channel_scales=never": 0.1})
    found = treated(diagnosis())
    assert [(cure.override, cure.converter) for cure in found.cures] == [
        ("quant=best quant.channel_scales=never", True), ("quant=best", False),
    ]  # fmt: skip
    assert errors[1][-1] == "quant=best quant.channel_scales=never"


def test_a_line_that_is_refused_is_named(errors):
    errors[0][RANGE.cure] = "no such range"
    found = treated(diagnosis(RANGE, error=0.1))
    assert found.findings == [replace(RANGE, cure=None)]
    assert found.notes == ["quant.node_ranges=false could not be tried: no such range"]


def test_no_more_lines_are_tried_than_allowed(errors):
    treated(diagnosis(RANGE, IMBALANCE), count=1)
    assert errors[1] == [RANGE.cure]


def test_without_trials_no_line_is_printed(errors):
    found = treated(diagnosis(RANGE, INPUT), count=0)
    assert found.findings == [replace(RANGE, cure=None), INPUT]
    assert errors[1] == []


def test_a_network_without_a_finding_takes_no_trial(errors):
    found = diagnosis(INPUT, error=0.1)
    assert treated(found) is found
    assert errors[1] == []


def test_params_that_nobody_composed_are_named(errors, monkeypatch):
    monkeypatch.setattr(cures, "why_untried", lambda _: "params.yaml is another")
    found = treated(diagnosis(RANGE))
    assert (found.findings, found.notes) == ([replace(RANGE, cure=None)], ["no cure was tried: params.yaml is another"])
    assert errors[1] == []


def test_where_no_line_is_enough_the_best_is_tried_with_others(errors):
    head, equal, wide = "quant.head=float", "quant.equalization=cross_layer", "quant.feature_bits=12"
    best = "quant=best quant.channel_scales=never"
    errors[0].update({head: 0.36, equal: 0.4, wide: 0.44, "quant=best": 0.1, best: 0.42})
    errors[0].update({f"{head} {wide}": 0.34, f"{head} {wide} {equal}": 0.34, f"{head} {wide} {best}": 0.1})
    found = treated(diagnosis(), count=14)
    assert errors[1][-3:] == [f"{head} {wide}", f"{head} {wide} {equal}", f"{head} {wide} {best}"]
    lines = [cure.override for cure in found.cures]
    assert lines[:3] == [f"{head} {wide} {best}", f"{head} {wide}", head]  # what takes other scales comes last


@pytest.mark.parametrize(("count", "together"), [(3, 1), (4, 2)])
def test_lines_together_take_half_as_many_trials_more_at_most(errors, count, together):
    """Three lines help, and none of them more with another: of the first with the others two could be tried."""
    lines = ("quant.feature_method=OUTPUT quant.weight_method=MSE", "quant.equalization=cross_layer")
    errors[0].update(dict.fromkeys([*lines, "quant.head=float"], 0.4))
    treated(diagnosis(), count=count)
    assert len(errors[1]) == count + together


def test_a_line_that_is_refused_with_another_is_not_tried_again(errors):
    both = "quant.head=float quant.equalization=cross_layer"
    errors[0].update({"quant.head=float": 0.3, "quant.equalization=cross_layer": 0.4, both: "not so"})
    assert f"{both} could not be tried: not so" in treated(diagnosis()).notes
    assert errors[1].count(both) == 1


def test_lines_that_set_the_same_keys_are_not_joined(errors):
    errors[0].update({"quant.feature_bits=10": 0.3, "quant.feature_bits=12": 0.2})
    treated(diagnosis())
    assert not any(line.count("quant.feature_bits=") > 1 for line in errors[1])


def test_where_wider_bits_make_it_good_the_fewest_that_do_are_sought(errors):
    errors[0].update({"quant.feature_bits=12": 0.1, "quant.node_bits=file:out/autotune/node_bits.json": 0.15})
    found = treated(diagnosis())
    assert errors[1][-2:] == ["quant.feature_bits=12", "quant.node_bits=file:out/autotune/node_bits.json"]
    assert [cure.preparation for cure in found.cures] == [(), ("autotune", "--target", "fidelity=0.98")]
    assert cure_command(found.cures[1]) == (
        "python -m stages.autotune --target fidelity=0.98 && python -m stages.compose --keep "
        "quant.node_bits=file:out/autotune/node_bits.json && dvc repro"
    )


LOST = Finding("few_codes", "conv", "no codes", {"output": "y"}, "quant.skip_nodes=[move]")


def two_outputs(lost, others):
    """The fidelity of the output y, and of another one, by their errors."""
    named = (("y", lost), ("z", others))
    return came_through([OutputJudgement(n, OutputKind.values, [PartError(n, "", 9, 1.0, e)], [1.0]) for n, e in named])


def test_lost_logits_are_measured_by_themselves_and_their_line_goes_with_all_others(monkeypatch):
    """While y is lost nothing helps the worst output, and mending y alone leaves z the worst."""
    tried = []

    def try_line(line, *_):
        tried.append(line)
        mended = LOST.cure in line
        return TrialResult(two_outputs(0.3 if mended else 1.0, 0.1 if "equalization" in line else 1.0), False)

    monkeypatch.setattr(cures, "try_line", try_line)
    monkeypatch.setattr(cures, "why_untried", lambda _: "")
    found = treated(Diagnosis([LOST], [], [], two_outputs(1.0, 1.0)), count=3)
    assert [finding.effect for finding in found.findings] == [
        Effect("fidelity of y", 0.0, pytest.approx((1 - 0.3**2) ** 0.5))
    ]
    assert tried[0] == LOST.cure
    assert tried[2] == f"{LOST.cure} quant.equalization=cross_layer"
    assert [cure.override for cure in found.cures] == [tried[2]]


def test_lost_logits_are_a_finding_though_their_line_alone_does_not_help(monkeypatch):
    """The layers before are too rough: more bits help, but only where the logits have codes."""

    def try_line(line, *_):
        mended = LOST.cure in line and "feature_bits=12" in line
        return TrialResult(two_outputs(0.1 if mended else 1.0, 0.1), False)

    monkeypatch.setattr(cures, "try_line", try_line)
    monkeypatch.setattr(cures, "why_untried", lambda _: "")
    found = treated(Diagnosis([LOST], [], [], two_outputs(1.0, 0.1)))
    assert found.findings == [replace(LOST, cure=None)]
    assert [cure.override for cure in found.cures] == [f"{LOST.cure} quant.feature_bits=12"]


def test_a_finding_of_one_layer_is_sure_only_after_its_trial():
    assert [is_sure(finding) for finding in (RANGE, IMBALANCE, replace(RANGE, cure=None), FEW, INPUT, LOST)] == [
        False, False, True, True, True, True,
    ]  # fmt: skip


def test_where_nothing_is_lost_no_line_is_tried(errors):
    """A finding of one layer is then none."""
    found = treated(diagnosis(RANGE, FEW, error=0.001))
    assert (found.findings, found.cures) == ([replace(FEW, cure=None)], [])
    assert errors[1] == []


def test_a_refused_line_says_why(errors, capsys):
    errors[0][RANGE.cure] = "no such range"
    treated(diagnosis(RANGE, error=0.1))
    assert f"tried: {RANGE.cure}: refused: no such range" in capsys.readouterr().err


def test_where_the_task_decides_cures_are_measured_by_it(monkeypatch):
    """A loss of 0.3 of 1; the line that makes the outputs best makes the task worse."""
    output, equal = "quant.feature_method=OUTPUT quant.weight_method=MSE", "quant.equalization=cross_layer"
    known = {output: (0.01, 0.6), equal: (0.3, 0.98)}

    def came(error, metric):
        outputs = [OutputJudgement("y", OutputKind.values, [PartError("y", "", 9, 1.0, error)], [1.0])]
        return came_through(outputs, task=TaskMetric("iou", 1.0, metric, 64))

    def try_line(line, _, samples, __):
        assert samples is None  # evaluate tells
        return TrialResult(came(*known.get(line, (0.3, 0.7))), False)

    monkeypatch.setattr(cures, "try_line", try_line)
    monkeypatch.setattr(cures, "why_untried", lambda _: "")
    monkeypatch.setattr(cures, "outcome_on", None)  # what evaluate measured is what it is before
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"), compare=CompareConfig(cures=20))
    found = cures.with_cures(Diagnosis([], [], [], came(0.3, 0.7)), config)
    assert [cure.override for cure in found.cures] == [equal]
    assert len(found.tried) == 2  # the network is good with it
    assert found.cures[0].effect.words().startswith("iou, in parts of the float network's, 0.7 -> 0.98 on ")
