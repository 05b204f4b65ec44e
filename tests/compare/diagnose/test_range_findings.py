from dataclasses import replace

import pytest
from onnx import TensorProto, helper

from stages.compare.diagnose.range_findings import few_code_findings, range_findings
from stages.core.config.schema import FeatureMethod, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams, RangeSource
from stages.core.outputs.output_error import PartError
from stages.core.outputs.output_judge import OutputJudgement
from stages.core.outputs.output_kind import OutputKind
from tests.compare.diagnose.examples import feature, observed
from tests.networks import soc_config

FILE = "file:bits.json"


def find(params, seen, soc="t40", **quant):
    return range_findings(NetworkParams([params], []), {"t": seen}, soc_config(soc), QuantConfig("q", **quant))


def test_a_range_of_the_user_that_wastes_codes():
    params = feature(low=-10.0, high=10.0, seen=(-1.0, 1.5), method=RangeSource.node_bits)
    (finding,) = find(params, observed((-0.5, 0.0), (1.0, 1.5)), node_bits=FILE)
    assert (finding.kind, finding.node, finding.cure) == ("range", "t_node", "quant.node_ranges=false")
    assert finding.evidence["times_as_wide"] == pytest.approx(8.0)  # 20 / 2.5


@pytest.mark.parametrize(("high", "is_finding"), [(8.9, False), (9.1, True)])
def test_two_bits_wasted_are_a_finding(high, is_finding):
    """Seen -1 .. 1.5, so the range -1 .. 9 is 4 times as wide."""
    assert (
        bool(
            find(feature(low=-1.0, high=high, method=RangeSource.node_bits), observed((-1.0,), (1.5,)), node_bits=FILE)
        )
        == is_finding
    )


def test_codes_that_the_soc_cannot_use_are_not_wasted():
    """Symmetric codes for -0.01 .. 1 need -1 .. 1, which is nearly twice as wide; -3 .. 3 is 3 times that."""
    params = feature(low=-3.0, high=3.0, seen=(-0.01, 1.0), method=RangeSource.node_bits)
    assert find(params, observed((0.0,), (1.0,)), node_bits=FILE)
    assert not find(params, observed((0.0,), (1.0,)), soc="bm1684x", node_bits=FILE)


def test_clipping_by_the_method():
    params = feature(method=RangeSource.KL, seen=(-1.0, 9.0))
    (finding,) = find(params, observed((-1.0,), (9.0,), clipped=0.02), feature_method=FeatureMethod.KL)
    assert (finding.kind, finding.cure) == ("range", "quant.feature_method=OUTPUT")
    assert finding.evidence["clipped_share"] == 0.02


@pytest.mark.parametrize("method", ["MAX_ABS", "MSE", "ADMM", "OUTPUT"])
def test_clipping_that_was_weighed_against_rounding_is_no_finding(method):
    """OUTPUT clips much before a SiLU, which makes 0 of what lies far below 0."""
    params = feature(method=RangeSource(method), seen=(-90.0, 1.5))
    assert not find(params, observed((-90.0,), (1.5,), clipped=0.5), feature_method=FeatureMethod[method])


def test_clipping_by_the_user():
    (finding,) = find(
        feature(method=RangeSource.node_bits, seen=(-1.0, 9.0)), observed((-1.0,), (9.0,), clipped=0.5), node_bits=FILE
    )
    assert finding.cure == "quant.node_ranges=false"


def test_sound_ranges_and_what_calibration_missed_are_no_finding():
    assert not find(feature(), observed((-1.0,), (1.5,)))
    assert not find(feature(method=RangeSource.KL), observed(clipped=0.009), feature_method=FeatureMethod.KL)
    assert not find(feature(), observed((-1.0,), (9.0,), clipped=0.5, beyond=0.5))
    assert not find(feature(low=-100.0, high=100.0, method=RangeSource.shared), observed())


def test_worst_first():
    features = [
        feature("a", -4.0, 9.0, method=RangeSource.node_bits),
        feature("b", -40.0, 90.0, method=RangeSource.node_bits),
    ]
    seen = {name: observed((-1.0,), (1.5,)) for name in "ab"}
    findings = range_findings(NetworkParams(features, []), seen, soc_config("t40"), QuantConfig("q", node_bits=FILE))
    assert [finding.node for finding in findings] == ["b_node", "a_node"]


# --- logits ---


def tail():
    """A Conv whose logits a Transpose and a Reshape hand to the output y."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Transpose", ["c"], ["t"], "transpose", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["t", "shape"], ["y"], "reshape"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", [1, 8, 8, 8]),)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 1])]
    return Graph(helper.make_model(helper.make_graph(nodes, "tail", ends, outputs)))


def few_codes(high=2.85, low=-4770.0, error=1.0, kind=OutputKind.logits, soc=None, **quant):
    params = NetworkParams([feature("y", low, max(high, 0.0), seen=(low, high), method=RangeSource.shared)], [])
    judged = OutputJudgement("y", kind, [PartError("y", "", 64, 1.0, error)], [1.0])
    seen = {"y": observed((low / 2,), (high / 2,))}
    return few_code_findings(tail(), params, seen, [judged], soc or soc_config("t40"), QuantConfig("q", **quant))


def test_logits_of_which_those_above_0_have_no_codes():
    (finding,) = few_codes(skip_nodes=["other"])
    assert (finding.kind, finding.node) == ("few_codes", "conv")
    assert finding.cure == "quant.skip_nodes=[other,transpose,reshape]"  # the T40 gives sums of a Conv in float
    assert finding.sentence == (
        "y has -4770 .. 2.85 in 8-bit codes of 18.7 each: what decides, above 0 and up to 2.85, has 0 codes. The range "
        "is that of conv; quant.feature_bits gives it no more: Transpose behind it has 8 on the T40"
    )
    assert (finding.evidence["codes"], finding.evidence["bits"], finding.evidence["output"]) == (0.0, 8.0, "y")


def test_without_float_outputs_the_layer_stays_in_float_too():
    (finding,) = few_codes(soc=replace(soc_config("t40"), float_outputs=False))
    assert finding.cure == "quant.skip_nodes=[conv,transpose,reshape]"


def test_a_move_that_the_soc_has_not_in_integers_takes_no_bits():
    soc = soc_config("t40")
    lacking = {
        name: replace(group, types=[each for each in group.types if each != "Transpose"])
        for name, group in soc.operators.items()
    }
    (finding,) = few_codes(soc=replace(soc, operators=lacking))
    assert finding.sentence.endswith("The range is that of conv")


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"low": -40.0}, False),  # a step of 0.168: 17 codes
        ({"low": -45.0}, True),  # 0.188: 15.2
        ({"high": -1.0}, False),  # nothing is ever above 0
        ({"error": 0.1}, False),  # good
        ({"kind": OutputKind.values}, False),
    ],
)
def test_few_codes_are_a_finding_where_they_decide(changed, found):
    assert bool(few_codes(**changed)) is found
