"""Networks of QuantizeLinear and DequantizeLinear, read as float."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner
from stages.export.dequantize.undo import dequantized, is_quantized
from tests.export.dequantize.bounds import rounding_in_steps

node = helper.make_node
DOMAIN = "com.microsoft"


def model_of(nodes, constants, inputs=None, outputs=("y",), opset=21, output_type=TensorProto.FLOAT):
    """Constants are tensors, or arrays in their own type; an input is a shape, or a type and a shape."""
    infos = [
        helper.make_tensor_value_info(name, *(given if isinstance(given, tuple) else (TensorProto.FLOAT, given)))
        for name, given in (inputs or {"x": [1, 2, 4, 4]}).items()
    ]
    ends = [helper.make_tensor_value_info(name, output_type, None) for name in outputs]
    tensors = [
        value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
    ]
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(helper.make_graph(nodes, "q", infos, ends, tensors), opset_imports=opsets, ir_version=10)


def pair(source, target, scale="s", zero="z"):
    """QuantizeLinear and DequantizeLinear; the codes are `target`/q."""
    return [
        node("QuantizeLinear", [source, scale, zero], [f"{target}/q"], f"{target}/Q"),
        node("DequantizeLinear", [f"{target}/q", scale, zero], [target], f"{target}/DQ"),
    ]


def f32(*values):
    return np.array(values if len(values) > 1 else values[0], np.float32)


def constants_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def kinds(model):
    return [entry.op_type for entry in model.graph.node]


def picture(shape=(1, 2, 4, 4), seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


CODES = np.arange(-16, 20).reshape(2, 2, 3, 3)


def convolution(kind=np.uint8, zero=128, ends=(0.05, 0.1)):
    """x -> Q, DQ -> Conv (int8 weights by channel, int32 bias) -> Q, DQ."""
    constants = {
        "s": f32(ends[0]), "z": kind(zero), "s2": f32(ends[1]), "z2": kind(zero),
        "w": CODES.astype(np.int8), "ws": f32(0.01, 0.03), "wz": np.array([0, 2], np.int8),
        "b": np.array([100, -50], np.int32), "bs": f32(0.001, 0.002),
    }  # fmt: skip
    nodes = [
        *pair("x", "xd"),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "w/DQ", axis=0),
        node("DequantizeLinear", ["b", "bs"], ["bd"], "b/DQ", axis=0),
        node("Conv", ["xd", "wd", "bd"], ["c"], "conv", pads=[1, 1, 1, 1]),
        *pair("c", "y", "s2", "z2"),
    ]
    return model_of(nodes, constants)


@pytest.mark.parametrize(("kind", "zero"), [(np.uint8, 128), (np.int8, 3), (np.int16, 0), (np.uint16, 32768)], ids=str)
def test_weights_are_exact_and_features_float(kind, zero):
    undone = dequantized(convolution(kind, zero))
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(undone.model, strict_mode=True))
    assert kinds(undone.model) == ["Conv"]
    assert list(undone.model.graph.node[0].output) == ["y"]
    assert not is_quantized(undone.model)
    (weight,) = (value for value in constants_of(undone.model).values() if value.ndim == 4)
    np.testing.assert_array_equal(weight[0], CODES[0].astype(np.float32) * np.float32(0.01))
    np.testing.assert_array_equal(weight[1], (CODES[1] - 2).astype(np.float32) * np.float32(0.03))
    (bias,) = (value for value in constants_of(undone.model).values() if value.ndim == 1)
    np.testing.assert_array_equal(bias, f32(100, -50) * f32(0.001, 0.002))
    bits, low = np.iinfo(kind).bits, np.iinfo(kind).min
    assert undone.ranges["x"].bits == bits
    assert undone.ranges["x"].low == pytest.approx((low - zero) * 0.05)
    assert undone.ranges["y"].high == pytest.approx((np.iinfo(kind).max - zero) * 0.1)
    assert undone.weights == 2


@pytest.mark.parametrize(("kind", "zero"), [(np.uint8, 128), (np.int8, 3)])
def test_the_float_meaning_is_half_a_step_away(kind, zero):
    assert 0.4 < rounding_in_steps(convolution(kind, zero), {"x": picture()}) <= 0.5 + 1e-3


def test_weights_of_4_bits():
    values = np.array([[-8, -1], [3, 7]])
    stored = helper.make_tensor("w", TensorProto.INT4, [2, 2], values.ravel().tolist())
    nodes = [node("DequantizeLinear", ["w", "ws"], ["wd"], "dq", axis=1), node("MatMul", ["x", "wd"], ["y"], "fc")]
    undone = dequantized(model_of(nodes, {"w": stored, "ws": f32(0.5, 0.25)}, {"x": [1, 2]}))
    (weight,) = constants_of(undone.model).values()
    np.testing.assert_array_equal(weight, [[-4.0, -0.25], [1.5, 1.75]])
    assert kinds(undone.model) == ["MatMul"]


def test_weights_with_a_scale_for_each_block():
    nodes = [
        node("DequantizeLinear", ["w", "ws"], ["wd"], "dq", axis=0, block_size=2),
        node("MatMul", ["x", "wd"], ["y"], "fc"),
    ]
    constants = {"w": np.array([[1], [2], [3]], np.int8), "ws": np.array([[1.0], [10.0]], np.float32)}
    undone = dequantized(model_of(nodes, constants, {"x": [1, 3]}))
    np.testing.assert_array_equal(constants_of(undone.model)["w/real"], [[1.0], [2.0], [30.0]])


def test_weights_in_float_keep_their_own_values():
    value = f32(0.1, 0.26).reshape(2, 1, 1, 1)
    nodes = [
        *pair("x", "xd"),
        *pair("w", "wd", "ws", "wz"),
        node("Conv", ["xd", "wd"], ["y"], "conv"),
    ]
    undone = dequantized(
        model_of(nodes, {"s": f32(1.0), "z": np.int8(0), "w": value, "ws": f32(0.1), "wz": np.int8(0)},
                 {"x": [1, 1, 2, 2]})
    )  # fmt: skip
    np.testing.assert_array_equal(constants_of(undone.model)["w"], value)
    assert kinds(undone.model) == ["Conv"]


def test_codes_that_are_read_with_two_scales_are_two_weights():
    nodes = [
        node("DequantizeLinear", ["w", "s1"], ["a"], "one"),
        node("DequantizeLinear", ["w", "s2"], ["b"], "two"),
        node("DequantizeLinear", ["w", "s2"], ["c"], "two again"),
        node("Sum", ["a", "b", "c", "x"], ["y"], "sum"),
    ]
    constants = {"w": np.array([1, -3], np.int8), "s1": f32(0.5), "s2": f32(10.0)}
    undone = dequantized(model_of(nodes, constants, {"x": [2]}))
    (y,) = Runner(undone.model).run({"x": np.zeros(2, np.float32)}).values()
    np.testing.assert_array_equal(y, [20.5, -61.5])
    assert undone.weights == 2


def test_a_zero_point_that_quantizers_share_is_no_weight():
    """PyTorch writes it once, and passes it on by an Identity."""
    nodes = [
        node("Identity", ["z"], ["z2"], "same"),
        *pair("x", "a"),
        node("Neg", ["a"], ["n"], "neg"),
        *pair("n", "y", "s", "z2"),
    ]
    undone = dequantized(model_of(nodes, {"s": f32(0.5), "z": np.int8(3)}))
    assert kinds(undone.model) == ["Neg"]
    assert undone.weights == 0


# --- activations that ranges stand for


ONE = np.eye(4, dtype=np.float32)


def activation(scale, zero, before=("MatMul",), kind=np.uint8, opset=21):
    """x -> what is `before` -> Q, DQ. A MatMul multiplies by -1, an Add adds x."""
    nodes, name = [], "x"
    for index, one in enumerate(before):
        inputs = {"MatMul": [name, "w"], "Add": [name, "x"], "Mul": [name, "k"]}.get(one, [name])
        nodes.append(node(one, inputs, [f"t{index}"], f"{one}{index}"))
        name = f"t{index}"
    constants = {"s": f32(scale), "z": kind(zero), "w": -ONE, "k": f32(2.0)}
    return model_of([*nodes, *pair(name, "y")], constants, {"x": [1, 4]}, opset=opset)


@pytest.mark.parametrize(
    ("arguments", "restored"),
    [
        ({"scale": 0.1, "zero": 0}, ["Relu"]),
        ({"scale": 6 / 255, "zero": 0}, ["Clip"]),
        ({"scale": 6 / 255, "zero": -128, "kind": np.int8}, ["Clip"]),
        ({"scale": 0.1, "zero": -128, "kind": np.int8}, ["Relu"]),
        ({"scale": 0.1, "zero": 1}, []),
        ({"scale": 0.1, "zero": 0, "before": ["MatMul", "Relu"]}, []),
        ({"scale": 0.1, "zero": 0, "before": ["MatMul", "Sigmoid", "Identity"]}, []),
        ({"scale": 0.1, "zero": 0, "before": ["MatMul", "Add"]}, ["Relu"]),
        ({"scale": 0.1, "zero": 0, "before": ["MatMul", "Mul", "Transpose", "Transpose"]}, ["Relu"]),
        ({"scale": 0.1, "zero": 0, "before": ["Abs", "Add"]}, []),
        ({"scale": 6 / 255, "zero": 0, "opset": 10}, ["Clip"]),
    ],
)
def test_codes_that_start_at_0_are_a_relu_behind_a_layer_with_weights(arguments, restored):
    source = activation(**arguments)
    undone = dequantized(source)
    assert kinds(undone.model) == [*arguments.get("before", ["MatMul"]), *restored]
    assert undone.activations == len(restored)
    x = np.array([[-30.0, -5.0, -0.01, 2.0]], np.float32)
    (quantized,), (real,) = (list(Runner(model).run({"x": x}).values()) for model in (source, undone.model))
    limits, scale = np.iinfo(arguments.get("kind", np.uint8)), arguments["scale"]
    low, high = ((end - arguments["zero"]) * scale for end in (limits.min, limits.max))
    np.testing.assert_allclose(real.clip(low, high), quantized, atol=scale * 0.501)


@pytest.mark.parametrize("before", [["Neg"], ["Neg", "MaxPool"], ["Neg", "Add"]])
def test_codes_from_0_of_what_has_no_weights_are_no_relu(before):
    """Box coordinates were just never negative on the calibration pictures."""
    nodes, name = [], "x"
    for kind in before:
        attributes = {"kernel_shape": [2, 2]} if kind == "MaxPool" else {}
        nodes.append(node(kind, [name, "x"] if kind == "Add" else [name], [f"{name}{kind}"], kind, **attributes))
        name = nodes[-1].output[0]
    source = model_of([*nodes, *pair(name, "y")], {"s": f32(0.1), "z": np.uint8(0)})
    assert kinds(dequantized(source).model) == before


def test_a_layer_of_no_negative_number_is_not_negative():
    """Distances are a sum of bins weighted by probabilities."""
    nodes = [
        node("Softmax", ["x"], ["p"], "softmax", axis=1),
        node("Conv", ["p", "bins"], ["d"], "bins"),
        *pair("d", "y"),
    ]
    bins = np.arange(2, dtype=np.float32).reshape(1, 2, 1, 1)
    source = model_of(nodes, {"bins": bins, "s": f32(0.1), "z": np.uint8(0)})
    assert kinds(dequantized(source).model) == ["Softmax", "Conv"]


def test_an_activation_is_restored_once_for_all_that_read_it():
    nodes = [
        node("MatMul", ["x", "w"], ["n"], "fc"),
        *pair("n", "a"),
        *pair("n", "b"),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    undone = dequantized(model_of(nodes, {"s": f32(0.1), "z": np.uint8(0), "w": -ONE}))
    assert kinds(undone.model) == ["MatMul", "Relu", "Add"]
    assert undone.activations == 1


def test_an_input_in_codes_from_0_is_no_relu():
    source = model_of([*pair("x", "xd"), node("Neg", ["xd"], ["y"], "neg")], {"s": f32(1.0), "z": np.uint8(0)})
    assert kinds(dequantized(source).model) == ["Neg"]


def test_a_relu_before_signed_codes_leaves_only_half_of_their_range():
    undone = dequantized(activation(0.1, 0, ["MatMul", "Relu"], np.int8))
    assert undone.ranges["y"].low == 0.0
    assert undone.ranges["y"].high == pytest.approx(12.7)


# --- operators on codes


def on_codes(middle, constants=None, zero=3, inputs=None):
    """x -> Q -> nodes on codes "a" to "b" -> DQ -> y."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"),
        *middle,
        node("DequantizeLinear", ["b", "s", "z"], ["y"], "dq"),
    ]
    return model_of(nodes, {"s": f32(0.5), "z": np.int8(zero)} | (constants or {}), inputs)


