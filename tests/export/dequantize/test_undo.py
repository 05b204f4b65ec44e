"""Ranges for quantize, and networks that ONNX Runtime's own tools have quantized."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.session import Runner
from stages.export.canonical import canonicalize
from stages.export.cut import find_cut
from stages.export.dequantize.codes import FeatureRange, ramp
from stages.export.dequantize.undo import dequantized, is_quantized, node_ranges
from stages.export.float_source import agreement, float_source
from stages.export.shapes import fix_shapes
from tests.export.dequantize.bounds import rounding_in_steps
from tests.export.dequantize.test_qdq import convolution, f32, model_of, on_codes, pair
from tests.networks import tiny_classifier

node = helper.make_node


def canonical(model):
    return canonicalize(fix_shapes(model, {}), find_cut(model, [None], []))


def test_a_float_network_is_not_quantized():
    assert not is_quantized(tiny_classifier())
    assert is_quantized(convolution())


def test_ranges_are_those_of_nodes_and_inputs():
    undone = dequantized(convolution())
    assert node_ranges(canonical(undone.model), undone.ranges) == {
        "x": {"MIN": pytest.approx(-128 * 0.05), "MAX": pytest.approx(127 * 0.05)},
        "conv": {"MIN": pytest.approx(-128 * 0.1), "MAX": pytest.approx(127 * 0.1)},
    }


def test_what_moves_codes_has_no_range_of_its_own():
    undone = dequantized(on_codes([node("MaxPool", ["a"], ["b"], "pool", kernel_shape=[2, 2])]))
    assert list(node_ranges(canonical(undone.model), undone.ranges)) == ["x"]


def test_a_bit_width_is_written_where_it_is_not_the_usual_one():
    nodes = [node("Neg", ["x"], ["n"], "neg"), node("Exp", ["n"], ["e"], "exp"), node("Abs", ["e"], ["y"], "abs")]
    ranges = {"n": FeatureRange(8, -1.0, 1.0), "e": FeatureRange(16, 0.0, 2.0), "y": FeatureRange(8, 0.0, 3.0)}
    assert node_ranges(canonical(model_of(nodes, {}, opset=17)), ranges) == {
        "neg": {"MIN": -1.0, "MAX": 1.0},
        "exp": {"QUANT_FEATURE_BIT": 16, "MIN": 0.0, "MAX": 2.0},
        "abs": {"MIN": 0.0, "MAX": 3.0},
    }


def test_a_range_before_an_activation_is_left_to_the_activation():
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        *pair("c", "cd"),
        node("Relu", ["cd"], ["r"], "relu"),
        *pair("r", "y"),
    ]
    constants = {"w": np.ones((2, 2, 1, 1), np.float32), "s": f32(0.1), "z": np.int8(0)}
    undone = dequantized(model_of(nodes, constants))
    assert node_ranges(canonical(undone.model), undone.ranges) == {"relu": {"MIN": 0.0, "MAX": pytest.approx(12.7)}}


@pytest.mark.parametrize("levels", [127, 255])
def test_distance_bins_that_were_rounded_are_whole_numbers_again(levels):
    scale = np.array(15 / levels, np.float32)
    rounded = (np.rint(np.arange(16) / scale) * scale).astype(np.float32).reshape(1, 16, 1, 1)
    np.testing.assert_array_equal(ramp(rounded, scale).ravel(), np.arange(16))


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (16,)])
def test_other_weights_stay(shape):
    values = np.linspace(0, 7, 16, dtype=np.float32).reshape(shape)
    assert ramp(values, np.array(0.05, np.float32)) is values


def test_agreement_is_the_cosine_of_the_outputs():
    source = convolution()
    assert agreement(source, dequantized(source)) > 0.999


def test_agreement_shows_an_activation_that_only_a_quantizer_had():
    """A ceiling of 0.5 on values up to 20, which no rule takes for an activation."""
    nodes = [node("Mul", ["x", "k"], ["m"], "mul"), *pair("m", "y", "s", "z")]
    source = model_of(nodes, {"k": f32(20.0), "s": f32(0.1), "z": np.uint8(250)}, {"x": [1, 64]})
    assert agreement(source, dequantized(source)) < 0.9


def test_agreement_is_unknown_without_sizes():
    source = on_codes([node("Identity", ["a"], ["b"], "same")], inputs={"x": ["N", 4, "H", 4]})
    undone = dequantized(source)
    assert agreement(source, undone) is None
    assert agreement(source, undone, [[1, 3, 8, 4]]) is None
    assert agreement(source, undone, [[2, 5], [2, 4, 8, 4]]) > 0.99


def from_tensorflow():
    """As tf2onnx writes an int8 TFLite file: codes in and out, NHWC, a transposed weight, Relu6 in the range alone."""
    rng = np.random.default_rng(0)
    constants = {
        "s": f32(1 / 128), "z": np.int8(0), "w": rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
        "ws": (rng.random(8) * 0.01 + 0.001).astype(np.float32), "wz": np.zeros(8, np.int8),
        "b": rng.integers(-2000, 2000, 8).astype(np.int32), "bs": np.full(8, 1e-4, np.float32),
        "s6": f32(6 / 255), "z6": np.int8(-128), "to": np.array([1, 8]),
        "w2": rng.integers(-127, 128, (8, 5)).astype(np.int8), "w2s": f32(0.02), "s3": f32(0.1), "z3": np.int8(4),
    }  # fmt: skip
    nodes = [
        node("DequantizeLinear", ["x", "s", "z"], ["xd"], "x/DQ"),
        node("Transpose", ["xd"], ["xt"], "to_nchw", perm=[0, 3, 1, 2]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "w/DQ", axis=0),
        node("Transpose", ["wd"], ["wt"], "w/Transpose", perm=[0, 3, 1, 2]),
        node("DequantizeLinear", ["b", "bs"], ["bd"], "b/DQ", axis=0),
        node("Conv", ["xt", "wt", "bd"], ["c"], "conv", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Transpose", ["c"], ["ct"], "to_nhwc", perm=[0, 2, 3, 1]),
        *pair("ct", "cd", "s6", "z6"),
        node("ReduceMean", ["cd"], ["m"], "mean", axes=[1, 2], keepdims=1),
        node("QuantizeLinear", ["m", "s6", "z6"], ["mq"], "m/Q"),
        node("Reshape", ["mq", "to"], ["mr"], "flat"),
        node("DequantizeLinear", ["mr", "s6", "z6"], ["md"], "m/DQ"),
        node("DequantizeLinear", ["w2", "w2s", "z"], ["w2d"], "w2/DQ"),
        node("MatMul", ["md", "w2d"], ["f"], "fc"),
        node("QuantizeLinear", ["f", "s3", "z3"], ["y"], "y/Q"),
    ]
    fed = {"x": (TensorProto.INT8, [1, 8, 12, 3])}
    return model_of(nodes, constants, fed, opset=13, output_type=TensorProto.INT8)


def test_a_network_of_tflite_keeps_its_activation_and_loses_its_transposes():
    source = from_tensorflow()
    undone = float_source(source, "net.onnx")
    exported = canonical(undone.model)
    assert [entry.op_type for entry in exported.graph.node] == ["Conv", "Clip", "ReduceMean", "Reshape", "MatMul"]
    assert undone.lines[1:3] == [
        "1 activation restored: codes that start at 0, or end at 6, had taken the place of Relu and Clip",
        "input 'x' took codes and takes real values now, (code - 0) * 0.0078125: where codes were pixels less 128, "
        "give model.inputs mean: [128], normal: [128]",
    ]
    assert undone.lines[-1].startswith("input 'x' is NHWC in net.onnx and NCHW from here on")
    codes = np.random.default_rng(1).integers(-128, 128, (1, 8, 12, 3)).astype(np.int8)
    (quantized,) = Runner(source, optimize="none").run({"x": codes}).values()
    pixels = np.ascontiguousarray((codes / np.float32(128)).transpose(0, 3, 1, 2))
    (real,) = Runner(exported).run({"x": pixels}).values()
    assert np.abs(real - (quantized.astype(np.float32) - 4) * np.float32(0.1)).max() < 0.1


# --- ONNX Runtime's tools


def residual_network():
    """Convolutions with Relu, Clip, Sigmoid and LeakyRelu, a sum, a product, pools, Concat, Gemm and Softmax."""
    rng = np.random.default_rng(0)

    def weight(name, *shape):
        return numpy_helper.from_array(rng.normal(0, float(np.prod(shape[1:])) ** -0.5, shape).astype(np.float32), name)

    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], "stem", pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"], "relu"),
        node("MaxPool", ["r1"], ["p1"], "max", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "w2", "b2"], ["c2"], "depthwise", group=8, pads=[1, 1, 1, 1]),
        node("Clip", ["c2", "zero", "six"], ["r2"], "relu6"),
        node("Conv", ["r2", "w3"], ["c3"], "project"),
        node("Add", ["p1", "c3"], ["sum"], "sum"),
        node("Sigmoid", ["sum"], ["gate"], "gate"),
        node("Mul", ["sum", "gate"], ["silu"], "silu"),
        node("LeakyRelu", ["c3"], ["leaky"], "leaky", alpha=0.1),
        node("Concat", ["silu", "leaky"], ["joined"], "join", axis=1),
        node("AveragePool", ["joined"], ["a"], "average", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["a"], ["g"], "mean"),
        node("Flatten", ["g"], ["f"], "flat"),
        node("Gemm", ["f", "w4", "b4"], ["l"], "fc", transB=1),
        node("Softmax", ["l"], ["y"], "softmax", axis=1),
    ]
    tensors = [
        weight("w1", 8, 3, 3, 3), weight("b1", 8), weight("w2", 8, 1, 3, 3), weight("b2", 8), weight("w3", 8, 8, 1, 1),
        weight("w4", 5, 16), weight("b4", 5), numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(np.float32(6), "six"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


X = np.random.default_rng(1).normal(0, 1, (6, 1, 3, 16, 16)).astype(np.float32)


class Reader:
    def __init__(self):
        self.feeds = iter({"x": x} for x in X)

    def get_next(self):
        return next(self.feeds, None)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize(
    ("features", "weights", "options"),
    [
        ("QUInt8", "QUInt8", {}),
        ("QUInt8", "QInt8", {"per_channel": True, "reduce_range": True}),
        ("QInt8", "QInt8", {"extra_options": {"ActivationSymmetric": True}}),
    ],
    ids=["u8u8", "u8s8 by channel", "s8s8 symmetric"],
)
def test_networks_that_onnx_runtime_quantized_statically(tmp_path, form, features, weights, options):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    path = tmp_path / "quantized.onnx"
    kinds = {"activation_type": QuantType[features], "weight_type": QuantType[weights]}
    quantize_static(residual_network(), path, Reader(), quant_format=QuantFormat[form], **kinds, **options)
    source = onnx.load(path)
    undone = dequantized(source)
    exported = canonical(undone.model)
    # what ONNX Runtime folded into ranges is back: as many activations as before, and no operator more
    folded = "symmetric" if features == "QInt8" else ""
    expected = sorted(entry.op_type for entry in canonical(residual_network()).graph.node)
    found = sorted(entry.op_type for entry in exported.graph.node)
    assert len(found) == len(expected)
    assert [kind for kind in found if kind not in ("Relu", "Clip")] == [
        kind for kind in expected if kind not in ("Relu", "Clip")
    ]
    assert undone.activations == (0 if folded else 2)
    assert rounding_in_steps(source, {"x": X[0]}) <= (1.5 if form == "QOperator" else 0.502)
    for x in X:
        (real,), (original,) = (list(Runner(model).run({"x": x}).values()) for model in (exported, residual_network()))
        assert np.abs(real - original).max() < 0.02  # probabilities


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["QUInt8", "QInt8"])
def test_networks_that_onnx_runtime_quantized_dynamically(tmp_path, weights):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = tmp_path / "quantized.onnx"
    quantize_dynamic(residual_network(), path, weight_type=QuantType[weights])
    source = onnx.load(path)
    undone = dequantized(source)
    expected = [entry.op_type for entry in canonical(residual_network()).graph.node]
    assert sorted(entry.op_type for entry in canonical(undone.model).graph.node) == sorted(expected)
    assert undone.weights == 4
    for x in X:
        (real,), (original,) = (
            list(Runner(model).run({"x": x}).values()) for model in (undone.model, residual_network())
        )
        assert np.abs(real - original).max() < 0.02
