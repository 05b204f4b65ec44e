"""Operators on codes with constant scales, read as the float operators of their names."""

import numpy as np
import onnx
import pytest
from onnx import helper

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner
from stages.export.dequantize.undo import dequantized
from tests.export.dequantize.bounds import rounding_in_steps
from tests.export.dequantize.test_qdq import DOMAIN, constants_of, f32, kinds, model_of, picture

PARAMETERS = {
    "s": f32(0.05), "z": np.uint8(120), "s2": f32(0.08), "z2": np.uint8(128),
    "small": f32(1 / 255), "zero": np.uint8(0),
}  # fmt: skip
HALF_A_STEP = 0.5 + 2e-3
"""With float32 sums in another order."""
OTHER_BOUNDS = {"softmax": 1.5}
"""ONNX Runtime takes softmax from a table of rounded integers."""


def standard(kind, inputs, name="op", **attributes):
    return helper.make_node(kind, inputs, ["a"], name, **attributes)


def contributed(kind, inputs, name="op", **attributes):
    return helper.make_node(kind, inputs, ["a"], name, domain=DOMAIN, **attributes)


def network(middle, constants=None, ends=("s2", "z2"), shape=(1, 2, 4, 4), opset=21):
    """x -> Q -> "q" -> one operator on codes -> "a" -> DQ -> y."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        middle,
        helper.make_node("DequantizeLinear", ["a", *ends], ["y"], "dequantize"),
    ]
    return model_of(nodes, PARAMETERS | (constants or {}), {"x": list(shape)}, opset=opset)


RNG = np.random.default_rng(1)
CONV = {
    "w": RNG.integers(0, 256, (3, 2, 3, 3), np.uint8), "ws": f32(0.01), "wz": np.uint8(125),
    "b": np.array([200, -300, 50], np.int32),
}  # fmt: skip
PER_CHANNEL = {
    "w": RNG.integers(-60, 60, (3, 2, 3, 3)).astype(np.int8), "ws": f32(0.01, 0.02, 0.005),
    "wz": np.zeros(3, np.int8), "b": CONV["b"],
}  # fmt: skip
GEMM = {
    "w": RNG.integers(0, 256, (4, 3), np.uint8), "ws": f32(0.01), "wz": np.uint8(125),
    "b": np.array([200, -300, 50], np.int32), "one": f32(0.02),
}  # fmt: skip
X, Y, W = ["q", "s", "z"], ["s2", "z2"], ["w", "ws", "wz"]

CASES = {
    "conv": (network(standard("QLinearConv", [*X, *W, *Y, "b"], pads=[1, 1, 1, 1]), CONV), "Conv"),
    "conv by channel": (network(standard("QLinearConv", [*X, *W, *Y, "b"], strides=[2, 2]), PER_CHANNEL), "Conv"),
    "conv without bias": (network(standard("QLinearConv", [*X, *W, *Y]), CONV), "Conv"),
    "matmul": (network(standard("QLinearMatMul", [*X, *W, *Y]), GEMM), "MatMul"),
    "gemm": (network(contributed("QGemm", [*X, *W, "b", *Y], alpha=0.5), GEMM, shape=(2, 4)), "Gemm"),
    "add": (network(contributed("QLinearAdd", [*X, *X, *Y])), "Add"),
    "add a constant": (
        network(contributed("QLinearAdd", [*X, "k", "s2", "z2", *Y]), {"k": np.array([[[3]], [[200]]], np.uint8)}),
        "Add",
    ),
    "mul": (network(contributed("QLinearMul", [*X, *X, *Y])), "Mul"),
    "sigmoid": (network(contributed("QLinearSigmoid", [*X, "small", "zero"]), ends=("small", "zero")), "Sigmoid"),
    "leaky relu": (network(contributed("QLinearLeakyRelu", [*X, *Y], alpha=0.1)), "LeakyRelu"),
    "mean of all": (network(contributed("QLinearGlobalAveragePool", [*X, *Y], channels_last=0)), "GlobalAveragePool"),
    "average pool": (
        network(contributed("QLinearAveragePool", [*X, *Y], kernel_shape=[2, 2], strides=[2, 2])), "AveragePool",
    ),
    "softmax": (
        network(contributed("QLinearSoftmax", [*X, "small", "zero"], axis=1, opset=13), ends=("small", "zero")),
        "Softmax",
    ),
    "concat": (network(contributed("QLinearConcat", [*Y, *X, *X], axis=1)), "Concat"),
    "where": (
        network(contributed("QLinearWhere", ["if", *X, "k", "s2", "z2", *Y]),
                {"if": np.array([[[[True, False, True, True]]]]), "k": np.array(200, np.uint8)}),
        "Where",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_float_operator_is_half_a_step_away(case):
    source, kind = CASES[case]
    undone = dequantized(source)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(undone.model, strict_mode=True))
    assert kinds(undone.model) == [kind]
    assert undone.form == "QDQ, QOperator"
    shape = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    assert 0.2 < rounding_in_steps(source, {"x": picture(shape, scale=2)}) <= OTHER_BOUNDS.get(case, HALF_A_STEP)


@pytest.mark.parametrize(("case", "low"), [("conv", -128 * 0.08), ("sigmoid", 0.0)])
def test_ranges_are_those_of_the_output(case, low):
    undone = dequantized(CASES[case][0])
    assert undone.ranges["y"].low == pytest.approx(low)
    assert undone.ranges["x"].low == pytest.approx(-120 * 0.05)


def test_weights_and_biases_are_exact():
    values = constants_of(dequantized(CASES["conv by channel"][0]).model)
    scales = f32(0.01, 0.02, 0.005).astype(np.float64)
    np.testing.assert_array_equal(values["w/real"], (PER_CHANNEL["w"] * scales[:, None, None, None]).astype(np.float32))
    step = np.float64(np.float32(0.05)) * scales
    np.testing.assert_array_equal(values["a/bias"], (CONV["b"] * step).astype(np.float32))


def test_a_convolution_whose_codes_start_at_0_has_a_relu():
    constants = CONV | {"z2": np.uint8(0)}
    source = network(standard("QLinearConv", [*X, *W, *Y, "b"]), constants)
    undone = dequantized(source)
    assert kinds(undone.model) == ["Conv", "Relu"]
    x = picture(scale=2)
    (expected,), (actual,) = (list(Runner(model).run({"x": x}).values()) for model in (source, undone.model))
    assert expected.min() == 0.0
    assert actual.min() == 0.0


def test_a_gemm_with_a_float_output():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        helper.make_node("QGemm", [*X, *W, "b"], ["y"], "op", domain=DOMAIN),
    ]
    source = model_of(nodes, PARAMETERS | GEMM, {"x": [2, 4]})
    undone = dequantized(source)
    x = (np.arange(8).reshape(2, 4) * 0.05).astype(np.float32)  # on the grid of the codes
    (expected,), (actual,) = (list(Runner(model).run({"x": x}).values()) for model in (source, undone.model))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_channels_last_is_refused():
    source = network(contributed("QLinearGlobalAveragePool", [*X, *Y], name="pool", channels_last=1))
    with pytest.raises(UserError, match=r"pool \(QLinearGlobalAveragePool\) is quantized and keeps its channels last"):
        dequantized(source)


@pytest.mark.parametrize("kind", ["QAttention", "MatMulNBits"])
def test_an_operator_without_a_rule_is_refused_by_name(kind):
    source = network(contributed(kind, ["q"], name="odd"))
    with pytest.raises(UserError, match=rf"odd \({kind}\) is quantized: give model.source the float network"):
        dequantized(source)
