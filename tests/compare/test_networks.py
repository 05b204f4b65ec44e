import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.compare.networks import Parts, feature_model, isolated_model
from stages.compare.similarity import SOURCES, compare_networks
from stages.core.config.schema import ChannelScales, Config, FakeQuant, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.qparams import NetworkParams
from stages.core.statistics.collect import collect
from stages.quantize.emit.lower import lower
from stages.quantize.emit.prepared import prepared_model
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.equalize.cross_layer import equalize
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.quantizers.placement import place_quantizers
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier

TENSORS = ["c1", "r1", "c2", "r2", "c3", "sum", "pooled", "flat", "logits"]


def pictures(count=3, channels=3, size=16):
    rng = np.random.default_rng(0)
    return [{"images": rng.normal(0, 1, (1, channels, size, size)).astype(np.float32)} for _ in range(count)]


def rounded(values, entry):
    """Quantize and dequantize by the definition in docs/artifacts.md; float64 but for the division."""
    scales = np.array(entry.channel_scales or [entry.scale], dtype=np.float32)
    step = scales.reshape(-1, *[1] * (values.ndim - 2)) if len(scales) > 1 else scales[0]
    codes = np.clip(np.rint(values.astype(np.float32) / step) + entry.zero_point, 0, 2**entry.bits - 1)
    return (codes - entry.zero_point) * step.astype(np.float64)


def entries(found):
    return {entry.tensor: entry for entry in found.params.features}


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def values_of(model, feeds, tensors):
    return Runner(with_outputs(model, tensors), optimize="none").run(feeds)


def alone(found, feeds, tensors=None, reference=None):
    """What each layer makes alone: tensor -> values; a tensor that is exact is left out."""
    reference = reference or found.model
    graph = Graph(onnx.shape_inference.infer_shapes(reference))
    isolated = isolated_model(found.qdq, found.integer, graph.model, found.params)
    made = Runner(with_outputs(reference, [n for n in graph.float_tensors if n in graph.producers])).run(feeds) | feeds
    runner = Runner(isolated.model, optimize="none")
    ran = runner.run({name: made[name] for name in runner.inputs})
    return made, {tensor: ran[name] for tensor, name in isolated.outputs.items()}


def weight_of(found, name):
    """A 1x1 convolution's dequantized weight [M, C] and bias [M], the bias at the accumulator's scale."""
    entry = next(entry for entry in found.params.weights if entry.node == name)
    stored, features = constants(found.integer), entries(found)
    source = next(node for node in found.model.graph.node if node.name == name)
    scales = np.array(entry.scales, dtype=np.float64)
    weight = stored[f"{name}/weight"].astype(np.float64).reshape(len(scales), -1) * scales[:, None]
    unit = np.array(features[source.input[0]].channel_scales or features[source.input[0]].scale) * scales
    return weight, np.rint(constants(found.model)[source.input[2]] / unit) * unit


@pytest.mark.parametrize(
    ("soc", "bits", "weight_bits"), [("t40", 8, 8), ("t40", 12, 8), ("t40", 8, 4), ("bm1684x", 8, 8)]
)
def test_a_convolution_alone_is_what_numpy_makes_of_the_float_network_s_tensor(soc, bits, weight_bits):
    found = quantized_network(
        tiny_classifier(), pictures(), soc_config(soc), feature_bits=bits, weight_bits=weight_bits
    )
    (feeds,) = pictures(1)
    made, ran = alone(found, feeds)
    features = entries(found)
    weight, bias = weight_of(found, "project")
    expected = np.einsum("nchw,mc->nmhw", rounded(made["r2"], features["r2"]), weight) + bias[:, None, None]
    expected = rounded(expected, features["c3"])
    apart = np.abs(ran["c3"] - expected)
    assert np.median(apart) < 1e-6
    assert apart.max() <= 1.01 * features["c3"].scale  # a tie of float32 sums
    assert (apart > 1e-5).mean() < 0.01


def test_a_sum_alone_takes_rounded_float_tensors():
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    made, ran = alone(found, *pictures(1))
    features = entries(found)
    expected = rounded(rounded(made["r1"], features["r1"]) + rounded(made["c3"], features["c3"]), features["sum"])
    assert np.abs(ran["sum"] - expected).max() <= 1.01 * features["sum"].scale
    assert np.median(np.abs(ran["sum"] - expected)) < 1e-6