@pytest.mark.parametrize(
    ("middle", "constants"),
    [
        ([node("MaxPool", ["a"], ["b"], "pool", kernel_shape=[2, 2])], {}),
        ([node("Transpose", ["a"], ["b"], "t", perm=[0, 2, 3, 1])], {}),
        ([node("Concat", ["a", "a"], ["b"], "c", axis=1)], {}),
        ([node("Reshape", ["a", "to"], ["b"], "r")], {"to": np.array([1, -1])}),
        ([node("Pad", ["a", "pads", "zero"], ["b"], "p")], {"pads": np.array([0] * 6 + [1, 1]), "zero": np.int8(3)}),
        ([node("Pad", ["a", "pads"], ["b"], "p")], {"pads": np.array([0] * 6 + [1, 1])}),
        ([node("Resize", ["a", "", "", "to"], ["b"], "u", mode="nearest")], {"to": np.array([1, 2, 8, 8])}),
        ([node("Split", ["a"], ["b", "rest"], "s", axis=1, num_outputs=2)], {}),
        ([node("Gather", ["a", "which"], ["b"], "g", axis=1)], {"which": np.array([1, 0])}),
    ],
    ids=lambda value: value[0].op_type if isinstance(value, list) else "",
)
def test_operators_that_move_codes_move_real_values(middle, constants):
    source = on_codes(middle, constants)
    undone = dequantized(source)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(undone.model, strict_mode=True))
    assert kinds(undone.model) == [middle[0].op_type]
    x = np.round(picture(scale=4) * 2) / 2  # on the grid of the codes, so that nothing is rounded
    (expected,), (actual,) = (
        list(Runner(model, optimize="none").run({"x": x}).values()) for model in (source, undone.model)
    )
    np.testing.assert_array_equal(actual, expected)
    assert undone.ranges["y"].high == pytest.approx((127 - 3) * 0.5)


