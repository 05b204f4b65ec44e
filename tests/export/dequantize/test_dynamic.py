"""Networks whose scales are computed when they run, read as float."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner
from stages.export.dequantize.undo import dequantized
from tests.export.dequantize.test_qdq import DOMAIN, constants_of, f32, kinds, model_of, picture

node = helper.make_node
W = np.random.default_rng(2).integers(0, 256, (4, 3), np.uint8)
QUANTIZE = node("DynamicQuantizeLinear", ["x"], ["q", "xs", "xz"], "quantize")


def outputs(source, undone, x):
    return (next(iter(Runner(model).run({"x": x}).values())) for model in (source, undone.model))


def scaled(product, kind="MatMulInteger"):
    """What ONNX Runtime's dynamic quantization writes behind a product of codes."""
    return [
        QUANTIZE,
        node(kind, product, ["i"], "product"),
        node("Cast", ["i"], ["f"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["xs", "ws"], ["scales"], "scales"),
        node("Mul", ["f", "scales"], ["y"], "scale"),
    ]


@pytest.mark.parametrize("scale", [f32(0.02), f32(0.02, 0.01, 0.03)], ids=["one", "by column"])
def test_a_matmul(scale):
    zero = np.uint8(120) if scale.ndim == 0 else np.array([120, 3, 250], np.uint8)
    constants = {"w": W, "ws": scale, "wz": zero}
    source = model_of(scaled(["q", "w", "xz", "wz"]), constants, {"x": [5, 4]})
    undone = dequantized(source)
    assert kinds(undone.model) == ["MatMul"]
    assert undone.form == "dynamic"
    (weight,) = constants_of(undone.model).values()
    expected = (W.astype(np.int64) - zero) * scale.astype(np.float64)
    np.testing.assert_array_equal(weight, expected.astype(np.float32))
    x = picture((5, 4))
    quantized, real = outputs(source, undone, x)
    step = max(x.max(), 0) - min(x.min(), 0)  # of x, times 255
    assert np.abs(quantized - real).max() <= 0.51 * step / 255 * np.abs(weight).sum(axis=0).max()


@pytest.mark.parametrize("scale", [f32(0.02), f32(0.02, 0.01).reshape(2, 1, 1)], ids=["one", "by channel"])
def test_a_convolution(scale):
    weight = np.random.default_rng(3).integers(0, 256, (2, 2, 3, 3), np.uint8)
    nodes = scaled(["q", "w", "xz", "wz"], "ConvInteger")
    nodes[1].attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
    source = model_of(nodes, {"w": weight, "ws": scale, "wz": np.uint8(120)})
    undone = dequantized(source)
    assert kinds(undone.model) == ["Conv"]
    quantized, real = outputs(source, undone, picture())
    assert np.abs(quantized - real).max() < 0.03 * np.abs(real).max()
    np.testing.assert_allclose(
        constants_of(undone.model)["y/weight"],
        (weight.astype(np.float64) - 120) * scale.reshape(-1, 1, 1, 1),
        rtol=1e-6,
    )


def test_scales_that_are_applied_one_after_the_other():
    nodes = [*scaled(["q", "w", "xz", "wz"])[:3], node("Mul", ["xs", "f"], ["m"]), node("Mul", ["m", "ws"], ["y"])]
    source = model_of(nodes, {"w": W, "ws": f32(0.02), "wz": np.uint8(120)}, {"x": [5, 4]})
    undone = dequantized(source)
    quantized, real = outputs(source, undone, picture((5, 4)))
    assert np.abs(quantized - real).max() < 0.03 * np.abs(real).max()


def with_bias(scales="scales"):
    """A bias that is divided by the scales and rounded down, as ONNX Runtime's tools of 2020 write it."""
    return [
        QUANTIZE,
        node("Mul", ["xs", "ws"], ["scales"], "scales"),
        node("Div", ["b", scales], ["bd"], "divide"),
        node("Floor", ["bd"], ["bf"], "floor"),
        node("Cast", ["bf"], ["bi"], "integer", to=TensorProto.INT32),
        node("Reshape", ["bi", "to"], ["br"], "reshape"),
        node("ConvInteger", ["q", "w", "xz", "wz"], ["i"], "product"),
        node("Add", ["i", "br"], ["s"], "sum"),
        node("Cast", ["s"], ["f"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["f", "scales"], ["y"], "scale"),
    ]


BIASED = {
    "w": np.random.default_rng(3).integers(0, 256, (2, 2, 3, 3), np.uint8), "ws": f32(0.02), "wz": np.uint8(120),
    "b": f32(3.0, -5.0), "to": np.array([1, 2, 1, 1]),
}  # fmt: skip


def test_a_bias_that_is_divided_by_the_scales():
    source = model_of(with_bias(), BIASED)
    undone = dequantized(source)
    assert kinds(undone.model) == ["Reshape", "Conv", "Add"]
    quantized, real = outputs(source, undone, picture())
    assert np.abs(quantized - real).max() < 0.03 * np.abs(real).max()


def test_a_bias_that_is_divided_by_another_scale_is_refused():
    with pytest.raises(UserError, match=r"scale \(Mul\) is quantized and scales a bias by something else"):
        dequantized(model_of(with_bias("xs"), BIASED))


def test_pixels_that_are_multiplied_as_integers():
    nodes = [
        node("MatMulInteger", ["x", "w", "z", "wz"], ["i"], "product"),
        node("DequantizeLinear", ["i", "ws"], ["y"], "dq"),
    ]
    constants = {"z": np.uint8(7), "w": W, "wz": np.uint8(120), "ws": f32(0.02)}
    source = model_of(nodes, constants, {"x": (TensorProto.UINT8, [1, 4])})
    undone = dequantized(source)
    (expected,) = Runner(source).run({"x": np.array([[0, 7, 9, 255]], np.uint8)}).values()
    (actual,) = Runner(undone.model).run({"x": np.array([[-7, 0, 2, 248]], np.float32)}).values()
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert "(code - 7) * 1" in undone.lines("net.onnx")[1]


def test_a_product_of_two_features():
    nodes = [
        QUANTIZE,
        node("Transpose", ["x"], ["t"], "t"),
        node("DynamicQuantizeLinear", ["t"], ["tq", "ts", "tz"], "quantize t"),
        node("MatMulInteger", ["q", "tq", "xz", "tz"], ["i"], "product"),
        node("Cast", ["i"], ["f"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["ts", "xs"], ["scales"], "scales"),
        node("Mul", ["scales", "f"], ["y"], "scale"),
    ]
    undone = dequantized(model_of(nodes, {}, {"x": [3, 4]}))
    assert kinds(undone.model) == ["Transpose", "MatMul"]
    x = picture((3, 4))
    (y,) = Runner(undone.model).run({"x": x}).values()
    np.testing.assert_allclose(y, x @ x.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dequantize", [True, False], ids=["DequantizeLinear", "Mul"])
def test_integers_of_constant_scales(dequantize):
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        node("MatMulInteger", ["q", "w", "z", "wz"], ["i"], "product"),
        node("DequantizeLinear", ["i", "both"], ["y"], "dq"),
    ]
    if not dequantize:
        nodes[2:] = [node("Cast", ["i"], ["f"], to=TensorProto.FLOAT), node("Mul", ["f", "both"], ["y"])]
    constants = {"s": f32(0.5), "z": np.uint8(8), "w": W, "wz": np.uint8(120), "both": f32(0.01)}
    source = model_of(nodes, constants, {"x": [1, 4]})
    undone = dequantized(source)
    assert kinds(undone.model) == ["MatMul"]
    quantized, real = outputs(source, undone, f32(0.5, -1.0, 2.0, 3.5)[None])  # on the grid of the codes
    np.testing.assert_allclose(real, quantized, rtol=1e-6)


@pytest.mark.parametrize("fused", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_operators_of_one_piece(fused):
    constants = {"w": W, "ws": f32(0.02), "wz": np.uint8(120), "b": f32(1.0, 2.0, 3.0)}
    nodes = [QUANTIZE, node(fused, ["q", "w", "xs", "ws", "xz", "wz", "b"], ["y"], "op", domain=DOMAIN)]
    if fused == "DynamicQuantizeMatMul":
        nodes = [node(fused, ["x", "w", "ws", "wz", "b"], ["y"], "op", domain=DOMAIN)]
    source = model_of(nodes, constants, {"x": [5, 4]})
    undone = dequantized(source)
    assert kinds(undone.model) == ["MatMul", "Add"]
    quantized, real = outputs(source, undone, picture((5, 4)))
    assert np.abs(quantized - real).max() < 0.03 * np.abs(real).max()
    assert [opset.domain for opset in undone.model.opset_import] == [""]


def test_an_lstm():
    rng = np.random.default_rng(4)
    constants = {
        "w": rng.integers(-60, 60, (1, 4, 12)).astype(np.int8), "r": rng.integers(-60, 60, (1, 3, 12)).astype(np.int8),
        "b": rng.normal(size=(1, 24)).astype(np.float32), "ws": np.array([0.02], np.float32),
        "rs": np.array([0.01], np.float32), "z": np.array([0], np.int8),
    }  # fmt: skip
    lstm = node(
        "DynamicQuantizeLSTM", ["x", "w", "r", "b", "", "", "", "", "ws", "z", "rs", "z"], ["y"], "lstm",
        domain=DOMAIN, hidden_size=3,
    )  # fmt: skip
    source = model_of([lstm], constants, {"x": [5, 1, 4]})
    undone = dequantized(source)
    assert kinds(undone.model) == ["LSTM"]
    quantized, real = outputs(source, undone, picture((5, 1, 4)))
    assert np.abs(quantized - real).max() < 0.03


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([*scaled(["q", "w", "xz", "wz"])[:2], node("Add", ["i", "n"], ["y"], "sum")],
         r"sum \(Add\) is quantized and computes on integer codes in a way that no float operator stands for"),
        ([*scaled(["q", "w", "xz", "wz"])[:3], node("Mul", ["f", "ws"], ["y"], "half")],
         r"half \(Mul\) is quantized and is scaled by another scale|half \(Mul\) .* computes on integer codes"),
        ([QUANTIZE, node("Mul", ["x", "xs"], ["y"], "steals")], r"steals \(Mul\) is quantized and computes on"),
        ([node("MatMulInteger", ["k", "w"], ["y"], "alone")],
         r"alone \(MatMulInteger\) is quantized and its input 'k' is no tensor of codes that is known"),
        (scaled(["q", "w", "", "wz"]), r"product \(MatMulInteger\) .* subtracts another zero point from 'q' than"),
    ],
    ids=["adds", "other scale", "reads a scale", "unknown codes", "zero point"],
)  # fmt: skip
def test_what_has_no_exact_float_meaning_is_refused(nodes, message):
    constants = {"w": W, "ws": f32(0.02), "wz": np.uint8(120), "n": np.int32(3), "k": W.T.copy()}
    with pytest.raises(UserError, match=message):
        dequantized(model_of(nodes, constants, {"x": [5, 4]}))


def test_an_output_of_sums_is_refused():
    source = model_of(
        scaled(["q", "w", "xz", "wz"])[:2], {"w": W, "wz": np.uint8(120)}, {"x": [5, 4]}, ["i"], output_type=6
    )
    with pytest.raises(UserError, match=r"output 'i' is a sum of integer codes: give model\.source the float"):
        dequantized(source)


def test_a_dynamically_quantized_feature_that_is_float_again_is_itself():
    """TFLite's dynamic range, as tf2onnx writes it; codes that are read with another scale have no float meaning."""
    nodes = [
        QUANTIZE,
        node("DequantizeLinear", ["q", "xs", "xz"], ["real"], "read"),
        node("DequantizeLinear", ["w", "ws", "wz"], ["weight"], "weight"),
        node("MatMul", ["real", "weight"], ["y"], "product"),
    ]
    constants = {"w": W, "ws": f32(0.02), "wz": np.uint8(120)}
    undone = dequantized(model_of(nodes, constants, {"x": [5, 4]}))
    assert [(each.op_type, each.input[0]) for each in undone.model.graph.node] == [("MatMul", "x")]
    nodes[1].input[1] = "ws"
    with pytest.raises(UserError, match=r"read \(DequantizeLinear\) is quantized and reads 'q' with another scale"):
        dequantized(model_of(nodes, constants, {"x": [5, 4]}))
