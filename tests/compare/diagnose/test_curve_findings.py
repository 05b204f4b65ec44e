from dataclasses import replace

import numpy as np
import pytest

from stages.compare.diagnose.curve_findings import accumulated, curve_findings, not_finite_findings
from stages.compare.diagnose.loss_by_depth import LayerLoss
from stages.compare.gather.comparison import SOURCES
from stages.compare.gather.similarity import Similarity
from stages.core.config.schema import FeatureMethod, QuantConfig, Rounding
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from tests.compare.diagnose.examples import feature, row, table, weight
from tests.export.graphs import graph_model, node
from tests.networks import soc_config

PARAMS = NetworkParams([feature()], [weight("n0")])
COSINES = [0.999, 0.999, 0.9, 0.9, 0.9, 0.9]
MANY = [LayerLoss([f"n{index}"], 0.05 * index, 0.05 * index + 0.05, 0.3) for index in range(6)]
"""A sixth of the loss each."""


def rows_of(cosines, sides):
    rows = [row(f"n{index}", value) for index, value in enumerate(cosines)]
    if sides:
        rows[-1] |= {"feature_cosine": sides[0], "weight_cosine": sides[1]}
        return rows
    return [{key: value for key, value in each.items() if key not in SOURCES} for each in rows]


def find(cosines=COSINES, losses=MANY, sides=(0.9, 0.99), params=PARAMS, soc="t40", **quant):
    rows = rows_of(cosines, sides)
    return curve_findings(table(rows), losses, params, soc_config(soc), QuantConfig("q", **quant))


def test_a_first_layer_below_099_that_costs_most():
    first = [LayerLoss(["n0"], 0.0, 0.2, 0.3), LayerLoss(["n1"], 0.2, 0.3, 0.3)]
    (finding,) = find([0.985, 0.999, 0.999], first)
    assert (finding.kind, finding.node, finding.cure) == ("first_layer", "n0", None)
    (finding,) = find([0.985, 0.999, 0.999], first[::-1])
    assert finding.kind == "falls"


def test_at_few_bits_a_low_first_layer_says_nothing():
    first = [LayerLoss(["n0"], 0.0, 0.2, 0.3)]
    (finding,) = find([0.985, 0.999, 0.999], first, params=NetworkParams([feature(bits=4)], []))
    assert finding.kind == "falls"


def test_a_layer_that_costs_the_outputs_most():
    (finding,) = find(losses=[LayerLoss(["n3"], 0.0396, 0.19, 0.36), *MANY], sides=None, skip_nodes=["n1"])
    assert (finding.kind, finding.node, finding.cure) == ("falls", "n3", "quant.skip_nodes=[n1,n3]")
    assert finding.sentence == (  # square roots of 0.9604, 0.81 and 0.64
        "n3 costs the outputs most: with all layers before it in integers and the rest in float their fidelity is "
        "0.9800, with it in integers too 0.9000, of the whole network 0.8000"
    )
    assert finding.evidence["share_of_loss"] == pytest.approx((0.19 - 0.0396) / 0.36)


def test_a_few_layers_are_blamed_together():
    (finding,) = find(losses=[LayerLoss(["n2", "n3"], 0.0, 0.2, 0.36)])
    assert (finding.node, finding.cure) == ("n3", "quant.skip_nodes=[n2,n3]")
    assert finding.sentence.startswith("n2 to n3 cost the outputs most: with all layers before them")
    (finding,) = find(losses=[LayerLoss([f"m{index}" for index in range(7)], 0.0, 0.2, 0.36)])
    assert finding.kind == "accumulates"


def test_many_layers_cost_a_little_each():
    (finding,) = find()
    assert (finding.kind, finding.node) == ("accumulates", None)
    assert finding.sentence == (
        "the loss accumulates over many layers, most in n0 (17 % of it): no single layer is to blame; "
        "the output has cosine 0.9000 with features alone quantized, 0.9900 with weights alone"
    )
    assert (finding.evidence["most"], finding.evidence["nodes"]) == ("n0", 6)
    assert accumulated(table(rows_of(COSINES, None)), [], PARAMS).sentence == "the loss accumulates over many layers"


def test_a_layer_that_costs_most_and_in_float_changes_nothing():
    finding = accumulated(table(rows_of(COSINES, None)), [LayerLoss(["n3"], 0.0, 0.18, 0.36), *MANY], PARAMS)
    assert finding.sentence == "50 % of the loss arises in n3, but to keep only that in float does not help"


@pytest.mark.parametrize(
    ("sides", "soc", "cure"),
    [
        ((0.9, 0.99), "t40", "quant.feature_bits=10"),
        ((0.99, 0.9), "t40", None),  # 8 bits are the widest weights of a T40
        ((0.9, 0.99), "bm1684x", None),
    ],
)
def test_what_is_left_to_try(sides, soc, cure):
    best = {"feature_method": FeatureMethod.OUTPUT}
    done = {"feature_correction": True, "weight_correction": True}
    (finding,) = find(sides=sides, soc=soc, rounding=Rounding.compensate, **best, **done)
    assert finding.cure == cure