def test_codes_that_are_clipped_have_a_narrower_range():
    source = on_codes(
        [node("Clip", ["a", "low", "high"], ["b"], "clip")], {"low": np.int8(-60), "high": np.int8(67)}, zero=3
    )
    undone = dequantized(source)
    assert (undone.ranges["x"].low, undone.ranges["x"].high) == ((-60 - 3) * 0.5, (67 - 3) * 0.5)


def test_a_table_of_codes_that_is_looked_up():
    nodes = [
        node("Gather", ["table", "which"], ["a"], "look"),
        node("Transpose", ["a"], ["t"], "t"),
        node("DequantizeLinear", ["t", "s", "z"], ["d"], "dq"),
        node("Mul", ["x", "d"], ["y"], "mul"),
    ]
    constants = {
        "table": np.array([[1, 2], [3, 5]], np.int8), "which": np.array([1]), "s": f32(0.5), "z": np.int8(1),
    }  # fmt: skip
    undone = dequantized(model_of(nodes, constants, {"x": [2, 1]}))
    (y,) = Runner(undone.model).run({"x": np.ones((2, 1), np.float32)}).values()
    np.testing.assert_array_equal(y, [[1.0], [2.0]])


def test_shape_and_order_of_codes_are_those_of_the_real_values():
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"),
        node("ArgMax", ["a"], ["i"], "best", axis=1),
        node("Cast", ["i"], ["y"], "cast", to=TensorProto.FLOAT),
    ]
    undone = dequantized(model_of(nodes, {"s": f32(0.5), "z": np.int8(3)}))
    assert kinds(undone.model) == ["ArgMax", "Cast"]


