import numpy as np
import onnx
import pytest

from stages.bisect.suspects import find_suspects, similarity_rows
from stages.compare.__main__ import compare
from stages.core.config.schema import Config, FakeQuant, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.collect import collect
from stages.quantize.float_network import Network
from stages.quantize.pipeline import Pipeline
from tests.networks import soc_config, tiny_classifier

pytestmark = pytest.mark.usefixtures("undrawn")

NODES = ["stem", "depthwise", "project", "residual", "pool", "flatten", "fc"]
KINDS = ["Conv", "DepthwiseConv", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm"]


def candidate(model=None, **quant):
    model = model or tiny_classifier()
    picture = np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)
    graph, config = Graph(model), Config(soc=soc_config("t40"), quant=QuantConfig("q", **quant))
    network = Network(graph, collect(model, [("0", {"images": picture})]))
    return Pipeline(config, network, {}, None, None, None).choose_parameters(network, config.quant)


def rows(**cosines):
    graph = Graph(tiny_classifier())
    return [{"node": node.name, "cosine_avg": cosines.get(node.name, 1.0)} for node in graph.nodes]


def test_layers_are_suspects_a_fused_one_by_its_first_node():
    found = find_suspects(candidate(), soc_config("t40"), None)
    assert [suspect.name for suspect in found] == NODES
    assert [suspect.kind for suspect in found] == KINDS
    assert [suspect.weight for suspect in found] == pytest.approx([1 / 7] * 7)


@pytest.mark.parametrize("side", [FakeQuant.weight, FakeQuant.feature])
def test_with_one_side_in_float_all_that_the_other_touches_are(side):
    found = [suspect.name for suspect in find_suspects(candidate(fake_quant=side), soc_config("t40"), None)]
    weighted = ["stem", "depthwise", "project", "fc"]
    assert found == (weighted if side is FakeQuant.weight else NODES)


def test_what_is_in_float_anyway_is_none():
    skipping = candidate(skip_nodes=["depthwise_relu6"], skip_ops=["Gemm"])
    found = find_suspects(skipping, soc_config("t40"), None)
    assert [suspect.name for suspect in found] == ["stem", "project", "residual", "pool", "flatten"]
    model = tiny_classifier()
    model.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["p"], "softmax"))
    found = find_suspects(candidate(onnx.shape_inference.infer_shapes(model)), soc_config("t40"), None)
    assert "softmax" not in [suspect.name for suspect in found]


def test_a_layer_weighs_as_much_as_similarity_falls_there():
    # stem .98: falls .02; depthwise .98: 0; project .92: .06; residual, of stem_relu's .98 and .92, .90: .02; then up
    table = rows(
        stem_relu=0.98,
        depthwise_relu6=0.98,
        project=0.92,
        residual=0.90,
        pool=0.95,
        flatten=0.95,
        fc=0.97,
        depthwise=0.1,
    )
    found = find_suspects(candidate(), soc_config("t40"), table)
    expected = [1 / 7 + share for share in (0.2, 0, 0.6, 0.2, 0, 0, 0)]
    assert [suspect.weight for suspect in found] == pytest.approx(expected)


def test_a_table_without_a_fall_tells_nothing():
    found = find_suspects(candidate(), soc_config("t40"), rows())
    assert [suspect.weight for suspect in found] == pytest.approx([1 / 7] * 7)


def test_the_table_of_this_network_at_these_settings_is_read(quantized):
    graph = Graph(tiny_classifier())
    assert similarity_rows(quantized, graph) == (None, [])
    compare(quantized)
    table, notes = similarity_rows(quantized, graph)
    assert [row["node"] for row in table] == [node.name for node in graph.nodes]
    assert notes == []


def test_a_table_of_another_network_or_other_settings_is_not(quantized):
    compare(quantized)
    other = tiny_classifier()
    other.graph.node[0].name = "root"
    note = "out/compare/similarity.json is of another network: all nodes are equally suspect"
    assert similarity_rows(quantized, Graph(other)) == (None, [note])
    quantized.quant.feature_bits = 10
    note = "out/compare/similarity.json is of other settings: all nodes are equally suspect"
    assert similarity_rows(quantized, Graph(tiny_classifier())) == (None, [note])
