import numpy as np
import onnx
import pytest

from stages.compare.gather.layers import computed_in_integers
from stages.compare.gather.partial.feature_network import feature_network
from stages.compare.gather.partial.isolated_network import isolated_network
from stages.core.config.schema import ChannelScales, FakeQuant
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from tests.compare.gather.partly_quantized import constants, features_of, pictures, rounded, values_of
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier


def alone(network, feeds):
    """Tensors of the float network, and what each layer alone makes of them; one that is exact is left out there."""
    graph = Graph(onnx.shape_inference.infer_shapes(network.model))
    isolated = isolated_network(network.qdq, network.integer, graph, network.params)
    computed = [name for name in graph.float_tensors if name in graph.producers]
    tensors = Runner(with_outputs(network.model, computed)).run(feeds) | feeds
    runner = Runner(isolated.model, optimize="none")
    outputs = runner.run({name: tensors[name] for name in runner.inputs})
    return tensors, {tensor: outputs[name] for tensor, name in isolated.outputs.items()}


def weight_of(network, name):
    """A 1x1 convolution's dequantized weight [M, C] and bias [M], the bias at the accumulator's scale."""
    params = next(weight for weight in network.params.weights if weight.node == name)
    stored, features = constants(network.integer), features_of(network)
    source = next(node for node in network.model.graph.node if node.name == name)
    scales = np.array(params.scales, dtype=np.float64)
    weight = stored[f"{name}/weight"].astype(np.float64).reshape(len(scales), -1) * scales[:, None]
    unit = np.array(features[source.input[0]].channel_scales or features[source.input[0]].scale) * scales
    return weight, np.rint(constants(network.model)[source.input[2]] / unit) * unit


@pytest.mark.parametrize(
    ("soc", "bits", "weight_bits"), [("t40", 8, 8), ("t40", 12, 8), ("t40", 8, 4), ("bm1684x", 8, 8)]
)
def test_a_convolution_alone_is_what_numpy_makes_of_the_float_network_s_tensor(soc, bits, weight_bits):
    network = quantized_network(
        tiny_classifier(), pictures(), soc_config(soc), feature_bits=bits, weight_bits=weight_bits
    )
    (feeds,) = pictures(1)
    tensors, isolated = alone(network, feeds)
    features = features_of(network)
    weight, bias = weight_of(network, "project")
    expected = np.einsum("nchw,mc->nmhw", rounded(tensors["r2"], features["r2"]), weight) + bias[:, None, None]
    expected = rounded(expected, features["c3"])
    apart = np.abs(isolated["c3"] - expected)
    assert np.median(apart) < 1e-6
    assert apart.max() <= 1.01 * features["c3"].scale  # a tie of float32 sums
    assert (apart > 1e-5).mean() < 0.01


def test_a_sum_alone_takes_rounded_float_tensors():
    network = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    tensors, isolated = alone(network, *pictures(1))
    features = features_of(network)
    expected = rounded(rounded(tensors["r1"], features["r1"]) + rounded(tensors["c3"], features["c3"]), features["sum"])
    assert np.abs(isolated["sum"] - expected).max() <= 1.01 * features["sum"].scale
    assert np.median(np.abs(isolated["sum"] - expected)) < 1e-6


def test_codes_that_are_passed_on_are_rounded_once():
    network = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    tensors, isolated = alone(network, *pictures(1))
    np.testing.assert_allclose(isolated["flat"], rounded(tensors["flat"], features_of(network)["pooled"]), rtol=1e-6)


def test_the_inside_of_a_fused_layer_is_not_rounded_and_its_activation_takes_it():
    network = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    _, isolated = alone(network, *pictures(1))
    step = features_of(network)["r2"].scale
    assert isolated["c2"].min() < -0.5
    np.testing.assert_allclose(isolated["r2"], np.clip(isolated["c2"], 0, 6), rtol=0, atol=0.51 * step)
    np.testing.assert_allclose(isolated["r2"] / step, np.rint(isolated["r2"] / step), atol=1e-3)


def test_a_gated_layer_alone():
    nodes = [node("Sigmoid", ["x"], ["s"], "gate"), node("Mul", ["x", "s"], ["y"], "mul")]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": [1, 64]}, ["y"]))
    feeds = {"x": np.linspace(-4, 4, 64, dtype=np.float32)[None]}
    network = quantized_network(model, [feeds], soc_config("t40"))
    _, isolated = alone(network, feeds)
    given = rounded(feeds["x"], features_of(network)["x"])
    np.testing.assert_allclose(isolated["s"], 1 / (1 + np.exp(-given)), rtol=1e-5)
    expected = rounded(given / (1 + np.exp(-given)), features_of(network)["y"])
    assert np.abs(isolated["y"] - expected).max() <= 1.01 * features_of(network)["y"].scale
    assert np.median(np.abs(isolated["y"] - expected)) < 1e-6


