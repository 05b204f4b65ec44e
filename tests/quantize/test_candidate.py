import numpy as np
import pytest
from onnx import numpy_helper

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.rules import shift_parameters
from stages.quantize.partition.subgraphs import layer_subgraphs
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.candidates import candidate_of

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]


def tiny(soc="t40", **quant):
    return candidate_of(tiny_classifier(), PICTURES, soc_config(soc), **quant)


def test_it_is_lowered_as_the_parts_are():
    candidate, actual = tiny(), quantized_network(tiny_classifier(), PICTURES, soc_config("t40"))
    integer, notes = candidate.lowered()
    assert integer == actual.integer
    assert notes == []
    assert (candidate.params().features, candidate.params().weights) == (actual.params.features, actual.params.weights)


def test_a_corrected_bias_reaches_the_integer_model():
    candidate = tiny()
    target = candidate.graph.nodes[-1]
    bias = candidate.bias(target) + np.float32(0.5)
    changed = candidate.copy()
    changed.biases["fc"] = bias
    assert "fc" not in candidate.biases
    np.testing.assert_array_equal(changed.bias(target), bias)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in changed.lowered()[0].graph.initializer}
    products = np.float64(candidate.features["flat"].scale) * np.float64(candidate.weights["fc"].scales)
    np.testing.assert_allclose(stored["fc/bias"], bias / products, rtol=0, atol=0.51)


def test_a_copy_changes_by_itself():
    candidate = tiny()
    before = (dict(candidate.features), dict(candidate.weights), dict(candidate.codes), dict(candidate.biases))
    changed = candidate.copy()
    changed.features.clear()
    changed.weights.clear()
    changed.codes.clear()
    changed.biases["stem"] = np.zeros(8, dtype=np.float32)
    assert (candidate.features, candidate.weights, candidate.biases) == (before[0], before[1], {})
    assert candidate.codes.keys() == before[2].keys()


def test_a_piece_has_its_weights_on_their_grid_and_its_own_biases():
    candidate = tiny(weight_bits=4)
    candidate.biases |= {"stem": np.arange(8, dtype=np.float32), "fc": np.zeros(3, dtype=np.float32)}
    subgraph = layer_subgraphs(candidate.graph, candidate.setup.layers)[0]
    model = candidate.subgraph(subgraph)
    value = Graph(model).constant("w1")
    scales = np.float32(candidate.weights["stem"].scales).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(value, candidate.codes["stem"] * scales, rtol=1e-6)
    assert [tensor.name for tensor in model.graph.initializer] == ["w1", "stem/bias/corrected"]
    (outputs,) = Runner(model).run({"images": np.zeros((1, 3, 16, 16), dtype=np.float32)}).values()
    np.testing.assert_array_equal(outputs[0, :, 4, 4], np.arange(8))


def test_features_of_a_piece():
    candidate = tiny()
    subgraphs = layer_subgraphs(candidate.graph, candidate.setup.layers)
    assert [feature.tensor for feature in candidate.features_of(subgraphs[0])] == ["images", "r1"]
    assert [feature.tensor for feature in candidate.features_of(subgraphs[3])] == ["r1", "c3", "sum"]


# --- other scales


def test_codes_that_are_passed_on_are_rescaled_along():
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("MaxPool", ["a"], ["b"], "b", kernel_shape=[2, 2]),
        node("Conv", ["b", "w"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], {"w": np.random.default_rng(0).normal(0, 1, (2, 2, 1, 1))})
    feeds = [{"x": np.random.default_rng(i).normal(0, 1, (1, 2, 4, 4)).astype(np.float32)} for i in range(2)]
    candidate = candidate_of(model, feeds, soc_config("t40"))
    assert candidate.features["b"].method.is_shared
    others = {name: entry for name, entry in candidate.features.items() if name not in ("a", "b")}
    candidate.rescale("a", np.float32([0.125]))
    for name in ("a", "b"):
        entry = candidate.features[name]
        assert (entry.scale, entry.channel_scales) == (0.125, ())
        assert (entry.low, entry.high) == (-0.125 * entry.zero_point, 0.125 * (255 - entry.zero_point))
    assert {name: entry for name, entry in candidate.features.items() if name not in ("a", "b")} == others


def test_rounding_anew_at_the_same_scales_keeps_codes_as_given():
    candidate = tiny(weight_bits=4)
    scales = np.float32(candidate.weights["stem"].scales)
    codes = -candidate.codes["stem"]
    candidate.reround(candidate.graph.nodes[0], scales, codes)
    np.testing.assert_array_equal(candidate.codes["stem"], codes)
    np.testing.assert_allclose(candidate.weights["stem"].scales, scales, rtol=0.01)


def test_where_every_effective_scale_is_a_power_of_two_codes_follow_the_scales():
    candidate = tiny("shift")
    assert candidate.soc.requantization is Requantization.shift
    (target,) = (n for n in candidate.graph.nodes if n.name == "project")
    wanted = np.float32(candidate.weights["project"].scales) * np.float32(1.3)
    codes = candidate.codes["project"].copy()
    candidate.reround(target, wanted, codes)
    entry = candidate.weights["project"]
    effective_scales = candidate.features["r2"].scale * np.float64(entry.scales) / candidate.features["c3"].scale
    _, shift = shift_parameters(effective_scales)
    np.testing.assert_allclose(effective_scales, 2.0**-shift, rtol=1e-5)
    moved = wanted / np.float32(entry.scales)
    expected = np.clip(np.rint(codes * moved.reshape(-1, 1, 1, 1)), -127, 127)
    np.testing.assert_array_equal(candidate.codes["project"], expected if abs(moved[0] - 1) >= 0.05 else codes)


@pytest.mark.parametrize("name", ["stem", "fc"])
def test_codes_stay_within_their_width(name):
    candidate = tiny(weight_bits=4)
    (target,) = (n for n in candidate.graph.nodes if n.name == name)
    scales = np.float32(candidate.weights[name].scales) * np.float32(10)
    candidate.reround(target, scales, np.full(candidate.codes[name].shape, 7, dtype=np.int32))
    assert np.abs(candidate.codes[name]).max() <= 7
