"""Layers in float among integer ones: what they take, and that reference and simulator agree around them."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.reference import run_reference
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import Quantized, quantized_network, soc_config, tiny_classifier
from tests.quantize.emit.test_lower import assert_reference_equal, kinds, quantized_case, simulated, values

PICTURE = [1, 3, 16, 16]
NAMES = ["stem", "depthwise", "project", "residual", "pool", "flatten", "fc"]


def tiny(*skipped: str, soc: str = "t40", **quant: object) -> Quantized:
    pictures = [{"images": values(*PICTURE, seed=seed, deviation=1)} for seed in range(3)]
    return quantized_network(tiny_classifier(), pictures, soc_config(soc), skip_nodes=list(skipped), **quant)


FEEDS = {"images": values(*PICTURE, seed=9, deviation=1)}


def real(network: Quantized, tensor: str) -> np.ndarray:
    """The dequantized codes of a tensor of the integer model."""
    (params,) = (feature for feature in network.params.features if feature.tensor == tensor)
    codes = simulated(network, FEEDS)[f"{tensor}/codes" if tensor == "images" else tensor]
    return (codes.astype(np.float64) - params.zero_point) * params.scale


def in_real_numbers(network: Quantized, weight: str, x: np.ndarray, layer: Sequence[onnx.NodeProto]) -> np.ndarray:
    """A convolution and its activation on dequantized codes, its weight dequantized codes too."""
    (params,) = (each for each in network.params.weights if each.tensor == weight)
    stored = {entry.name: numpy_helper.to_array(entry) for entry in network.integer.graph.initializer}
    constants = {entry.name: numpy_helper.to_array(entry) for entry in network.model.graph.initializer}
    constants[weight] = stored[f"{params.node}/weight"] * np.float32(params.scales).reshape(-1, 1, 1, 1)
    names = {name for each in layer for name in each.input}
    used = {name: value for name, value in constants.items() if name in names}
    model = graph_model(list(layer), {layer[0].input[0]: list(x.shape)}, [layer[-1].output[0]], used)
    (y,) = run_onnx(model, {layer[0].input[0]: x.astype(np.float32)})
    return y


def unit(network: Quantized, x: str, weight: str) -> float:
    """A unit of a layer's sums, the largest of its channels: to half of it a bias is rounded."""
    (scale,) = (feature.scale for feature in network.params.features if feature.tensor == x)
    return scale * max(max(each.scales) for each in network.params.weights if each.tensor == weight) / 2


# --- skip lists on a small network


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_skipping_all_nodes_leaves_the_float_network(soc):
    network = tiny(*NAMES, soc=soc)
    assert network.integer.graph.node == network.model.graph.node


@pytest.mark.parametrize("bits", [4, 12])
@pytest.mark.parametrize("skipped", [["residual"], ["pool"], ["flatten"], ["residual", "pool"]])
def test_reference_and_simulator_are_equal_around_layers_without_weights(skipped, bits):
    assert_reference_equal(tiny(*skipped, feature_bits=bits), FEEDS)