# --- inputs and outputs


def test_inputs_and_outputs_in_codes_are_float_and_keep_their_names():
    nodes = [
        node("DequantizeLinear", ["x", "s", "z"], ["xd"], "dq"),
        node("MatMul", ["xd", "w"], ["n"], "fc"),
        node("QuantizeLinear", ["n", "s2", "z2"], ["y"], "q"),
    ]
    constants = {"s": f32(0.5), "z": np.uint8(128), "s2": f32(0.25), "z2": np.uint8(0), "w": -ONE}
    source = model_of(nodes, constants, {"x": (TensorProto.UINT8, [1, 4])}, output_type=TensorProto.UINT8)
    undone = dequantized(source)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(undone.model, strict_mode=True))
    (y,) = Runner(undone.model).run({"x": f32(-1.0, 0.5, 2.0, -3.0)[None]}).values()
    np.testing.assert_array_equal(y, [[1.0, 0.0, 0.0, 3.0]])  # the Relu that the codes from 0 are
    assert kinds(undone.model) == ["MatMul", "Relu"]
    assert undone.ranges["x"].low == -64.0
    assert undone.lines("net.onnx")[1:] == [
        "1 activation restored: codes that start at 0, or end at 6, had taken the place of Relu and Clip",
        "input 'x' took codes and takes real values now, (code - 128) * 0.5: where codes were pixels, give "
        "model.inputs mean: [128], normal: [2]",
    ]