def test_scales_of_channels():
    """The stem's output has a scale a channel: a depthwise convolution alone takes it."""
    model = tiny_classifier()
    model.graph.node[5].input[0] = "r2"  # the residual takes the depthwise convolution's output
    network = quantized_network(model, pictures(), soc_config("t40"), channel_scales=ChannelScales.always)
    feature = features_of(network)["r1"]
    assert len(set(feature.channel_scales)) > 1
    tensors, isolated = alone(network, *pictures(1))
    given = np.maximum(isolated["c1"].astype(np.float64), 0)
    assert np.abs(isolated["r1"] - rounded(given, feature)).max() <= 1.01 * feature.scale
    weight = next(weight for weight in network.params.weights if weight.node == "depthwise")
    kernel = constants(network.integer)["depthwise/weight"] * np.array(weight.scales).reshape(-1, 1, 1, 1)
    padded = np.pad(rounded(tensors["r1"], feature), [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("nchwij,cij->nchw", windows, kernel[:, 0]) + constants(network.model)["b2"][:, None, None]
    np.testing.assert_allclose(isolated["c2"], expected, atol=1e-3)


def test_layers_in_float_are_exact_but_for_the_codes_that_others_take():
    network = quantized_network(
        tiny_classifier(), pictures(), soc_config("t40"), skip_nodes=["stem", "pool", "flatten"]
    )
    tensors, isolated = alone(network, *pictures(1))
    assert "c1" not in isolated
    np.testing.assert_allclose(isolated["r1"], rounded(tensors["r1"], features_of(network)["r1"]), rtol=1e-6)
    np.testing.assert_allclose(isolated["flat"], rounded(tensors["flat"], features_of(network)["flat"]), rtol=1e-6)
    assert "pooled" not in isolated


def test_a_convolution_that_returns_float_errs_by_the_codes_that_others_take():
    """`project` feeds `pool` in integers and `erf` in float."""
    model = tiny_classifier()
    nodes = [each for each in model.graph.node if each.name != "residual"]
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:5], node("Erf", ["c3"], ["e"], "erf"), *nodes[5:]])
    model.graph.node[6].input[0] = "c3"
    model.graph.output.append(onnx.ValueInfoProto(name="e"))
    network = quantized_network(model, pictures(), soc_config("t40"))
    assert features_of(network)["c3"].float_consumers == ("erf",)
    tensors, isolated = alone(network, *pictures(1))
    features = features_of(network)
    weight, bias = weight_of(network, "project")
    expected = np.einsum("nchw,mc->nmhw", rounded(tensors["r2"], features["r2"]), weight) + bias[:, None, None]
    apart = np.abs(isolated["c3"] - rounded(expected, features["c3"]))
    assert apart.max() <= 1.01 * features["c3"].scale
    assert (apart > 1e-5).mean() < 0.01
    assert "e" not in isolated
    assert {"c3", "pooled"} <= computed_in_integers(network.integer)


def test_weights_alone_in_integers_or_not():
    """With features in float a layer errs by its weight alone."""
    network = quantized_network(
        tiny_classifier(), pictures(), soc_config("t40"), fake_quant=FakeQuant.weight, weight_bits=4
    )
    tensors, isolated = alone(network, *pictures(1))
    weight = next(weight for weight in network.params.weights if weight.node == "project")
    assert weight.bits == 4
    dequantized = constants(network.integer)["project/weight/dequantized"][:, :, 0, 0]
    expected = np.einsum("nchw,mc->nmhw", tensors["r2"], dequantized) + constants(network.model)["b3"][:, None, None]
    np.testing.assert_allclose(isolated["c3"], expected, atol=1e-5)
    assert "sum" not in isolated


@pytest.mark.parametrize("bits", [8, 12])
def test_operators_whose_form_changes_with_the_opset(bits):
    """12 bits raise the opset: ReduceMean's axes become an input."""
    nodes = [
        node("Conv", ["images", "w"], ["c"], "conv"),
        node("ReduceMean", ["c"], ["m"], "mean", axes=[2, 3], keepdims=0),
        node("Gemm", ["m", "v"], ["y"], "fc"),
    ]
    rng = np.random.default_rng(2)
    given = {"w": rng.normal(0, 1, (4, 3, 1, 1)), "v": rng.normal(0, 1, (4, 2))}
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    network = quantized_network(model, pictures(), soc_config("t40"), feature_bits=bits, skip_ops=["Gemm"])
    (feeds,) = pictures(1)
    tensors, isolated = alone(network, feeds)
    features = features_of(network)
    expected = rounded(rounded(tensors["c"], features["c"]).mean(axis=(2, 3)), features["m"])
    assert np.abs(isolated["m"] - expected).max() <= 1.01 * features["m"].scale
    sided = values_of(feature_network(network.qdq, Graph(network.model), network.params), feeds, ["m"])["m"]
    convolved = np.einsum("nchw,mc->nmhw", rounded(feeds["images"], features["images"]), given["w"][:, :, 0, 0])
    expected = rounded(rounded(convolved, features["c"]).mean(axis=(2, 3)), features["m"])
    assert np.abs(sided - expected).max() <= 1.01 * features["m"].scale