@pytest.mark.parametrize("skipped", [["stem"], ["depthwise"], ["project", "residual"], ["stem", "pool", "fc"]])
def test_reference_and_simulator_agree_around_weighted_layers(skipped):
    """ONNX Runtime sums up in another order where it fuses an activation: floats differ in the last digits."""
    network = tiny(*skipped)
    expected = run_reference(network.integer, FEEDS)
    for tensor, actual in simulated(network, FEEDS).items():
        if actual.dtype == np.float32:
            np.testing.assert_allclose(actual, expected[tensor], rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_allclose(actual.astype(int), expected[tensor].astype(int), rtol=0, atol=1)


def test_a_layer_behind_a_convolution_takes_its_sums_unrounded():
    """`depthwise` alone feeds `project`: it returns float, and its Clip runs in float."""
    network = tiny("project")
    assert "r2" not in network.bits
    exact = in_real_numbers(network, "w2", real(network, "r1"), network.model.graph.node[2:4])
    actual = simulated(network, FEEDS)["r2"]
    np.testing.assert_allclose(actual, exact, rtol=1e-5, atol=unit(network, "r1", "w2"))
    assert unit(network, "r1", "w2") < exact.max() / 255 / 10  # far below a step of 8 bits


def test_a_convolution_serves_both_kinds_of_consumers():
    """`stem` feeds `depthwise` in integers and `residual` in float: it runs once, and its result is quantized."""
    network = tiny("residual")
    producers = {name: each for each in network.integer.graph.node for name in each.output}
    assert [producers["r1"].op_type, producers["r1/float"].op_type] == ["Quantize", "Relu"]
    assert producers["sum/float"].input[0] == "r1/float"
    assert len([each for each in network.integer.graph.node if each.op_type == "Conv"]) == 3
    exact = in_real_numbers(network, "w1", real(network, "images"), network.model.graph.node[:2])
    actual = simulated(network, FEEDS)["r1/float"]
    np.testing.assert_allclose(actual, exact, rtol=1e-5, atol=unit(network, "images", "w1"))


def test_the_qdq_network_reads_the_same_values():
    producers = {name: each for each in tiny("residual").qdq.graph.node for name in each.output}
    assert list(producers["sum/float"].input) == ["r1/float", "c3"]
    assert producers["c2"].input[0] == "r1"


def test_weight_scales_follow_the_weights_alone_where_nothing_is_requantized():
    """MAX_ABS: the largest weight of a channel has the code 127; a requantized channel's scale moves by up to 2 %."""
    weight = numpy_helper.to_array(next(each for each in tiny_classifier().graph.initializer if each.name == "w1"))
    largest = np.abs(weight).max(axis=(1, 2, 3)) / np.float32(127)
    scales = {
        names: next(each.scales for each in tiny(*names).params.weights if each.node == "stem")
        for names in ((), ("residual",))
    }
    np.testing.assert_array_equal(np.float32(scales["residual",]), largest)
    assert not np.array_equal(np.float32(scales[()]), largest)


def test_the_codes_beside_the_floats_are_those_of_a_requantized_sum():
    """All but ties: the unit rounds halves of a sum up, Quantize rounds halves of a float32 to even."""
    plain, skipped = tiny(), tiny("residual")
    # the weights' scales move for `mult` alone: the same network with the same scales
    before, after = real(plain, "r1"), real(skipped, "r1")
    steps = np.abs(before - after) / next(f.scale for f in plain.params.features if f.tensor == "r1")
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.05


def test_a_network_input_is_taken_as_it_is():
    network = tiny("stem")
    (actual,) = (simulated(network, FEEDS)[name] for name in ["r1/float"])
    np.testing.assert_array_equal(actual, Runner(with_outputs(network.model, ["r1"])).run(FEEDS)["r1"])


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
def test_an_input_with_consumers_of_both_kinds(soc):
    constants = {"w": values(4, 3, 1, 1), "v": values(4, 3, 1, 1, seed=1)}
    nodes = [
        node("Conv", ["x", "w"], ["a"], "skipped"),
        node("Conv", ["x", "v"], ["b"], "integer"),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    model = graph_model(nodes, {"x": PICTURE}, ["y"], constants)
    feeds = {"x": values(*PICTURE)}
    network = quantized_network(model, [feeds], soc_config(soc), skip_nodes=["skipped"])
    exact = Runner(with_outputs(model, ["a"])).run(feeds)["a"]
    np.testing.assert_allclose(simulated(network, feeds)["a/float"], exact, rtol=1e-5, atol=1e-6)


# --- layers that the SOC cannot run in integers


@pytest.mark.parametrize(
    ("soc", "expected"),
    [
        ("t40", ["Conv!", "Transpose", "Erf"]),
        ("bm1684x", ["Conv!", "Transpose", "Dequantize!", "Erf"]),
    ],
)
def test_a_move_before_an_operator_that_the_soc_lacks(soc, expected):
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Transpose", ["c"], ["t"], "turn", perm=[0, 2, 3, 1]),
        node("Erf", ["t"], ["y"], "erf"),
    ]
    model = graph_model(nodes, {"x": PICTURE}, ["y"], {"w": values(4, 3, 1, 1)})
    network = quantized_network(model, [{"x": values(*PICTURE)}], soc_config(soc))
    assert kinds(network) == expected
    assert_reference_equal(network, {"x": values(*PICTURE, seed=5)})


@pytest.mark.parametrize(
    ("name", "soc", "reason"),
    [
        ("average_pool_padded", "bm1684x", "an average pool whose padding is not counted"),
        ("average_pool_same", "cv183x", "an average pool whose padding is not counted"),
        ("mat_mul_of_features", "bm1688", "a product of two features"),
        ("conv_transpose_grouped", "cv181x", "a grouped ConvTranspose on this chip"),
    ],
)
def test_what_tpu_mlir_computes_by_no_known_rule_stays_in_float(name, soc, reason):
    (found,) = quantized_case(name, soc).setup.float_reasons.values()
    assert reason in found


@pytest.mark.parametrize(
    ("name", "soc"), [("average_pool", "bm1684x"), ("average_pool_counting", "cv181x"), ("mat_mul", "bm1688")]
)
def test_its_like_with_a_rule_runs_in_integers(name, soc):
    assert not quantized_case(name, soc).setup.float_reasons
