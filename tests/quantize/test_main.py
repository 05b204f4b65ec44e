import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.core.config.schema import (
    Config,
    FeatureMethod,
    FeatureZeroPoint,
    Head,
    OperatorGroup,
    QuantConfig,
    Requantization,
    SocConfig,
    WeightMethod,
    WeightScale,
)
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.model import load_integer_model
from stages.core.integer.network_params import NetworkParams, RangeSource, load_qparams
from stages.core.statistics.collect import collect
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from stages.quantize.emit.qdq import insert_quantizers
from stages.quantize.parameters.choose import choose_features, choose_weights
from stages.quantize.quantizers.placement import place_quantizers
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import tiny_classifier

KINDS = (
    "Conv",
    "DepthwiseConv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Relu",
    "Clip",
    "Add",
    "GlobalAveragePool",
    "Flatten",
)


def make_config(**changes):
    soc = SocConfig(
        name="S1",
        requantization=changes.pop("requantization", Requantization.multiplier_shift),
        feature_zero_point=changes.pop("zero_point", FeatureZeroPoint.affine),
        weight_scale=changes.pop("weight_scale", WeightScale.per_channel),
        fused_activations=["Relu", "Clip"],
        operators={kind: OperatorGroup([kind], [4, 8, 10, 12, 16], [2, 4, 6, 8, 16]) for kind in KINDS},
    )
    return Config(soc=soc, quant=QuantConfig("q", **changes))


def picture(seed, shape=(1, 3, 16, 16)):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def quantized_by(config, model, fed):
    """The whole way from a network and its inputs to parameters and the quantized network."""
    model = onnx.shape_inference.infer_shapes(model)
    graph = Graph(model)
    setup = place_quantizers(graph, config.soc, config.quant)
    features = choose_features(setup, graph, collect(model, fed), config)
    weights, codes = choose_weights(setup, graph, features, config)
    params = NetworkParams(features, weights)
    return params, insert_quantizers(model, params, codes)


def tiny_quantized(**changes):
    fed = [(str(i), {"images": picture(i)}) for i in range(4)]
    return quantized_by(make_config(**changes), tiny_classifier(), fed)


# --- choices


def test_affine_features_cover_what_was_seen():
    params, _ = tiny_quantized(feature_bits=8)
    for feature in params.features:
        assert feature.scale == pytest.approx((max(feature.seen_high, 0) - min(feature.seen_low, 0)) / 255) or (
            feature.method == "shared"
        )
        assert feature.low == pytest.approx(-feature.zero_point * feature.scale)
        assert feature.high == pytest.approx((255 - feature.zero_point) * feature.scale)


def test_symmetric_features_have_the_scales_of_sophgo():
    params, _ = tiny_quantized(zero_point=FeatureZeroPoint.symmetric)
    by_tensor = {feature.tensor: feature for feature in params.features}
    images, r1 = by_tensor["images"], by_tensor["r1"]
    assert images.zero_point == 128
    assert images.scale == pytest.approx(max(-images.seen_low, images.seen_high) / 127)
    assert r1.zero_point == 0
    assert r1.scale == pytest.approx(r1.seen_high / 255)


def test_shared_codes_have_the_same_scale():
    params, _ = tiny_quantized()
    by_tensor = {feature.tensor: feature for feature in params.features}
    pooled, flat = by_tensor["pooled"], by_tensor["flat"]
    assert (flat.scale, flat.zero_point, flat.method) == (pooled.scale, pooled.zero_point, RangeSource.shared)
    assert pooled.method is RangeSource.MAX_ABS


def test_kl_features_are_never_wider():
    wide, _ = tiny_quantized(feature_bits=4)
    clipped, _ = tiny_quantized(feature_bits=4, feature_method=FeatureMethod.KL)
    assert [feature.method for feature in clipped.features].count("KL") == len(clipped.features) - 1
    assert all(a.scale <= b.scale for a, b in zip(clipped.features, wide.features, strict=True))
    assert any(a.scale < b.scale for a, b in zip(clipped.features, wide.features, strict=True))


@pytest.mark.parametrize(("scale", "counts"), [("per_channel", [8, 8, 8, 3]), ("per_tensor", [1, 1, 1, 1])])
def test_number_of_weight_scales(scale, counts):
    params, _ = tiny_quantized(weight_scale=WeightScale[scale])
    assert [len(weight.scales) for weight in params.weights] == counts


def test_statistics_that_lack_a_tensor_are_refused():
    config = make_config()
    graph = Graph(tiny_classifier())
    setup = place_quantizers(graph, config.soc, config.quant)
    with pytest.raises(UserError, match="no statistics of tensor 'images': run `dvc repro calibrate`"):
        choose_features(setup, graph, {}, config)