def test_a_tensor_that_is_an_output_twice_has_both_names():
    nodes = [node("Neg", ["x"], ["n"], "neg"), *pair("n", "y")]
    undone = dequantized(model_of(nodes, {"s": f32(0.5), "z": np.int8(3)}, outputs=["n", "y"]))
    assert kinds(undone.model) == ["Neg", "Identity"]
    assert [info.name for info in undone.model.graph.output] == ["n", "y"]


def test_the_body_of_an_if_reads_the_real_value():
    body = helper.make_graph(
        [node("Neg", ["y0"], ["r"], "inner")], "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)]
    )
    nodes = [*pair("x", "y0"), node("If", ["yes"], ["y"], "if", then_branch=body, else_branch=body)]
    undone = dequantized(model_of(nodes, {"s": f32(0.5), "z": np.int8(3), "yes": np.array(True)}))
    x = picture()
    (y,) = Runner(undone.model).run({"x": x}).values()
    np.testing.assert_array_equal(y, -x)


def test_the_source_is_not_changed():
    source = convolution()
    before = source.SerializeToString()
    dequantized(source)
    assert source.SerializeToString() == before


# --- refusals


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (on_codes([node("Relu", ["a"], ["b"], "on codes")]), r"on codes \(Relu\) is quantized and computes on integer"),
        (
            on_codes([node("Resize", ["a", "", "", "to"], ["b"], "up", mode="linear")], {"to": np.array([1, 2, 8, 8])}),
            r"up \(Resize\) is quantized and interpolates integer codes",
        ),
        (
            on_codes([node("Pad", ["a", "pads"], ["b"], "p")], {"pads": np.array([0] * 7 + [1]), "s": f32(1.0, 2.0),
                                                                  "z": np.array([0, 0], np.int8)}),
            r"p \(Pad\) is quantized and pads codes whose scale is not one constant",
        ),
        (
            model_of([*pair("x", "a"), node("DequantizeLinear", ["a/q", "s2", "z"], ["y"], "other")],
                     {"s": f32(0.5), "s2": f32(0.25), "z": np.int8(0)}),
            r"other \(DequantizeLinear\) .*reads 'a/q' with another scale than it was written with: give model\.source",
        ),
        (
            model_of([node("Neg", ["t"], ["s"], "n"), *pair("x", "y")], {"z": np.int8(0)},
                     {"x": [1, 2], "t": []}),
            r"y/Q \(QuantizeLinear\) is quantized and its scale 's' is computed",
        ),
        (
            model_of([node("QuantizeLinear", ["x", "s", "z"], ["a"], "q8"),
                      node("DequantizeLinear", ["a", "s", "z"], ["y"], "dq8")],
                     {"s": f32(0.5), "z": helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], [0.0])}),
            r"q8 \(QuantizeLinear\) is quantized and has codes of type float8e4m3fn",
        ),
    ],
    ids=["computes", "interpolates", "pads", "another scale", "computed scale", "float8"],
)  # fmt: skip
def test_what_has_no_exact_float_meaning_is_refused(source, message):
    with pytest.raises(UserError, match=message):
        dequantized(source)


