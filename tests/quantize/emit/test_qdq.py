import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from stages.core.integer.network_params import FeatureParams, NetworkParams, RangeSource, WeightParams
from stages.quantize.emit.qdq import insert_quantizers, storage_type
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import tiny_classifier

FEATURE_TYPES = {4: TensorProto.UINT8, 8: TensorProto.UINT8, 10: TensorProto.UINT16, 12: TensorProto.UINT16,
                 16: TensorProto.UINT16}  # fmt: skip
WEIGHT_TYPES = {2: TensorProto.INT4, 4: TensorProto.INT4, 6: TensorProto.INT8, 8: TensorProto.INT8,
                16: TensorProto.INT16}  # fmt: skip


def feature(tensor, producer, bits, scale, zero_point):
    return FeatureParams(tensor, producer, bits, scale, zero_point, 0.0, 0.0, 0.0, 0.0, RangeSource.MAX_ABS)


def convolution(seed=0, opset=17):
    """x [1, 3, 5, 5] -> Conv with 4 channels and bias -> y."""
    rng = np.random.default_rng(seed)
    constants = {"w": rng.normal(0, 0.4, (4, 3, 2, 2)), "b": rng.uniform(-0.4, 0.4, 4)}
    return graph_model([node("Conv", ["x", "w", "b"], ["y"], "conv")], {"x": [1, 3, 5, 5]}, ["y"], constants, opset)


def exact_case(bits, weight_bits, per_channel=True):
    """A network, its parameters with powers of two as scales, and integer weight codes over the whole width."""
    rng = np.random.default_rng(bits * 100 + weight_bits)
    qmax = 2 ** (weight_bits - 1) - 1
    codes = rng.integers(-qmax, qmax + 1, (4, 3, 2, 2)).astype(np.int32)
    exponents = rng.integers(-2, 1, 4 if per_channel else 1)
    scales = 2.0**exponents / (qmax + 1)
    params = NetworkParams(
        features=[
            feature("x", "x", bits, 4.0 / 2**bits, 2 ** (bits - 2)),
            feature("y", "conv", bits, 8.0 / 2**bits, 2 ** (bits - 1)),
        ],
        weights=[WeightParams("w", "conv", weight_bits, 0 if per_channel else None, tuple(scales), "MAX_ABS")],
    )
    return convolution(seed=bits + weight_bits), params, {"conv": codes}


def run_exactly(model, feeds, tensors=None):
    """Run without any optimization; gives the named tensors (default: the outputs)."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if tensors:
        del shown.graph.output[:]
        shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(tensors, feeds)


def fake(values, entry):
    """Quantize and dequantize in float64, rounding halves to even."""
    codes = np.clip(np.rint(values / entry.scale) + entry.zero_point, 0, 2**entry.bits - 1)
    return (codes - entry.zero_point) * entry.scale


def convolve(x, w, b):
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (2, 2), axis=(1, 2))
    return (np.einsum("cijkl,ockl->oij", windows, w) + b[:, None, None])[None]


def by_hand(model, params, codes, x):
    """The quantized convolution in NumPy: dequantized input and output."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    before, after = params.features
    scales = np.broadcast_to(params.weights[0].scales, 4)
    weight = codes["conv"] * scales[:, None, None, None]
    accumulator = before.scale * scales
    bias = np.rint(constants["b"].astype(np.float64) / accumulator) * accumulator
    seen = fake(x.astype(np.float64), before)
    return seen, fake(convolve(seen, weight, bias), after)


def types(model):
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def opset(model):
    return next(each.version for each in model.opset_import if each.domain == "")


PICTURE = np.random.default_rng(9).normal(0, 1.2, (1, 3, 5, 5)).astype(np.float32)
combinations = pytest.mark.parametrize(("bits", "weight_bits"), [(b, w) for b in FEATURE_TYPES for w in WEIGHT_TYPES])


@combinations
@pytest.mark.parametrize("per_channel", [True, False])
def test_equals_fake_quantization_in_numpy(bits, weight_bits, per_channel):
    model, params, codes = exact_case(bits, weight_bits, per_channel)
    quantized = insert_quantizers(model, params, codes)
    seen, expected = by_hand(model, params, codes, PICTURE)
    found_seen, actual = run_exactly(quantized, {"x": PICTURE}, ["x/dequantized", "y"])
    np.testing.assert_array_equal(found_seen, seen)
    if bits + weight_bits <= 20:  # the accumulator is exact in float32
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=0, atol=params.features[1].scale)
    assert np.unique(expected).size >= 3


@combinations
def test_runs_with_default_options_within_one_step(bits, weight_bits):
    model, params, codes = exact_case(bits, weight_bits)
    (actual,) = run_onnx(insert_quantizers(model, params, codes), {"x": PICTURE})
    _, expected = by_hand(model, params, codes, PICTURE)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=params.features[1].scale)