@pytest.mark.parametrize("method", list(FeatureMethod))
def test_every_feature_carries_its_method(method):
    params, _ = tiny_quantized(feature_method=method)
    assert {feature.method for feature in params.features} == {method.name, "shared"}


@pytest.mark.parametrize("method", list(WeightMethod))
def test_every_weight_carries_its_method(method):
    params, _ = tiny_quantized(weight_method=method)
    assert {weight.method for weight in params.weights} == {method.name}


def test_the_percentile_is_taken_from_the_settings():
    kept = {
        share: tiny_quantized(feature_method=FeatureMethod.PERCENTILE, percentile=share)[0].features[0]
        for share in (90.0, 100.0)
    }
    assert kept[100.0].high == pytest.approx(kept[100.0].seen_high, abs=0.6 * kept[100.0].scale)
    # of normal values 90 % lie within 1.645
    assert kept[90.0].high == pytest.approx(1.645, abs=0.2)
    assert kept[90.0].low == pytest.approx(-1.645, abs=0.2)


@pytest.mark.parametrize(
    ("value", "scale", "zero_point"),
    [(2.55, 0.01, 0), (-2.55, 0.01, 255), ([[-1.0, 1.55]], 0.01, 100), (0.0, 1.0, 0)],
)
def test_a_constant_operand_has_the_scale_of_its_own_values(value, scale, zero_point):
    config = make_config(feature_method=FeatureMethod.KL)
    model = graph_model([node("Add", ["x", "k"], ["y"], "sum")], {"x": [1, 2]}, ["y"], {"k": value})
    x = np.float32([[0.5, 0.25]])
    params, quantized = quantized_by(config, model, [("0", {"x": x})])
    constant = params.features[0]
    assert (constant.tensor, constant.node, constant.method) == ("k", "k", RangeSource.constant)
    assert (constant.scale, constant.zero_point) == (pytest.approx(scale, rel=1e-6), zero_point)
    assert (constant.seen_low, constant.seen_high) == (np.float32(np.min(value)), np.float32(np.max(value)))
    actual = Runner(quantized, optimize="none").run({"x": x})["y"]
    np.testing.assert_allclose(actual, x + np.float32(value), atol=0.015)


# --- weights at scales that the SOC can requantize


def effective_scales(params):
    """Effective scale of each channel of each weighted layer: input scale * weight scale / output scale."""
    entries = {feature.tensor: feature for feature in params.features}
    around = {"stem": ("images", "r1"), "depthwise": ("r1", "r2"), "project": ("r2", "c3"), "fc": ("flat", "logits")}
    return np.concatenate(
        [
            np.array(weight.scales) * entries[around[weight.node][0]].scale / entries[around[weight.node][1]].scale
            for weight in params.weights
        ]
    )


def test_nna_effective_scales_are_four_over_whole_numbers():
    divisors = 4 / effective_scales(tiny_quantized(requantization=Requantization.nna)[0])
    np.testing.assert_allclose(divisors, np.rint(divisors), rtol=1e-6)
    assert divisors.size == 27


def test_shift_effective_scales_are_powers_of_two():
    config = {"requantization": Requantization.shift, "weight_scale": WeightScale.per_tensor}
    exponents = np.log2(effective_scales(tiny_quantized(**config)[0]))
    np.testing.assert_allclose(exponents, np.rint(exponents), atol=1e-6)
    assert exponents.size == 4


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_of_two_effective_scales_the_one_of_less_error_is_chosen(bits):
    """By hand: both neighbours of each channel's scale, and the weights rounded at them."""
    rng = np.random.default_rng(2)
    constants = {"w": rng.normal(0, 0.3, (16, 3, 1, 1)).astype(np.float32)}
    model = graph_model([node("Conv", ["x", "w"], ["y"], "conv")], {"x": [1, 3, 6, 6]}, ["y"], constants)
    fed = [("0", {"x": picture(3, (1, 3, 6, 6))})]
    params, _ = quantized_by(make_config(requantization=Requantization.nna, weight_bits=bits), model, fed)
    x, y = params.features
    weight, qmax = constants["w"].reshape(16, 3).astype(np.float64), 2 ** (bits - 1) - 1
    for row, scale in zip(weight, params.weights[0].scales, strict=True):
        wanted = 4 / (np.abs(row).max() / qmax * x.scale / y.scale)
        steps = [4 / divisor * y.scale / x.scale for divisor in (np.floor(wanted), np.ceil(wanted))]
        errors = [((row - np.clip(np.rint(row / step), -qmax, qmax) * step) ** 2).sum() for step in steps]
        assert scale == pytest.approx(steps[int(np.argmin(errors))], rel=1e-5)


