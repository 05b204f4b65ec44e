import numpy as np
import pytest
from onnx import numpy_helper

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.qparams import SHARED
from stages.core.integer.rules import shift_parameters
from stages.quantize.partition.subgraphs import find_pieces
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.moves import draft_of

PICTURES = [{"images": np.random.default_rng(i).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)} for i in range(3)]


def tiny(soc="t40", **quant):
    return draft_of(tiny_classifier(), PICTURES, soc_config(soc), **quant)


def test_it_is_lowered_as_the_parts_are():
    draft, found = tiny(), quantized_network(tiny_classifier(), PICTURES, soc_config("t40"))
    integer, notes = draft.lowered()
    assert integer == found.integer
    assert notes == []
    assert (draft.params().features, draft.params().weights) == (found.params.features, found.params.weights)


def test_a_corrected_bias_reaches_the_integer_model():
    draft = tiny()
    target = draft.graph.nodes[-1]
    bias = draft.bias(target) + np.float32(0.5)
    changed = draft.copy()
    changed.biases["fc"] = bias
    assert "fc" not in draft.biases
    np.testing.assert_array_equal(changed.bias(target), bias)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in changed.lowered()[0].graph.initializer}
    products = np.float64(draft.features["flat"].scale) * np.float64(draft.weights["fc"].scales)
    np.testing.assert_allclose(stored["fc/bias"], bias / products, rtol=0, atol=0.51)


def test_a_copy_changes_by_itself():
    draft = tiny()
    before = (dict(draft.features), dict(draft.weights), dict(draft.codes), dict(draft.biases))
    changed = draft.copy()
    changed.features.clear()
    changed.weights.clear()
    changed.codes.clear()
    changed.biases["stem"] = np.zeros(8, dtype=np.float32)
    assert (draft.features, draft.weights, draft.biases) == (before[0], before[1], {})
    assert draft.codes.keys() == before[2].keys()


def test_a_piece_has_its_weights_on_their_grid_and_its_own_biases():
    draft = tiny(weight_bits=4)
    draft.biases |= {"stem": np.arange(8, dtype=np.float32), "fc": np.zeros(3, dtype=np.float32)}
    subgraph = find_pieces(draft.graph, draft.setup.layers)[0]
    model = draft.subgraph(subgraph)
    value = Graph(model).constant("w1")
    scales = np.float32(draft.weights["stem"].scales).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(value, draft.codes["stem"] * scales, rtol=1e-6)
    assert [tensor.name for tensor in model.graph.initializer] == ["w1", "stem/bias/corrected"]
    (made,) = Runner(model).run({"images": np.zeros((1, 3, 16, 16), dtype=np.float32)}).values()
    np.testing.assert_array_equal(made[0, :, 4, 4], np.arange(8))


def test_features_of_a_piece():
    draft = tiny()
    subgraphs = find_pieces(draft.graph, draft.setup.layers)
    assert [entry.tensor for entry in draft.made(subgraphs[0])] == ["images", "r1"]
    assert [entry.tensor for entry in draft.made(subgraphs[3])] == ["r1", "c3", "sum"]


# --- other scales


def test_codes_that_are_passed_on_are_rescaled_along():
    nodes = [
        node("Conv", ["x", "w"], ["a"], "a"),
        node("MaxPool", ["a"], ["b"], "b", kernel_shape=[2, 2]),
        node("Conv", ["b", "w"], ["y"], "y"),
    ]
    model = graph_model(nodes, {"x": [1, 2, 4, 4]}, ["y"], {"w": np.random.default_rng(0).normal(0, 1, (2, 2, 1, 1))})
    feeds = [{"x": np.random.default_rng(i).normal(0, 1, (1, 2, 4, 4)).astype(np.float32)} for i in range(2)]
    draft = draft_of(model, feeds, soc_config("t40"))
    assert draft.features["b"].method == SHARED
    others = {name: entry for name, entry in draft.features.items() if name not in ("a", "b")}
    draft.rescale("a", np.float32([0.125]))
    for name in ("a", "b"):
        entry = draft.features[name]
        assert (entry.scale, entry.channel_scales) == (0.125, ())
        assert (entry.low, entry.high) == (-0.125 * entry.zero_point, 0.125 * (255 - entry.zero_point))
    assert {name: entry for name, entry in draft.features.items() if name not in ("a", "b")} == others


def test_rounding_anew_at_the_same_scales_keeps_codes_as_given():
    draft = tiny(weight_bits=4)
    scales = np.float32(draft.weights["stem"].scales)
    codes = -draft.codes["stem"]
    draft.reround(draft.graph.nodes[0], scales, codes)
    np.testing.assert_array_equal(draft.codes["stem"], codes)
    np.testing.assert_allclose(draft.weights["stem"].scales, scales, rtol=0.01)


def test_where_every_gain_is_a_power_of_two_codes_follow_the_scales():
    draft = tiny("bm1684")
    assert draft.soc.requantization is Requantization.shift
    (target,) = (n for n in draft.graph.nodes if n.name == "project")
    wanted = np.float32(draft.weights["project"].scales) * np.float32(1.3)
    codes = draft.codes["project"].copy()
    draft.reround(target, wanted, codes)
    entry = draft.weights["project"]
    gains = draft.features["r2"].scale * np.float64(entry.scales) / draft.features["c3"].scale
    _, shift = shift_parameters(gains)
    np.testing.assert_allclose(gains, 2.0**-shift, rtol=1e-5)
    moved = wanted / np.float32(entry.scales)
    expected = np.clip(np.rint(codes * moved.reshape(-1, 1, 1, 1)), -127, 127)
    np.testing.assert_array_equal(draft.codes["project"], expected if abs(moved[0] - 1) >= 0.05 else codes)


@pytest.mark.parametrize("name", ["stem", "fc"])
def test_codes_stay_within_their_width(name):
    draft = tiny(weight_bits=4)
    (target,) = (n for n in draft.graph.nodes if n.name == name)
    scales = np.float32(draft.weights[name].scales) * np.float32(10)
    draft.reround(target, scales, np.full(draft.codes[name].shape, 7, dtype=np.int32))
    assert np.abs(draft.codes[name]).max() <= 7