@combinations
def test_types_and_opset(bits, weight_bits):
    model, params, codes = exact_case(bits, weight_bits)
    quantized = insert_quantizers(model, params, codes)
    onnx.checker.check_model(quantized, full_check=True)
    actual = types(quantized)
    assert actual["x/zero_point"] == actual["y/zero_point"] == FEATURE_TYPES[bits]
    assert actual["conv/weight/codes"] == actual["conv/weight/zero_point"] == WEIGHT_TYPES[weight_bits]
    assert actual["conv/bias/codes"] == TensorProto.INT32
    assert actual["x/scale"] == actual["conv/weight/scale"] == actual["conv/bias/scale"] == TensorProto.FLOAT
    assert opset(quantized) == (17 if bits <= 8 and weight_bits in (6, 8) else 21)


@pytest.mark.parametrize(
    ("bits", "signed", "kind", "width"),
    [
        (2, True, TensorProto.INT4, 4), (4, True, TensorProto.INT4, 4), (6, True, TensorProto.INT8, 8),
        (8, True, TensorProto.INT8, 8), (10, True, TensorProto.INT16, 16), (4, False, TensorProto.UINT8, 8),
        (6, False, TensorProto.UINT8, 8), (8, False, TensorProto.UINT8, 8), (12, False, TensorProto.UINT16, 16),
        (16, False, TensorProto.UINT16, 16),
    ],
)  # fmt: skip
def test_storage_type(bits, signed, kind, width):
    assert storage_type(bits, signed) == (kind, width)


@pytest.mark.parametrize("bits", [4, 6, 10, 12])
def test_codes_stay_in_their_width_inside_a_wider_type(bits):
    model, params, codes = exact_case(bits, 8)
    quantized = insert_quantizers(model, params, codes)
    large = np.float32([-1e6, 1e6] * 38)[:75].reshape(1, 3, 5, 5)
    (actual,) = run_exactly(quantized, {"x": large}, ["x/codes"])
    assert (actual.min(), actual.max()) == (0, 2**bits - 1)


def test_a_newer_opset_is_kept():
    model, params, codes = exact_case(4, 4)
    newer = onnx.version_converter.convert_version(model, 22)
    assert opset(insert_quantizers(newer, params, codes)) == 22


def test_source_is_not_changed():
    model, params, codes = exact_case(10, 4)
    before = model.SerializeToString(deterministic=True)
    insert_quantizers(model, params, codes)
    assert model.SerializeToString(deterministic=True) == before


def test_same_bytes_twice():
    first, second = (insert_quantizers(*exact_case(10, 4)).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_names():
    model, params, codes = exact_case(8, 8)
    quantized = insert_quantizers(model, params, codes)
    assert [info.name for info in quantized.graph.input] == ["x"]
    assert [info.name for info in quantized.graph.output] == ["y"]
    assert [(each.op_type, each.output[0]) for each in quantized.graph.node] == [
        ("QuantizeLinear", "x/codes"),
        ("DequantizeLinear", "x/dequantized"),
        ("DequantizeLinear", "conv/weight/dequantized"),
        ("DequantizeLinear", "conv/bias/dequantized"),
        ("Conv", "y/float"),
        ("QuantizeLinear", "y/codes"),
        ("DequantizeLinear", "y"),
    ]
    names = [each.name for each in quantized.graph.node]
    assert len(set(names)) == len(names)
    assert next(each for each in quantized.graph.node if each.op_type == "Conv").name == "conv"


def test_float_weights_and_biases_are_gone():
    model, params, codes = exact_case(8, 8)
    assert {"w", "b"}.isdisjoint(types(insert_quantizers(model, params, codes)))


def test_a_bias_behind_a_float_feature_stays_in_float():
    model, params, codes = exact_case(8, 8)
    quantized = insert_quantizers(model, NetworkParams(params.features[1:], params.weights), codes)
    assert types(quantized)["b"] == TensorProto.FLOAT


def test_nothing_to_quantize_gives_the_same_network():
    model = tiny_classifier()
    assert insert_quantizers(model, NetworkParams([], []), {}).graph.node == model.graph.node


def test_tensors_of_a_whole_network_keep_their_names():
    model = tiny_classifier()
    tensors = [name for each in model.graph.node for name in each.output]
    nodes = {each.output[0]: each.name for each in model.graph.node}
    params = NetworkParams([feature(name, nodes[name], 10, 0.01, 512) for name in tensors], [])
    quantized = insert_quantizers(model, params, {})
    picture = {"images": np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}
    for name, value in zip(tensors, run_exactly(quantized, picture, tensors), strict=True):
        steps = value / np.float32(0.01)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3, err_msg=name)
        assert steps.min() >= -512.01
        assert steps.max() <= 511.01