# --- the network


def chained_by_numpy(params, model, x):
    """One convolution with everything quantized as its parameters say, in float64."""
    w, b = (onnx.numpy_helper.to_array(tensor).astype(np.float64) for tensor in model.graph.initializer)
    before, after = params.features
    (weight,) = params.weights
    qmax = 2 ** (weight.bits - 1) - 1
    steps = np.array(weight.scales)[:, None, None, None]

    def fake(values, entry):
        codes = np.clip(np.rint(values / entry.scale) + entry.zero_point, 0, 2**entry.bits - 1)
        return (codes - entry.zero_point) * entry.scale

    kernel = np.clip(np.rint(w / steps), -qmax, qmax)[:, :, 0, 0] * steps[:, :, 0, 0]
    accumulator = before.scale * np.array(weight.scales)
    bias = np.rint(b / accumulator) * accumulator
    return fake(np.einsum("oc,nchw->nohw", kernel, fake(x, before)) + bias[:, None, None], after)


@pytest.mark.parametrize("bits", [4, 8, 10, 12, 16])
@pytest.mark.parametrize("weight_bits", [2, 4, 6, 8, 16])
def test_a_convolution_equals_numpy_within_a_step(bits, weight_bits):
    rng = np.random.default_rng(2)
    constants = {"w": rng.normal(0, 0.3, (4, 3, 1, 1)), "b": rng.normal(0, 0.1, 4)}
    model = graph_model([node("Conv", ["x", "w", "b"], ["y"], "conv")], {"x": [1, 3, 6, 6]}, ["y"], constants)
    x = picture(3, (1, 3, 6, 6))
    params, quantized = quantized_by(make_config(feature_bits=bits, weight_bits=weight_bits), model, [("0", {"x": x})])
    actual = Runner(quantized, optimize="none").run({"x": x})["y"]
    expected = chained_by_numpy(params, model, x)
    step = params.features[1].scale
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1.01 * step)
    assert (np.abs(actual - expected) < 0.01 * step).mean() > 0.95


@pytest.mark.parametrize(("bits", "weight_bits"), [(8, 8), (10, 8), (12, 8), (16, 16)])
def test_more_bits_come_closer(bits, weight_bits):
    _, quantized = tiny_quantized(feature_bits=bits, weight_bits=weight_bits)
    feeds = {"images": picture(0)}
    (expected,) = run_onnx(tiny_classifier(), feeds)
    error = np.abs(Runner(quantized, optimize="none").run(feeds)["logits"] - expected).max()
    assert error < {8: 0.05, 10: 0.03, 12: 0.03, 16: 2e-4}[bits]


@pytest.mark.parametrize(("bits", "weight_bits"), [(8, 8), (10, 8), (8, 4), (4, 4), (12, 2)])
def test_the_network_runs_in_plain_onnx_runtime(bits, weight_bits):
    params, quantized = tiny_quantized(feature_bits=bits, weight_bits=weight_bits)
    feeds = {"images": picture(1)}
    exact = Runner(quantized, optimize="none").run(feeds)["logits"]
    step = params.features[-1].scale
    np.testing.assert_allclose(run_onnx(quantized, feeds)[0], exact, rtol=0, atol=2.01 * step)


def test_a_weight_that_layers_use_along_different_axes():
    weight = np.float32([[1.0, 0.01], [0.5, 0.02]])
    nodes = [node("Gemm", ["x", "w"], ["t"], "one", transB=1), node("MatMul", ["t", "w"], ["y"], "two")]
    model = graph_model(nodes, {"x": [1, 2]}, ["y"], {"w": weight})
    x = np.float32([[1.0, 1.0]])
    _, quantized = quantized_by(make_config(feature_bits=16), model, [("0", {"x": x})])
    actual = Runner(quantized, optimize="none").run({"x": x})["y"]
    np.testing.assert_allclose(actual, x @ weight.T @ weight, rtol=0.02)


def test_a_weight_that_a_layer_uses_twice():
    weight = np.float32([[1.0, 0.01], [0.5, 0.02]])
    nodes = [node("MatMul", ["x", "w"], ["t"], "one"), node("MatMul", ["t", "w"], ["y"], "two")]
    model = graph_model(nodes, {"x": [1, 2]}, ["y"], {"w": weight})
    x = np.float32([[1.0, 1.0]])
    _, quantized = quantized_by(make_config(feature_bits=16), model, [("0", {"x": x})])
    np.testing.assert_allclose(Runner(quantized, optimize="none").run({"x": x})["y"], x @ weight @ weight, rtol=0.02)


