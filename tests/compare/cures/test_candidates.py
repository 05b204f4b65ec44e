import importlib.util

import pytest

from stages.compare.cures.candidates import autotune_for, candidates
from stages.compare.diagnose.diagnosis import Diagnosis
from stages.compare.diagnose.finding import Finding
from stages.compare.diagnose.loss_by_depth import LayerLoss, Losses
from stages.compare.diagnose.outcome import Outcome
from stages.core.config.schema import Config, FeatureMethod, QuantConfig, Rounding, WeightMethod
from stages.core.outputs.judged_set import JudgedSet
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from tests.compare.outcomes import came_through
from tests.networks import soc_config

LOSSES = [
    LayerLoss(["deep"], 0.1, 0.3, 0.4),
    LayerLoss(["a", "b"], 0.0, 0.1, 0.4),
    LayerLoss(["c"], 0.3, 0.33, 0.4),  # less than a tenth of it
    LayerLoss([f"n{index}" for index in range(16)], 0.33, 0.4, 0.4),
]


def diagnosis(*findings, error=0.5, losses=LOSSES, front=(), types=("Add", "Conv", "Relu", "Reshape", "Softmax")):
    part = PartError("y", "", 9, 1.0, error)
    outcome = came_through([OutputJudgement("y", OutputKind.values, [part], [1.0])])
    return Diagnosis(findings, [], [], outcome, Losses(losses, front), None, frozenset(types))


def lines(found, soc="t40", **quant):
    return list(candidates(found, Config(soc=soc_config(soc), quant=QuantConfig("q", **quant))))


@pytest.fixture
def torch(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "torch" or None)


@pytest.mark.usefixtures("torch")
def test_what_costs_the_network_least_is_tried_first():
    assert lines(diagnosis(Finding("range", "x", "wide", {}, "quant.node_ranges=false"))) == [
        "quant.node_ranges=false",
        "quant.feature_method=OUTPUT quant.weight_method=MSE",
        "quant.equalization=cross_layer",
        "quant.skip_nodes=[deep]",
        "quant.skip_nodes=[deep,a,b]",
        "quant.skip_ops=[Softmax]",
        "quant.skip_ops=[Add,Softmax]",
        "quant.head=float",
        "quant=best",
        "quant=best quant.channel_scales=never",
        "quant.feature_bits=10",
        "quant.feature_bits=12",
        "quant.head=float quant.feature_bits=12",
    ]


@pytest.mark.usefixtures("torch")
def test_at_few_bits_learning_comes_before_float_layers_and_keeps_the_bits():
    found = lines(diagnosis(), feature_bits=4, weight_bits=4)
    learned = found.index("quant=best quant.feature_bits=4 quant.weight_bits=4")
    assert found[learned + 2] == "quant.feature_bits=8 quant.weight_bits=8"
    assert learned + 2 < found.index("quant.skip_nodes=[deep]")
    assert found[-5:] == [
        "quant.feature_bits=8",
        "quant.feature_bits=12",
        "quant.head=float quant.feature_bits=12",
        "quant.weight_bits=6",
        "quant.weight_bits=8",
    ]


def test_a_front_that_loses_most_is_tried_in_float():
    assert "quant.float_until=[log,mean]" in lines(diagnosis(front=["log", "mean"]))
    assert not any("float_until" in line for line in lines(diagnosis(front=["log"]), float_until=["other"]))


def test_what_is_set_already_is_not_tried():
    best = {"feature_method": FeatureMethod.OUTPUT, "weight_method": WeightMethod.MSE, "rounding": Rounding.reconstruct}
    found = lines(diagnosis(types=["Conv"]), **best, skip_nodes=["deep"])
    assert not any("method" in line or "best" in line or "skip_ops" in line for line in found)
    assert "quant.skip_nodes=[deep,a,b]" in found


def test_good_outputs_have_their_findings_lines_alone():
    found = diagnosis(Finding("range", "x", "wide", {}, "quant.node_ranges=false"), error=0.01)
    assert lines(found) == ["quant.node_ranges=false"]


@pytest.mark.parametrize(
    ("kind", "cure"), [("input", "model.inputs=[{color: BGR}]"), ("parts", "model.cut=true"), ("calibration", None)]
)
def test_what_the_outputs_cannot_judge_is_not_tried(kind, cure):
    assert lines(diagnosis(Finding(kind, None, "so", {}, cure), error=0.01)) == []


@pytest.mark.parametrize(
    ("debug", "evaluated", "target"), [(0.1, 0.2, "0.9951"), (0.2, 0.1, "0.98"), (0.2, 0.0, "0.98")]
)
def test_autotune_aims_higher_where_the_evaluation_pictures_lose_more(debug, evaluated, target):
    """By hand: of 0.04 that are lost 0.0396 are allowed; a quarter of it is lost on the debug pictures."""
    sets = (
        JudgedSet(name, 8, [OutputJudgement("y", OutputKind.values, [PartError("y", "", 9, 1.0, error)], [1.0])])
        for name, error in (("debug", debug), ("evaluation", evaluated))
    )
    assert autotune_for(Outcome.of(*sets, "picture")) == ("autotune", "--target", f"fidelity={target}")
