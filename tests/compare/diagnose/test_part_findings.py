from dataclasses import replace

import numpy as np
import pytest

from stages.compare.diagnose.part_findings import is_ruined, part_findings
from stages.compare.gather.observed_parts import ObservedJoint, ObservedPart, PartObserver
from stages.core.config.schema import Config, ModelConfig, QuantConfig
from stages.core.heads.head_file import ExportedHead
from stages.core.heads.recognize import recognize
from stages.core.integer.network_params import NetworkParams
from stages.core.outputs.joints import Joint, Part, find_joints
from tests.compare.diagnose.examples import feature
from tests.compare.gather.examples import compared, networks
from tests.compare.gather.joined_networks import landmarks_and_scores, mean_and_variance, pictures
from tests.core.heads.exporters import HEIGHT, WIDTH, yolov8
from tests.networks import quantized_network, soc_config, tiny_classifier

CONFIG = Config(quant=QuantConfig("q", skip_nodes=["other"]), model=ModelConfig(name="net"))


def part(name="score", high=1.0, error=0.9, before=0.1, **more):
    """A part from 0 on whose deviation is 1."""
    values = np.arange(40, dtype=np.float32)
    where = Part(name, np.arange(4), joints=("inner", "outer"))
    return ObservedPart(where, 40, 0.0, high, 1.0, error, before, values, values // 20, **more)


def joined(*parts, is_output=True, by_channel=False):
    chains = {"inner": ["inner", "outer"], "outer": ["outer"]}
    joint = Joint("y", "outer", [each.part for each in parts], chains, is_output, by_channel)
    return ObservedJoint(joint, parts)


def findings(*joints, params=None, head=None, config=CONFIG, isolated=None):
    params = params or NetworkParams([feature("y", 0.0, 255.0, node="outer")], [])
    return part_findings(joints, params, isolated or {}, head, config)


def test_the_joint_is_named_with_the_part_and_its_steps():
    (finding,) = findings(joined(part(), part("box", high=255.0, error=0.01)))
    assert (finding.kind, finding.node, finding.cure) == ("parts", "outer", "quant.skip_nodes=[other,outer]")
    assert finding.sentence == (
        "outer gives score (0 .. 1) the scale of box (0 .. 255): its step of 1 leaves score 1 steps, 2 values of 40 in "
        "float; the error of score is 0.9 of its deviation, without the joint 0.1"
    )
    assert (finding.evidence["steps"], finding.evidence["output"]) == (1.0, "y")
    assert (finding.evidence["error"], finding.evidence["error_before"]) == (0.9, 0.1)
    assert finding.effect is None  # a layer in float has to be tried


def test_the_first_joint_of_so_coarse_a_scale_is_to_blame():
    params = NetworkParams([feature("d", 0.0, 200.0, node="inner"), feature("y", 0.0, 255.0, node="outer")], [])
    (finding,) = findings(joined(part(), part("box", 255.0, 0.0)), params=params)
    assert (finding.node, finding.cure) == ("inner", "quant.skip_nodes=[other,inner,outer]")


@pytest.mark.parametrize(
    ("changed", "ruined"),
    [
        ({}, True),
        ({"error": 0.49}, True),  # of a single step: large values may hide it
        ({"high": 3.9, "before": 0.9}, True),
        ({"high": 4.1, "before": 0.31}, False),  # inherited
        ({"high": 4.1, "before": 0.29}, True),
        ({"high": 4.1, "before": None}, False),
        ({"high": 15.9}, True),
        ({"high": 15.9, "error": 0.49}, False),
        ({"high": 16.1}, False),
        ({"deviation": 0.0}, False),
        ({"values": 3}, False),
    ],
)
def test_what_is_ruined(changed, ruined):
    observed = joined(replace(part(), **changed), part("box", high=255.0))
    assert is_ruined(observed, observed.parts[0], observed.parts[0].high) == ruined


def values(count):
    """A sample of so many different values."""
    return np.arange(count, dtype=np.float32)


@pytest.mark.parametrize(
    ("high", "in_joint", "before", "ruined"),
    [
        (5.3, 4, 30, True),
        (5.3, 4, 15, False),  # hardly more before
        (5.3, 5, 30, False),
        (16.1, 4, 30, False),  # steps enough: these scores are alike
    ],
)
def test_an_output_that_the_joint_leaves_few_values_is_ruined_whatever_the_error_was(high, in_joint, before, ruined):
    """Scores that are rarely high: the error of the few is large before the joint too."""
    samples = {"quantized_sample": values(in_joint), "before_sample": values(before)}
    rare = replace(part(high=high, error=0.58, before=0.48), **samples)
    observed = joined(rare, part("box", high=255.0))
    assert is_ruined(observed, rare, high) == ruined
    found = findings(observed)
    assert bool(found) == ruined
    assert not ruined or f"{in_joint} values ({before} without the joint) of 40 in float" in found[0].sentence


@pytest.mark.parametrize(("high", "ruined"), [(1.9, True), (2.1, False)])
def test_channels_may_be_of_one_kind(high, ruined):
    observed = joined(part(high=high), part("channel 1", high=255.0), by_channel=True)
    assert is_ruined(observed, observed.parts[0], observed.parts[0].high) == ruined


def test_a_tensor_inside_must_err_by_much():
    observed = joined(part(error=0.49), part("box", high=255.0), is_output=False)
    assert not is_ruined(observed, observed.parts[0], observed.parts[0].high)


def test_what_calibration_saw_of_a_part_counts_too():
    """No object on the debug pictures: scores up to 1, and 100 during calibration."""
    seldom = replace(part(), part=replace(part().part, source="s", whole=True))
    observed = joined(seldom, part("box", 255.0))
    params = [feature("y", 0.0, 255.0, node="outer"), feature("s", 0.0, 127.5, seen=(0.0, 100.0))]
    assert findings(observed, params=NetworkParams(params, [])) == []
    cut_out = replace(seldom, part=replace(seldom.part, whole=False))
    assert findings(joined(cut_out, part("box", 255.0)), params=NetworkParams(params, []))


def test_what_is_joined_for_a_layer_must_harm_it():
    observed = joined(part(), part("box", 255.0), is_output=False)
    chains = {"outer": ["outer", "conv"]}
    inside = replace(observed, joint=replace(observed.joint, chains=chains, consumers={"conv": "c"}))
    (finding,) = findings(inside, isolated={"c": 0.98})
    assert (finding.node, finding.cure) == ("outer", "quant.skip_nodes=[other,outer,conv]")
    assert findings(inside, isolated={"c": 0.995}) == findings(inside) == []


def test_a_single_part_is_no_joint():
    assert findings(joined(part())) == []


def test_an_output_in_float_joins_without_harm():
    assert findings(joined(part(), part("box", 255.0)), params=NetworkParams([], [])) == []


def test_a_detector_that_is_not_cut_is_cut():
    head = ExportedHead(recognize(yolov8()), cut=False)
    joint = joined(part(), part("box", 255.0))
    assert findings(joint, head=head)[0].cure == "model.cut=true"
    named = replace(CONFIG, model=ModelConfig(name="net", outputs=["y"]))
    assert findings(joint, head=head, config=named)[0].cure == "model.cut=true model.outputs=[]"
    assert findings(joint, head=replace(head, cut=True))[0].cure == "quant.skip_nodes=[other,outer]"


# --- planted in networks ---


def found(model, fed, soc, **quant):
    """The findings on a network after quantization, and the network."""
    quantized = quantized_network(model, fed, soc_config(soc), **quant)
    compared_networks = networks(quantized.model, quantized.integer, quantized.params)
    graph = compared_networks.reference
    observer = PartObserver(find_joints(graph, graph.float_tensors))
    compared(compared_networks, fed, [observer.add])
    return findings(*observer.observed(), params=quantized.params, config=Config(quant=QuantConfig("q"))), observer


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_a_score_beside_landmarks(soc):
    ((finding,), _) = found(landmarks_and_scores(), pictures(), soc)
    assert (finding.node, finding.evidence["part"]) == ("join", "score")
    assert finding.cure == "quant.skip_nodes=[join]"
    assert finding.evidence["quantized_values"] <= 2
    assert finding.evidence["error"] > 0.9
    cured, observer = found(landmarks_and_scores(), pictures(), soc, skip_nodes=["join"])
    assert cured == []
    score = observer.observed()[-1].parts[1]
    assert score.relative_error == pytest.approx(finding.evidence["error_before"], rel=1e-3)


def test_landmarks_of_the_score_s_size_do_it_no_harm():
    assert found(landmarks_and_scores(scale=1.0), pictures(), "t40")[0] == []


def test_a_variance_beside_means_in_one_output():
    ((finding,), _) = found(mean_and_variance(), pictures(), "bm1684x")
    assert (finding.node, finding.evidence["part"], finding.cure) == ("last", "channel 3", "quant.skip_nodes=[last]")
    cured, observer = found(mean_and_variance(), pictures(), "bm1684x", skip_nodes=["last"])
    assert cured == []
    assert observer.observed()[-1].parts[3].relative_error == pytest.approx(finding.evidence["error_before"], rel=0.1)


def test_an_ingenic_soc_returns_the_last_layer_in_float():
    assert found(mean_and_variance(), pictures(), "t40")[0] == []


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
@pytest.mark.parametrize("seed", range(3))
def test_a_sound_network_has_none(soc, seed):
    rng = np.random.default_rng(seed)
    fed = [{"images": rng.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for _ in range(8)]
    assert found(tiny_classifier(seed=seed), fed, soc)[0] == []


def test_a_detector_s_scores_beside_boxes_in_pixels():
    model = yolov8()
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{index}"
    rng = np.random.default_rng(0)
    fed = [{"images": rng.normal(0, 1, (1, 3, HEIGHT, WIDTH)).astype(np.float32)} for _ in range(3)]
    ((finding, *_), _) = found(model, fed, "t40")
    assert finding.node == model.graph.node[-1].name
    assert model.graph.node[-1].op_type == "Concat"
    assert finding.evidence["part"].startswith("Sigmoid")
