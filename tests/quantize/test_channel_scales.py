"""`quant.channel_scales` from placement to the integers: which features, which scales, and what they are good for."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.compare.similarity import compare_networks
from stages.core.config import FakeQuant, FeatureMethod, QuantConfig
from stages.core.graph import Graph
from stages.core.integer.simulator import simulator_model
from stages.core.session import Runner
from stages.quantize.node_bits import NodeBits
from stages.quantize.placement import place
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import quantized_network, soc_config, tiny_classifier
from tests.quantize.test_lower import assert_twin_equal, code_differences, integers, values

PICTURE = [1, 2, 4, 8]
SMALL = 0.01  # what the second channel is to the first


def picture(seed: int = 0) -> dict[str, np.ndarray]:
    """Values of -1 .. 1.55 that reach both ends in both channels."""
    x = np.random.default_rng(seed).uniform(-1, 1.55, PICTURE).astype(np.float32)
    x[..., 0, 0], x[..., 0, 1] = -1, 1.55
    return {"x": x}


ACTIVATIONS = {
    "none": [],
    "relu": [node("Relu", ["c"], ["a"], "act")],
    "relu6": [node("Clip", ["c", "zero", "six"], ["a"], "act")],
    "clip": [node("Clip", ["c", "below", "six"], ["a"], "act")],
    "sigmoid": [node("Sigmoid", ["c"], ["a"], "act")],
    "leaky": [node("LeakyRelu", ["c"], ["a"], "act")],
    "silu": [node("Sigmoid", ["c"], ["g"], "gate"), node("Mul", ["c", "g"], ["a"], "act")],
}


def separable(act: str, multiplier: int = 1, gain: float = 1.0, kernel: int = 3, outputs=("y",), more=()):
    """x -> Conv, which shrinks the second channel to SMALL -> activation -> depthwise, which undoes it -> Conv."""
    between = "a" if ACTIVATIONS[act] else "c"
    pads = {"pads": [kernel // 2] * 4}
    nodes = [
        node("Conv", ["x", "w1"], ["c"], "conv"),
        *ACTIVATIONS[act],
        node("Conv", [between, "w2", "b2"], ["d"], "depthwise", group=2, **pads),
        node("Conv", ["d", "w3"], ["y"], "last"),
        *more,
    ]
    back = np.repeat([[[[1.0]]], [[[1 / SMALL]]]], multiplier, axis=0)
    constants = {
        "w1": np.float32([[1, 0], [0, SMALL]]).reshape(2, 2, 1, 1) * gain,
        "w2": values(2 * multiplier, 1, kernel, kernel, seed=1) * back if kernel > 1 else back,
        "b2": values(2 * multiplier, seed=2),
        "w3": values(3, 2 * multiplier, 1, 1, seed=3),
        "k": values(2, 2, 1, 1, seed=4),
        "zero": np.float32(0), "six": np.float32(6), "below": np.float32(-0.5),
    }  # fmt: skip
    return graph_model(nodes, {"x": PICTURE}, list(outputs), constants)


def quantized(act: str, soc: str = "t40", own: bool = True, model: onnx.ModelProto | None = None, **quant):
    pictures = [picture(seed) for seed in range(3)]
    return quantized_network(model or separable(act), pictures, soc_config(soc), channel_scales=own, **quant)


def feature(found, tensor):
    return next(entry for entry in found.params.features if entry.tensor == tensor)


# --- which features


def own_scales(model, by_node=None, soc="t40", **quant):
    """Tensors that may have a scale a channel, and the notes."""
    settings = QuantConfig("q", channel_scales=True, **quant)
    found = place(Graph(onnx.shape_inference.infer_shapes(model)), soc_config(soc), settings, by_node)
    return {entry.tensor for entry in found.features if entry.per_channel}, found.notes


@pytest.mark.parametrize(
    ("act", "tensors"),
    [
        ("none", {"c"}), ("relu", {"a"}), ("relu6", {"a"}), ("clip", set()),
        ("sigmoid", {"c", "a"}), ("leaky", {"c", "a"}), ("silu", {"c", "a"}),
    ],
)  # fmt: skip
def test_features_between_what_keeps_channels_apart(act, tensors):
    assert own_scales(separable(act))[0] == tensors


def test_a_feature_that_anything_else_takes_has_one_scale():
    more = [node("Conv", ["a", "k"], ["z"], "other")]
    assert own_scales(separable("silu", outputs=("y", "z"), more=more))[0] == {"c"}
    assert own_scales(tiny_classifier())[0] == set()  # a sum takes r1 too, a dense convolution r2
    assert own_scales(separable("silu", outputs=("y", "a")))[0] == {"c"}
    pooled = separable("relu")
    pooled.graph.node.insert(2, node("MaxPool", ["a"], ["p"], "pool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    pooled.graph.node[3].input[0] = "p"
    assert own_scales(pooled)[0] == set()


def test_a_network_input_has_one_scale():
    model = graph_model([node("Conv", ["x", "w"], ["y"], "conv", group=2)], {"x": PICTURE}, ["y"],
                        {"w": values(2, 1, 1, 1)})  # fmt: skip
    assert own_scales(model)[0] == set()


@pytest.mark.parametrize(
    ("by_node", "tensors"),
    [
        ({"act": NodeBits(range=(-1.0, 2.0))}, {"c"}),
        ({"conv": NodeBits(range=(-1.0, 2.0))}, {"a"}),
        ({"conv": NodeBits(feature_bits=32)}, set()),  # then the table runs in float
        ({"depthwise": NodeBits(weight_bits=32)}, {"c"}),
        ({"conv": NodeBits(weight_bits=32)}, {"a"}),
        ({"depthwise": NodeBits(feature_bits=32)}, {"c", "a"}),  # its codes become floats by its own gains
    ],
)
def test_settings_of_single_nodes_go_first(by_node, tensors):
    found = own_scales(separable("silu"), by_node)[0]
    assert found == tensors


def test_what_runs_in_float_neither_makes_nor_takes_them():
    assert own_scales(separable("silu"), skip_nodes=["depthwise"])[0] == {"c"}
    assert own_scales(separable("silu"), skip_ops=["Silu"])[0] == set()
    assert own_scales(separable("silu"), fake_quant=FakeQuant.feature)[0] == set()
    assert own_scales(separable("silu"), fake_quant=FakeQuant.weight)[0] == set()


@pytest.mark.parametrize(("group", "tensors"), [(1, {"c"}), (2, set())])
def test_a_transposed_convolution_needs_a_scale_for_each_channel_of_its_weight(group, tensors):
    nodes = [node("ConvTranspose", ["x", "w"], ["c"], "up", group=group),
             node("Conv", ["c", "v"], ["y"], "depthwise", group=4)]  # fmt: skip
    constants = {"w": values(2, 4 // group, 2, 2), "v": values(4, 1, 1, 1)}
    assert own_scales(graph_model(nodes, {"x": PICTURE}, ["y"], constants))[0] == tensors


def test_rows_have_no_channels():
    nodes = [node("Gemm", ["x", "w"], ["c"], "fc"), node("Sigmoid", ["c"], ["y"], "act")]
    assert own_scales(graph_model(nodes, {"x": [1, 4]}, ["y"], {"w": values(4, 4)}))[0] == set()


def test_the_notes_say_what_became_of_the_key():
    (line,) = own_scales(separable("silu"))[1]
    assert line.startswith("features with a scale a channel (quant.channel_scales): 2; ")
    assert "no vendor's converter" in line
    assert own_scales(tiny_classifier())[1] == [
        "quant.channel_scales has no effect: no feature can have a scale a channel"
    ]
    assert own_scales(separable("silu"), soc="bm1684") == (
        set(), ["quant.channel_scales has no effect: the bm1684 does not requantize a channel by itself"]
    )  # fmt: skip


def test_without_the_key_nothing_changes():
    found = quantized("silu", own=False)
    assert not any(entry.channel_scales for entry in found.params.features)
    assert found.notes == []
    attributes = {item.name for entry in found.integer.graph.node for item in entry.attribute}
    assert "channel_scales" not in attributes


# --- which scales


def test_scales_golden():
    """Channels of -1 .. 1.55 and of a hundredth: 255 steps of 0.01 and 0.0001, zero point 100."""
    entry = feature(quantized("none"), "c")
    assert entry.channel_scales == pytest.approx((0.01, 0.0001), rel=1e-5)
    assert (entry.scale, entry.zero_point) == (max(entry.channel_scales), 100)
    assert (entry.low, entry.high) == pytest.approx((-1, 1.55), rel=1e-5)
    assert entry.method == "MAX_ABS"


def test_symmetric_scales_golden():
    entry = feature(quantized("none", "bm1684x"), "c")
    assert (entry.channel_scales, entry.zero_point) == (pytest.approx((1.55 / 127, 0.0155 / 127), rel=1e-5), 128)


def test_a_table_makes_scales_of_its_own():
    """SiLU of -1 .. 1.55 and of a hundredth; its least value is at -1.278, beyond."""
    entry = feature(quantized("silu"), "a")
    z = entry.zero_point
    expected = []
    for ends in ((-1.0, 1.55), (-0.01, 0.0155)):
        low, high = (x / (1 + np.exp(-x)) for x in ends)
        expected.append(max(-low / z, high / (255 - z)))
    assert entry.channel_scales == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gain", [1.0, 10.0])
def test_a_fused_clip_ends_each_channel_at_its_last_code(gain):
    """With a gain of 10 the first channel reaches the bound 6, which is its last code; no other goes beyond."""
    found = quantized("relu6", model=separable("relu6", gain=gain))
    entry, made = feature(found, "a"), integers(found.domain_node("a"))
    assert entry.channel_scales == pytest.approx((min(1.55 * gain, 6) / 255, 0.0155 * gain / 255), rel=1e-5)
    assert (made["zero_point"], made["low"], made["high"]) == (0, 0, 255)
    far = {"x": 10 * picture()["x"]}
    (real,) = Runner(simulator_model(found.integer, ["a"]), optimize="safe").run(far).values()
    assert real.max(axis=(0, 2, 3)) == pytest.approx([255 * scale for scale in entry.channel_scales])
    assert real.max() <= 6 * (1 + 1e-6)
    assert real.min() == 0


def test_clipping_methods_clip_the_tensor_before_the_channels():
    kept = feature(quantized("none", feature_method=FeatureMethod.PERCENTILE, percentile=60.0), "c")
    whole = feature(quantized("none", own=False, feature_method=FeatureMethod.PERCENTILE, percentile=60.0), "c")
    assert whole.high < 1.4  # the first channel is cut, the second lies within
    top, z = 255 - kept.zero_point, kept.zero_point
    assert kept.channel_scales[0] == pytest.approx(max(-whole.low / z, whole.high / top), rel=0.01)
    assert kept.channel_scales[1] == pytest.approx(max(0.01 / z, 0.0155 / top), rel=1e-5)


def test_weights_carry_the_scales_golden():
    """A depthwise weight of 1 and 100 (codes 127) on scales of 0.01 and 0.0001: the same accumulator in both."""
    found = quantized("none", "bm1684x", model=separable("none", kernel=1))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in found.integer.graph.initializer}
    weight = next(entry for entry in found.params.weights if entry.node == "depthwise")
    assert weight.scales == pytest.approx((1 / 127, 100 / 127), rel=1e-4)
    assert np.abs(constants["depthwise/weight"]).ravel().tolist() == [127, 127]
    made = feature(found, "d").scale
    gains = constants["depthwise/multiplier"] / 2.0 ** constants["depthwise/shift"]
    assert gains == pytest.approx([1.55 / 127 / 127 / made] * 2, rel=1e-4)
    bias = numpy_helper.to_array(next(t for t in found.model.graph.initializer if t.name == "b2"))
    assert constants["depthwise/bias"] == pytest.approx(np.rint(bias / (1.55 / 127 / 127)), rel=1e-3, abs=1)


# --- what comes out


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_twin_simulator_qdq_and_float_layers_agree(act, multiplier, soc):
    found = quantized(act, soc, model=separable(act, multiplier))
    assert_twin_equal(found, picture(1))
    differences = code_differences(found, picture(1))
    assert set(differences) >= {"conv" if act == "none" else "act", "depthwise"}
    assert max(differences.values()) <= 1, differences
    exact = Runner(simulator_model(found.integer, ["y"]), optimize="safe").run(picture(1))["y"]
    for result in (run_onnx(found.qdq, picture(1))[0], Runner(found.qdq, optimize="none").run(picture(1))["y"]):
        np.testing.assert_allclose(result, exact, rtol=0, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize("act", ["none", "relu6", "silu"])
@pytest.mark.parametrize(("bits", "weight_bits"), [(4, 8), (10, 8), (12, 4), (16, 16)])
def test_other_widths_agree_too(act, bits, weight_bits):
    found = quantized(act, feature_bits=bits, weight_bits=weight_bits)
    assert_twin_equal(found, picture(1))
    assert max(code_differences(found, picture(1)).values()) <= (6 if bits == 16 else 1)


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
@pytest.mark.parametrize("act", ["none", "relu", "relu6", "silu"])
def test_the_small_channel_comes_through(act, soc):
    """One scale leaves it some 2 codes; its own gives it 255. The depthwise layer's float result is the measure."""
    errors = []
    for own in (False, True):
        found = quantized(act, soc, own, separable(act, outputs=("d", "y")))
        (expected,) = run_onnx(separable(act, outputs=("d",)), picture(1))
        actual = Runner(simulator_model(found.integer, ["d"]), optimize="safe").run(picture(1))["d"]
        errors.append(np.sqrt(np.mean((actual - expected)[:, 1] ** 2)) / np.std(expected[:, 1]))
    assert errors[0] > 0.1
    assert errors[1] < 0.015


def test_compare_sees_real_values():
    model = separable("silu")
    found = quantized("silu", model=model)
    rows = {row["node"]: row for row in compare_networks(found.model, found.integer, [picture(1)])}
    assert set(rows) == {"conv", "gate", "act", "depthwise", "last"}
    assert min(row["cosine_avg"] for row in rows.values()) > 0.9995


def test_a_channel_that_calibration_saw_at_zero_does_no_harm():
    """The second channel is below zero, so that Relu leaves nothing of it."""
    model = separable("relu")
    model.graph.node[0].input.append("b1")
    model.graph.initializer.append(numpy_helper.from_array(np.float32([0, -1]), "b1"))
    found = quantized("relu", model=model)
    entry = feature(found, "a")
    assert entry.channel_scales[1] == pytest.approx(entry.channel_scales[0] / 256, rel=1e-5)
    assert_twin_equal(found, picture(1))
    codes = Runner(simulator_model(found.integer, ["a"], codes=True), optimize="safe").run(picture(1))["a"]
    assert codes[:, 1].max() == 0
    (expected,) = run_onnx(model, picture(1))
    actual = Runner(simulator_model(found.integer, ["y"]), optimize="safe").run(picture(1))["y"]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=0.03 * np.abs(expected).max())