def test_codes_that_are_passed_on_are_rounded_once():
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    made, ran = alone(found, *pictures(1))
    np.testing.assert_allclose(ran["flat"], rounded(made["flat"], entries(found)["pooled"]), rtol=1e-6)


def test_the_inside_of_a_fused_layer_is_not_rounded_and_its_activation_takes_it():
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    _, ran = alone(found, *pictures(1))
    step = entries(found)["r2"].scale
    assert ran["c2"].min() < -0.5
    np.testing.assert_allclose(ran["r2"], np.clip(ran["c2"], 0, 6), rtol=0, atol=0.51 * step)
    np.testing.assert_allclose(ran["r2"] / step, np.rint(ran["r2"] / step), atol=1e-3)


def test_a_gated_layer_alone():
    nodes = [node("Sigmoid", ["x"], ["s"], "gate"), node("Mul", ["x", "s"], ["y"], "mul")]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"x": [1, 64]}, ["y"]))
    feeds = {"x": np.linspace(-4, 4, 64, dtype=np.float32)[None]}
    found = quantized_network(model, [feeds], soc_config("t40"))
    _, ran = alone(found, feeds)
    taken = rounded(feeds["x"], entries(found)["x"])
    np.testing.assert_allclose(ran["s"], 1 / (1 + np.exp(-taken)), rtol=1e-5)
    expected = rounded(taken / (1 + np.exp(-taken)), entries(found)["y"])
    assert np.abs(ran["y"] - expected).max() <= 1.01 * entries(found)["y"].scale
    assert np.median(np.abs(ran["y"] - expected)) < 1e-6