@pytest.mark.parametrize(
    ("sides", "bits", "settings", "cure"),
    [
        ((0.9, 0.99), 8, {"feature_method": FeatureMethod.KL}, "quant.feature_method=OUTPUT"),
        ((0.9, 0.99), 8, {"feature_method": FeatureMethod.OUTPUT}, "quant.feature_correction=true"),
        ((0.99, 0.9), 8, {}, "quant.rounding=compensate"),
        ((0.99, 0.9), 8, {"rounding": Rounding.compensate}, "quant.weight_correction=true"),
        ((0.9, 0.99), 4, {}, "quant.rounding=compensate"),
        ((0.99, 0.9), 4, {}, "quant.rounding=compensate"),
        ((0.9, 0.99), 4, {"rounding": Rounding.compensate, "feature_bits": 4}, "quant.feature_bits=8"),
        ((0.99, 0.9), 4, {"rounding": Rounding.compensate, "weight_bits": 4}, "quant.weight_bits=6"),
    ],
)
def test_the_mildest_step_first(sides, bits, settings, cure):
    params = NetworkParams([feature(bits=bits)], [weight("n0", bits=bits)])
    (finding,) = find(sides=sides, params=params, **settings)
    assert finding.cure == cure


def test_a_network_without_a_row_has_none():
    assert curve_findings(table([]), [], PARAMS, soc_config("t40"), QuantConfig("q")) == []


@pytest.mark.parametrize(
    ("bits", "weight_bits", "said", "cure"),
    [
        (4, 4, "; features have 4 bits and weights have 4 bits", "quant.rounding=compensate"),
        (4, 8, "; features have 4 bits", "quant.rounding=compensate"),
        (8, 4, "; weights have 4 bits", "quant.rounding=compensate"),
        (8, 8, "(17 % of it): no single layer is to blame", "quant.feature_method=OUTPUT"),
    ],
)
def test_few_bits_are_named_without_the_isolated_errors(bits, weight_bits, said, cure):
    params = NetworkParams([feature(bits=bits)] * 3, [weight("n0", bits=weight_bits)] * 3)
    (finding,) = find(sides=None, params=params, feature_bits=bits, weight_bits=weight_bits)
    assert finding.sentence.endswith(said)
    assert finding.cure == cure


def test_without_the_isolated_errors_the_side_of_few_bits_is_to_blame():
    params = NetworkParams([feature(bits=8)], [weight("n0", bits=4)])
    (finding,) = find(sides=None, params=params, weight_bits=4, rounding=Rounding.compensate)
    assert finding.cure == "quant.weight_bits=6"


# --- values that are not finite


def logarithm(*before, count=(2, 4)):
    """A convolution, these operators, a Log in float that is not finite on some pictures, and what follows."""
    nodes, last = [node("Conv", ["x", "w"], ["c"], "conv")], "c"
    for number, kind in enumerate(before):
        nodes.append(node(kind, [last] * (2 if kind == "Add" else 1), [f"t{number}"], f"{kind}{number}"))
        last = f"t{number}"
    nodes += [node("Log", [last], ["y"], "log"), node("Neg", ["y"], ["z"], "neg")]
    graph = Graph(graph_model(nodes, {"x": [1, 1, 2, 2]}, ["z"], {"w": np.ones((1, 1, 1, 1))}))
    pictures = [{"picture": str(number), "node": "log"} for number in range(count[1])]
    similarity = Similarity({name: {} for name in graph.producers}, {}, pictures, {"z": 4, "y": count[0]})
    return graph, similarity


def found(graph, similarity, **quant):
    integers = graph.producers.keys() - {"y", "z"}
    return not_finite_findings(graph, integers, similarity, QuantConfig("q", **quant), "sample")


def test_the_first_node_that_is_not_finite_and_the_layers_before_it():
    """Transposing keeps the codes, and the sums of a convolution reach float as they are."""
    (finding,) = found(*logarithm("Add", "Transpose", "Abs"), skip_nodes=["conv"])
    assert (finding.kind, finding.node) == ("not_finite", "log")
    assert finding.cure == "quant.skip_nodes=[conv,Abs2,Add0]"
    assert finding.sentence == (
        "log (Log) is infinite or not a number in the quantized network, though not in the float network, on 2 of 4 "
        "debug samples; before it in integers: Abs2, Add0"
    )
    assert finding.evidence == {"samples": 2, "of": 4, "tensors": 2, "before": "Abs2, Add0"}


def test_layers_with_weights_only_where_there_are_no_others():
    (finding,) = found(*logarithm())
    assert finding.cure == "quant.skip_nodes=[conv]"


def test_a_few_layers_before_it_at_most():
    (finding,) = found(*logarithm(*["Abs"] * 9))
    assert finding.cure == "quant.skip_nodes=[Abs8,Abs7,Abs6,Abs5,Abs4,Abs3]"


def test_where_all_is_finite_there_is_no_such_finding():
    graph, similarity = logarithm()
    assert found(graph, replace(similarity, not_finite={})) == []