def test_quantizers_in_a_body_are_refused():
    body = helper.make_graph(pair("x", "r"), "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)])
    nodes = [node("If", ["yes"], ["y"], "if", then_branch=body, else_branch=body)]
    with pytest.raises(UserError, match="the body of an If, Loop or Scan is quantized \\(QDQ\\)"):
        dequantized(model_of(nodes, {"s": f32(0.5), "z": np.int8(3), "yes": np.array(True)}))


def test_codes_of_the_input_may_be_moved_before_they_are_read():
    """As tf2onnx does with TFLite's NHWC."""
    nodes = [
        node("Transpose", ["x"], ["moved"], "moved", perm=[0, 3, 1, 2]),
        node("DequantizeLinear", ["moved", "s", "z"], ["real"], "read"),
        node("Relu", ["real"], ["y"], "relu"),
    ]
    source = model_of(nodes, {"s": f32(0.5), "z": np.int8(-3)}, {"x": (TensorProto.INT8, [1, 2, 2, 3])})
    undone = dequantized(source)
    assert kinds(undone.model) == ["Transpose", "Relu"]
    assert [(info.name, info.type.tensor_type.elem_type) for info in undone.model.graph.input] == [
        ("x", TensorProto.FLOAT)
    ]
    assert (float(undone.codes["x"].scale), int(undone.codes["x"].zero_point)) == (0.5, -3)
    assert (undone.ranges["x"].low, undone.ranges["x"].high) == (-62.5, 65.0)


def test_codes_of_the_input_with_two_scales_are_refused():
    nodes = [
        node("Transpose", ["x"], ["moved"], "moved", perm=[0, 2, 3, 1]),
        node("DequantizeLinear", ["moved", "s", "z"], ["real"], "read"),
        node("Transpose", ["x"], ["other"], "other", perm=[0, 2, 3, 1]),
        node("DequantizeLinear", ["other", "t", "z"], ["wide"], "wide"),
        node("Add", ["real", "wide"], ["y"], "sum"),
    ]
    constants = {"s": f32(0.5), "t": f32(0.25), "z": np.int8(-3)}
    with pytest.raises(UserError, match=r"wide .* reads 'other' with another scale than it was written with"):
        dequantized(model_of(nodes, constants, {"x": (TensorProto.INT8, [1, 2, 2, 3])}))