def run_unoptimized(model, feeds):
    return list(Runner(model, optimize="none").run(feeds).values())


@pytest.mark.parametrize("run", [run_onnx, run_unoptimized])
@pytest.mark.parametrize("scale", list(WeightScale))
def test_a_dead_channel_keeps_its_bias(run, scale):
    rng = np.random.default_rng(4)
    weight, bias = rng.normal(0, 0.3, (4, 3, 1, 1)), rng.normal(0, 1, 4)
    weight[1] *= 1e-12
    constants = {"w": weight, "b": bias}
    model = graph_model([node("Conv", ["x", "w", "b"], ["y"], "conv")], {"x": [1, 3, 6, 6]}, ["y"], constants)
    x = picture(3, (1, 3, 6, 6))
    params, quantized = quantized_by(make_config(weight_scale=scale), model, [("0", {"x": x})])
    actual = run(quantized, {"x": x})[0]
    np.testing.assert_allclose(actual[0, 1], bias[1], rtol=0, atol=params.features[1].scale)
    np.testing.assert_allclose(actual, run_onnx(model, {"x": x})[0], rtol=0, atol=5 * params.features[1].scale)


@pytest.mark.parametrize(
    "bias", [[0.5], [0.5, 0.25, -1.0], [[0.5, 0.25, -1.0]], 0.5], ids=["one", "each", "row", "scalar"]
)
def test_every_shape_of_a_fully_connected_bias(bias):
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(0, 0.3, (4, 3)), "b": bias}
    model = graph_model([node("Gemm", ["x", "w", "b"], ["y"], "fc")], {"x": [1, 4]}, ["y"], constants)
    x = picture(1, (1, 4))
    _, quantized = quantized_by(make_config(feature_bits=12), model, [("0", {"x": x})])
    expected = x.astype(np.float64) @ constants["w"] + np.array(bias)
    np.testing.assert_allclose(Runner(quantized, optimize="none").run({"x": x})["y"], expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("group", [1, 2])
def test_a_transposed_convolution_comes_close(group):
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(0, [[[[5]]], [[[0.1]]], [[[1]]], [[[1]]]], (4, 3, 2, 2)),
        "b": rng.normal(0, 1, 3 * group),
    }
    nodes = [node("ConvTranspose", ["x", "w", "b"], ["y"], "up", strides=[2, 2], group=group)]
    model = graph_model(nodes, {"x": [1, 4, 5, 5]}, ["y"], constants)
    x = picture(0, (1, 4, 5, 5))
    params, quantized = quantized_by(make_config(feature_bits=12), model, [("0", {"x": x})])
    (expected,) = run_onnx(model, {"x": x})
    actual = Runner(quantized, optimize="none").run({"x": x})["y"]
    np.testing.assert_allclose(actual, expected, atol=0.01 * np.abs(expected).max())
    assert len(params.weights[0].scales) == (3 if group == 1 else 1)


@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros(bits):
    _, quantized = tiny_quantized(feature_bits=bits)
    shown = with_outputs(quantized, ["images/dequantized"])
    zeros = np.zeros((1, 3, 16, 16), np.float32)
    actual = Runner(shown, optimize="none").run({"images": zeros})["images/dequantized"]
    assert not actual.any()


# --- files


def test_the_stage_writes_network_parameters_and_node_bits(project, capsys):
    config = load_params(Path("params.yaml"))
    config.quant.feature_bits = 10
    for stage in (export, calibset, calibrate, quantize):
        stage(config)
    params = load_qparams(Path("out/quantize/qparams.json"), config)
    bits = json.loads(Path("out/quantize/magik_node_quant_bit_info.json").read_text())
    assert list(bits) == ["images", "stem_relu", "depthwise_relu6", "project", "residual", "pool"]
    assert [each["QUANT_FEATURE_BIT"] for each in bits.values()] == [10, 10, 10, 10, 10, 8]
    assert [feature.node for feature in params.features if feature.method == "shared"] == ["flatten"]
    for feature in params.features[:-1]:
        assert bits[feature.node]["MIN"] == pytest.approx(-feature.zero_point * feature.scale)
        assert bits[feature.node]["MAX"] == pytest.approx((2**feature.bits - 1 - feature.zero_point) * feature.scale)
        assert bits[feature.node]["MIN"] <= 0 <= bits[feature.node]["MAX"]
    notes = json.loads(Path("out/quantize/notes.json").read_text())
    assert len(notes) == 2
    shown = capsys.readouterr().out
    assert all(f"note: {line}" in shown for line in notes)
    assert "quantized for the T40: 2 features at 8 bits, 5 features at 10 bits (MAX_ABS), 4 weights at 8 bits" in shown
    first = {path.name: path.read_bytes() for path in Path("out/quantize").iterdir()}
    quantize(config)
    assert {path.name: path.read_bytes() for path in Path("out/quantize").iterdir()} == first
    assert sorted(first) == [
        "checksums.json", "integer.onnx", "magik_node_quant_bit_info.json", "notes.json", "prepared.onnx",
        "qparams.json", "quantized.onnx",
    ]  # fmt: skip
    onnx.checker.check_model(load_integer_model(Path("out/quantize/integer.onnx")))