def test_an_input_that_several_nodes_take_is_quantized_once():
    nodes = [node("Relu", ["x"], ["r"], "relu"), node("Add", ["x", "r"], ["y"], "sum")]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"])
    quantized = insert_quantizers(model, NetworkParams([feature("x", "x", 8, 0.5, 100)], []), {})
    assert [each.op_type for each in quantized.graph.node].count("QuantizeLinear") == 1
    (actual,) = run_exactly(quantized, {"x": np.float32([[0.6, -0.6, 0.2, 1.3]])})
    np.testing.assert_array_equal(actual, [[1.0, -0.5, 0.0, 3.0]])


def test_a_constant_operand_is_quantized_like_a_feature():
    model = graph_model([node("Add", ["x", "k"], ["y"], "sum")], {"x": [1, 2]}, ["y"], {"k": [[0.6, -0.3]]})
    quantized = insert_quantizers(model, NetworkParams([feature("k", "k", 8, 0.5, 100)], []), {})
    assert [(each.op_type, each.output[0]) for each in quantized.graph.node] == [
        ("QuantizeLinear", "k/codes"), ("DequantizeLinear", "k/dequantized"), ("Add", "y"),
    ]  # fmt: skip
    (actual,) = run_exactly(quantized, {"x": np.float32([[1.0, 1.0]])})
    np.testing.assert_array_equal(actual, [[1.5, 0.5]])


def test_a_bias_of_one_value_serves_every_output():
    weights = [WeightParams("w", "fc", 8, 1, (1.0, 2.0), "MAX_ABS")]
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], "fc")]
    model = graph_model(nodes, {"x": [1, 2]}, ["y"], {"w": [[1, 2], [3, 4]], "b": [3.0]})
    params = NetworkParams([feature("x", "x", 8, 0.5, 0)], weights)
    quantized = insert_quantizers(model, params, {"fc": np.int32([[1, 1], [3, 2]])})
    assert types(quantized)["fc/bias/codes"] == TensorProto.INT32
    (actual,) = run_exactly(quantized, {"x": np.float32([[1.0, 1.0]])})
    np.testing.assert_array_equal(actual, [[7.0, 9.0]])


def test_a_node_with_several_outputs():
    nodes = [node("Split", ["x"], ["a", "b"], "split", axis=1, num_outputs=2), node("Add", ["a", "b"], ["y"], "sum")]
    model = graph_model(nodes, {"x": [1, 4]}, ["y"], opset=18)
    params = NetworkParams([feature("a", "split", 8, 0.5, 0), feature("b", "split:b", 8, 0.25, 0)], [])
    quantized = insert_quantizers(model, params, {})
    names = [each.name for each in quantized.graph.node]
    assert len(set(names)) == len(names) == 6
    (actual,) = run_exactly(quantized, {"x": np.float32([[0.6, 1.0, 0.3, 0.2]])})
    np.testing.assert_array_equal(actual, [[0.75, 1.25]])


def test_layers_that_use_the_same_weight_have_codes_of_their_own():
    nodes = [node("Gemm", ["x", "w"], ["t"], "one", transB=1), node("Gemm", ["t", "w"], ["y"], "two")]
    model = graph_model(nodes, {"x": [1, 2]}, ["y"], {"w": [[1, 2], [3, 4]]})
    weights = [
        WeightParams("w", "one", 8, 0, (1.0, 1.0), "MAX_ABS"),
        WeightParams("w", "two", 8, 1, (1.0, 2.0), "MAX_ABS"),
    ]
    codes = {"one": np.int32([[1, 2], [3, 4]]), "two": np.int32([[1, 1], [3, 2]])}
    quantized = insert_quantizers(model, NetworkParams([], weights), codes)
    (actual,) = run_exactly(quantized, {"x": np.float32([[1, 1]])})
    np.testing.assert_array_equal(actual, [[24, 34]])


@pytest.mark.parametrize("opset_before", [13, 17])
@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("ReduceMean", {"axes": [2, 3], "keepdims": 1}),
        ("ReduceMax", {"axes": [2, 3], "keepdims": 1}),
        ("Split", {"axis": 1}),
        ("Softmax", {"axis": 1}),
        ("HardSwish", {}),
    ],
)
def test_raising_the_opset_keeps_every_operator(kind, attributes, opset_before):
    if kind == "HardSwish":
        opset_before = max(opset_before, 14)
    outputs = ["t", "u"] if kind == "Split" else ["t"]
    nodes = [node(kind, ["x"], outputs, "op", **attributes), node("Relu", ["t"], ["y"], "active")]
    model = graph_model(nodes, {"x": [1, 4, 3, 3]}, ["y"], opset=opset_before)
    value = np.random.default_rng(1).uniform(-3, 3, (1, 4, 3, 3)).astype(np.float32)
    (expected,) = run_onnx(model, {"x": value})
    quantized = insert_quantizers(model, NetworkParams([feature("y", "active", 16, 2.0**-12, 0)], []), {})
    assert opset(quantized) == 21
    (actual,) = run_exactly(quantized, {"x": value})
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2.0**-12)