def test_scales_of_channels():
    """The stem's output has a scale a channel: a depthwise convolution alone takes it."""
    model = tiny_classifier()
    model.graph.node[5].input[0] = "r2"  # the residual takes the depthwise convolution's output
    found = quantized_network(model, pictures(), soc_config("t40"), channel_scales=ChannelScales.always)
    entry = entries(found)["r1"]
    assert len(set(entry.channel_scales)) > 1
    made, ran = alone(found, *pictures(1))
    taken = np.maximum(ran["c1"].astype(np.float64), 0)
    assert np.abs(ran["r1"] - rounded(taken, entry)).max() <= 1.01 * entry.scale
    weight = next(entry for entry in found.params.weights if entry.node == "depthwise")
    kernel = constants(found.integer)["depthwise/weight"] * np.array(weight.scales).reshape(-1, 1, 1, 1)
    padded = np.pad(rounded(made["r1"], entry), [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("nchwij,cij->nchw", windows, kernel[:, 0]) + constants(found.model)["b2"][:, None, None]
    np.testing.assert_allclose(ran["c2"], expected, atol=1e-3)


def test_layers_in_float_are_exact_but_for_the_codes_that_others_take():
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"), skip_nodes=["stem", "pool", "flatten"])
    made, ran = alone(found, *pictures(1))
    assert "c1" not in ran
    np.testing.assert_allclose(ran["r1"], rounded(made["r1"], entries(found)["r1"]), rtol=1e-6)
    np.testing.assert_allclose(ran["flat"], rounded(made["flat"], entries(found)["flat"]), rtol=1e-6)
    assert "pooled" not in ran


def test_of_a_network_in_float_nothing_is_left():
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"), feature_bits=32, weight_bits=32)
    assert isolated_model(found.qdq, found.integer, found.model, found.params).outputs == {}
    parts = Parts(
        isolated_model(found.qdq, found.integer, found.model, found.params),
        feature_model(found.qdq, found.model, found.params),
        found.model,
    )
    for row in compare_networks(found.model, found.integer, pictures(1), parts=parts):
        assert row["isolated_cosine"] == 1.0
        assert row["isolated_sqnr"] == 200.0
        assert row["feature_cosine"] == pytest.approx(1.0)


def test_weights_alone_in_integers_or_not():
    """With features in float a layer errs by its weight alone."""
    found = quantized_network(
        tiny_classifier(), pictures(), soc_config("t40"), fake_quant=FakeQuant.weight, weight_bits=4
    )
    made, ran = alone(found, *pictures(1))
    weight = next(entry for entry in found.params.weights if entry.node == "project")
    assert weight.bits == 4
    dequantized = constants(found.integer)["project/weight/dequantized"][:, :, 0, 0]
    expected = np.einsum("nchw,mc->nmhw", made["r2"], dequantized) + constants(found.model)["b3"][:, None, None]
    np.testing.assert_allclose(ran["c3"], expected, atol=1e-5)
    assert "sum" not in ran


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
    found = quantized_network(model, pictures(), soc_config("t40"), feature_bits=bits, skip_ops=["Gemm"])
    (feeds,) = pictures(1)
    made, ran = alone(found, feeds)
    features = entries(found)
    expected = rounded(rounded(made["c"], features["c"]).mean(axis=(2, 3)), features["m"])
    assert np.abs(ran["m"] - expected).max() <= 1.01 * features["m"].scale
    sided = values_of(feature_model(found.qdq, found.model, found.params), feeds, ["m"])["m"]
    convolved = np.einsum("nchw,mc->nmhw", rounded(feeds["images"], features["images"]), given["w"][:, :, 0, 0])
    expected = rounded(rounded(convolved, features["c"]).mean(axis=(2, 3)), features["m"])
    assert np.abs(sided - expected).max() <= 1.01 * features["m"].scale


@pytest.mark.parametrize("bits", [8, 10])
def test_features_alone_are_those_of_one_sided_quantization(bits):
    both = quantized_network(tiny_classifier(), pictures(), soc_config("t40"), feature_bits=bits, weight_bits=4)
    one = quantized_network(
        tiny_classifier(), pictures(), soc_config("t40"), feature_bits=bits, fake_quant=FakeQuant.feature
    )
    (feeds,) = pictures(1)
    made = values_of(feature_model(both.qdq, both.model, both.params), feeds, TENSORS)
    expected = values_of(one.qdq, feeds, TENSORS)
    for name in TENSORS:
        np.testing.assert_array_equal(made[name], expected[name])


def equalized():
    """Channels of very different size, a sum with a constant between: scaled, its features quantized."""
    rng = np.random.default_rng(5)
    spread = 2.0 ** np.arange(-3, 5, dtype=np.float32)
    given = {
        "w1": (rng.normal(0, 1, (8, 3, 3, 3)) * spread[:, None, None, None]).tolist(),
        "b1": (rng.normal(0, 1, 8) * spread).tolist(),
        "k": (rng.random((8, 1, 1)) * spread[:, None, None]).tolist(),
        "w2": (rng.normal(0, 1, (4, 8, 1, 1)) / spread[None, :, None, None]).tolist(),
    }
    nodes = [
        node("Conv", ["images", "w1", "b1"], ["c1"], "first"),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("Add", ["r1", "k"], ["s"], "add"),
        node("Conv", ["s", "w2"], ["y"], "second"),
    ]
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    fed = [(str(index), feeds) for index, feeds in enumerate(pictures())]
    found = equalize(model, collect(model, fed), 8, 8)
    graph, config = Graph(found.model), Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    setup = place_quantizers(graph, config.soc, config.quant)
    features = choose_features(setup, graph, collect(found.model, fed), config)
    chosen, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, chosen, (), {name: tuple(map(float, f)) for name, f in found.factors.items()})
    integer, _ = lower(found.model, config.soc, setup, params, codes)
    qdq = insert_quantizers(found.model, params, codes)
    one_sided = insert_quantizers(found.model, NetworkParams(features, []), {})
    return model, params, integer, qdq, one_sided, prepared_model(found.model, params, codes), found.model


def test_equalized_features_alone_are_in_the_units_of_the_float_network():
    model, params, _, qdq, one_sided, _, scaled = equalized()
    assert {"r1", "s"} <= params.factors.keys()
    assert not np.array_equal(constants(scaled)["k"], constants(model)["k"])
    (feeds,) = pictures(1)
    made = values_of(feature_model(qdq, model, params), feeds, ["c1", "r1", "s", "y"])
    expected = values_of(one_sided, feeds, ["c1", "r1", "s", "y"])
    for name, values in expected.items():
        factor = np.array(params.factors.get(name, [1.0]), dtype=np.float32).reshape(-1, 1, 1)
        apart = np.abs(made[name] - values * factor)
        assert np.median(apart / np.abs(made[name]).max()) < 1e-6, name
        assert (apart > 1e-4 * np.abs(made[name]).max()).mean() < 0.01, name


def test_equalized_layers_alone_are_near_and_back_in_the_units_of_the_float_network():
    model, params, integer, qdq, _, prepared, _ = equalized()
    parts = Parts(isolated_model(qdq, integer, model, params), feature_model(qdq, model, params), prepared)
    for row in compare_networks(model, integer, pictures(), params.factors, parts):
        assert set(SOURCES) < row.keys()
        for key in ("isolated_cosine", "feature_cosine", "weight_cosine"):
            assert 0.999 < row[key] <= 1.0, (row["node"], key)
        assert row["isolated_sqnr"] > 30


def test_a_layer_that_inherits_its_error_is_told_from_the_one_that_makes_it():
    """Wrong weights in one layer: it is poor alone, those after it are not."""
    found = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    for model, name in ((found.qdq, "depthwise/weight/codes"), (found.integer, "depthwise/weight")):
        stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        codes = numpy_helper.to_array(stored).copy()
        codes[::2] = -codes[::2]
        stored.CopyFrom(numpy_helper.from_array(codes, name))
    graph = onnx.shape_inference.infer_shapes(found.model)
    parts = Parts(
        isolated_model(found.qdq, found.integer, graph, found.params),
        feature_model(found.qdq, graph, found.params),
        graph,
    )
    rows = {row["node"]: row for row in compare_networks(graph, found.integer, pictures(), parts=parts)}
    assert rows["project"]["cosine_avg"] < 0.98
    assert rows["project"]["isolated_cosine"] > 0.999
    assert rows["depthwise"]["cosine_avg"] < 0.98
    assert rows["depthwise"]["isolated_cosine"] < 0.98
    assert all(row["feature_cosine"] > 0.999 for row in rows.values())
    assert all(row["weight_cosine"] == pytest.approx(1.0) for row in rows.values())


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
@pytest.mark.parametrize("bits", [8, 12])
def test_operators_of_every_kind(soc, bits):
    """Several outputs, joined operands, interpolation, a layer in float in the middle, one input for two layers."""
    rng = np.random.default_rng(3)
    given = {
        "w": rng.normal(0, 1, (4, 3, 1, 1)),
        "k": rng.normal(0, 1, (1, 1, 8, 8)),
        "v": rng.normal(0, 1, (5, 2, 1, 1)),
        "scales": np.float32([1, 1, 2, 2]),
        "halves": np.array([2, 2], dtype=np.int64),
    }
    nodes = [
        node("Conv", ["images", "w"], ["c"], "conv", strides=[2, 2]),
        node("Split", ["c", "halves"], ["a", "b"], "split", axis=1),
        node("Sigmoid", ["a"], ["g"], "gate"),
        node("Mul", ["a", "g"], ["s"], "silu"),
        node("Resize", ["s", "", "scales"], ["u"], "up", mode="linear"),
        node("MaxPool", ["u"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["m", "b", "k"], ["j"], "join", axis=1),
        node("Softmax", ["j"], ["f"], "soft", axis=1),
        node("Add", ["f", "j"], ["t"], "sum"),
        node("Relu", ["t"], ["r"], "relu"),
        node("Slice", ["r", "from", "to", "axes"], ["l"], "part"),
        node("Conv", ["l", "v"], ["y"], "last"),
    ]
    given |= {name: np.array([value], dtype=np.int64) for name, value in (("from", 0), ("to", 2), ("axes", 1))}
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    found = quantized_network(model, pictures(), soc_config(soc), feature_bits=8 if soc == "bm1684x" else bits)
    parts = Parts(
        isolated_model(found.qdq, found.integer, model, found.params),
        feature_model(found.qdq, model, found.params),
        model,
    )
    rows = compare_networks(model, found.integer, pictures(), parts=parts)
    assert len(rows) == 13
    for row in rows:
        assert row["isolated_cosine"] > 0.999, row["node"]
        assert row["feature_cosine"] > 0.999, row["node"]
        assert row["weight_cosine"] == pytest.approx(1.0), row["node"]
        assert row["isolated_sqnr"] > row["sqnr"] - 3, row["node"]


def test_an_output_that_nobody_takes_has_a_row():
    nodes = [
        node("Conv", ["images", "w"], ["c"], "conv"),
        node("Split", ["c", "halves"], ["a", "b"], "split", axis=1),
        node("Relu", ["a"], ["y"], "relu"),
    ]
    given = {"w": np.random.default_rng(4).normal(0, 1, (4, 3, 1, 1)), "halves": np.array([2, 2], dtype=np.int64)}
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    found = quantized_network(model, pictures(), soc_config("t40"))
    parts = Parts(
        isolated_model(found.qdq, found.integer, model, found.params),
        feature_model(found.qdq, model, found.params),
        model,
    )
    rows = compare_networks(model, found.integer, pictures(1), parts=parts)
    assert [row["node"] for row in rows] == ["conv", "split", "split:b", "relu"]
    assert all(row["feature_cosine"] > 0.999 for row in rows)