def test_the_widths_of_the_first_and_last_layers_are_in_the_node_bits_file_and_come_back_from_it(quantized, capsys):
    quantized.quant.feature_bits = quantized.quant.weight_bits = 4
    quantized.quant.edge_bits = 8
    quantize(quantized)
    assert "bits, not" not in capsys.readouterr().out
    bits = json.loads(Path("out/quantize/magik_node_quant_bit_info.json").read_text())
    assert {name: entry["QUANT_WEIGHT_BIT"] for name, entry in bits.items() if "QUANT_WEIGHT_BIT" in entry} == {
        "stem": 8, "fc": 8,
    }  # fmt: skip
    assert {name: entry["QUANT_FEATURE_BIT"] for name, entry in bits.items() if "QUANT_FEATURE_BIT" in entry} == {
        "images": 8, "stem_relu": 4, "depthwise_relu6": 4, "project": 4, "residual": 4, "pool": 8,
    }  # fmt: skip
    network = Path("out/quantize/integer.onnx").read_bytes()
    Path("out/quantize/magik_node_quant_bit_info.json").rename("bits.json")
    quantized.quant.edge_bits, quantized.quant.node_bits = None, "file:bits.json"
    quantize(quantized)
    assert Path("out/quantize/integer.onnx").read_bytes() == network


def test_a_stage_that_fails_keeps_what_was_there(quantized):
    before = {path.name: path.read_bytes() for path in Path("out/quantize").iterdir()}
    quantized.quant.skip_nodes = ["nowhere"]
    with pytest.raises(UserError, match=r"quant\.skip_nodes: the network has no node 'nowhere'"):
        quantize(quantized)
    assert {path.name: path.read_bytes() for path in Path("out/quantize").iterdir()} == before


def test_the_network_for_the_board_has_other_weights_and_nothing_else(quantized):
    exported = Path("out/export/model.onnx").read_bytes()
    assert Path("out/quantize/prepared.onnx").read_bytes() != exported
    prepared, reference = onnx.load("out/quantize/prepared.onnx"), onnx.load_from_string(exported)
    del prepared.graph.initializer[:], reference.graph.initializer[:]
    assert prepared == reference
    quantized.quant.weight_bits = 32
    quantize(quantized)
    assert Path("out/quantize/prepared.onnx").read_bytes() == exported


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feature_bits": 32}, "quantized for the T40: no features (MAX_ABS), 4 weights at 8 bits (MAX_ABS, nearest)"),
        ({"weight_bits": 32}, "quantized for the T40: 7 features at 8 bits (MAX_ABS), no weights (MAX_ABS, nearest)"),
        ({"skip_ops": ["DepthwiseConv"]}, "note: depthwise_relu6 (DepthwiseConv) runs in float: quant.skip_ops"),
        ({"head": Head.float}, "note: fc (Gemm) runs in float: quant.head=float"),
    ],
)
def test_the_controls_reach_the_stage(quantized, capsys, changes, said):
    capsys.readouterr()
    for key, value in changes.items():
        setattr(quantized.quant, key, value)
    quantize(quantized)
    assert said in " ".join(capsys.readouterr().out.split())


def test_a_network_that_was_exported_with_other_settings_is_refused(calibrated):
    calibrated.model.source = "file:other.onnx"
    with pytest.raises(UserError) as caught:
        quantize(calibrated)
    assert str(caught.value) == "out/export was made with another model.source: run `dvc repro`"


def test_samples_of_other_settings_are_refused(calibrated):
    calibrated.data.calibration.size = 3
    with pytest.raises(UserError) as caught:
        quantize(calibrated)
    assert str(caught.value) == "out/calibset was made with another data.calibration: run `dvc repro`"
