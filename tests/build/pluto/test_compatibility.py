"""Each rule on a planted fault: one change to a network that is accepted, and the refusal that must name it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from stages.build.pluto.compatibility import find_refusals
from stages.build.pluto.convolution_geometry import unproven
from stages.build.pluto.qdq_graph import QdqGraph
from stages.build.pluto.unweighted_rules import ties
from stages.core.graph.onnx_graph import Graph
from tests.build.pluto.networks import accepted, classifier


@pytest.fixture
def net():
    return copy("classifier")


@pytest.fixture
def refusals_of():
    return lambda model: {(each.node, each.effect.name): each for each in find_refusals(model)}


def copy(kind):
    model = onnx.ModelProto()
    model.CopyFrom(accepted(kind))
    del model.graph.value_info[:]
    return model


def node(model, name):
    return next(each for each in model.graph.node if each.name == name)


def store(model, name, value):
    """Replace an initializer's value, or add one."""
    kept = [tensor for tensor in model.graph.initializer if tensor.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, numpy_helper.from_array(np.asarray(value), name)])


def stored(model, name):
    return Graph(model).constant(name)


def put(model, name, **attributes):
    changed = node(model, name)
    kept = [attribute for attribute in changed.attribute if attribute.name not in attributes]
    del changed.attribute[:]
    changed.attribute.extend([*kept, *(helper.make_attribute(key, value) for key, value in attributes.items())])


def weight(model, layer, **shape):
    """Give a layer a weight of zeros of another shape, with scales and a bias to it."""
    size = shape["size"]
    bias_scales = stored(model, f"{layer}/bias/scale")
    feature_scale = np.float32(bias_scales[0] / stored(model, f"{layer}/weight/scale")[0])
    scales = np.full(size[0], 0.01, np.float32)
    store(model, f"{layer}/weight/codes", np.ones(size, np.int8))
    store(model, f"{layer}/weight/scale", scales)
    store(model, f"{layer}/weight/zero_point", np.zeros(size[0], np.int8))
    store(model, f"{layer}/bias/codes", np.zeros(size[0], np.int32))
    store(model, f"{layer}/bias/scale", scales * feature_scale)


@pytest.mark.parametrize("kind", ["classifier", "detector", "cut detector"])
def test_all_networks_are_accepted(kind):
    assert find_refusals(accepted(kind)) == []


def depthwise_5x5_stride_2(model):
    weight(model, "depthwise", size=(8, 1, 5, 5))
    put(model, "depthwise", kernel_shape=[5, 5], pads=[2] * 4, strides=[2, 2])


def depthwise_unpadded(model):
    put(model, "depthwise", pads=[0] * 4)


def dilated(model):
    put(model, "depthwise", dilations=[2, 2], pads=[2] * 4)


def grouped(model):
    weight(model, "project", size=(8, 4, 1, 1))
    put(model, "project", group=2)


def strided_1x1(model):
    put(model, "project", strides=[2, 2])


def padded_1x1(model):
    put(model, "project", pads=[1] * 4)


def unequal_strides(model):
    put(model, "depthwise", strides=[1, 2])


def same_upper(model):
    put(model, "depthwise", auto_pad="SAME_UPPER")


def per_tensor_weight(model):
    store(model, "project/weight/scale", np.float32(0.01))
    store(model, "project/weight/zero_point", np.int8(0))


def asymmetric_weight(model):
    store(model, "project/weight/zero_point", np.full(8, 3, np.int8))


def unsigned_weight(model):
    codes = stored(model, "project/weight/codes").astype(np.int16) + 128
    store(model, "project/weight/codes", codes.astype(np.uint8))
    store(model, "project/weight/zero_point", np.zeros(8, np.uint8))


def weight_along_inputs(model):
    put(model, "project/weight", axis=1)


def float_weight(model):
    node(model, "project").input[1] = "plain"
    store(model, "plain", np.ones((8, 8, 1, 1), np.float32))


def float_bias(model):
    node(model, "project").input[2] = "plain"
    store(model, "plain", np.ones(8, np.float32))


def edited_scale(model):
    store(model, "project/bias/scale", stored(model, "project/bias/scale") * np.float32(1.1))


def no_divisor(model):
    store(model, "c3/scale", np.float32(1e-9))


def unsigned_features(model):
    store(model, "c3/zero_point", np.uint8(128))


def a_scale_a_channel(model):
    store(model, "c3/scale", np.ones(8, np.float32))
    store(model, "c3/zero_point", np.zeros(8, np.int8))


def float_edge(model):
    node(model, "last").input[0] = "sum/float"


def without_pair(model, name, consumer):
    """Remove a tensor's pair: its consumer reads the float value."""
    reader = node(model, consumer)
    reader.input[list(reader.input).index(name)] = f"{name}/float"
    kept = [other for other in model.graph.node if not {name, f"{name}/codes"} & set(other.output)]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def no_range(model):
    without_pair(model, "c3", "residual")


def another_range(model):
    node(model, "last").input[0] = "other"
    store(model, "other/scale", np.float32(0.123))
    pair = [
        helper.make_node("QuantizeLinear", ["sum/float", "other/scale", "sum/zero_point"], ["other/codes"], "other/Q"),
        helper.make_node("DequantizeLinear", ["other/codes", "other/scale", "sum/zero_point"], ["other"], "other/DQ"),
    ]
    position = [each.name for each in model.graph.node].index("last")
    for offset, inserted in enumerate(pair):
        model.graph.node.insert(position + offset, inserted)


def input_not_at_zero(model):
    store(model, "images/zero_point", np.int8(-20))


def input_not_quantized(model):
    node(model, "stem").input[0] = "images"


def explicit_relu(model):
    quantizer = node(model, "last/relu/QuantizeLinear")
    quantizer.input[0] = "relu"
    position = list(model.graph.node).index(quantizer)
    model.graph.node.insert(position, helper.make_node("Relu", ["c4"], ["relu"], "relu"))


def hard_swish(model):
    quantizer = node(model, "last/relu/QuantizeLinear")
    quantizer.input[0] = "swish"
    position = list(model.graph.node).index(quantizer)
    model.graph.node.insert(position, helper.make_node("HardSwish", ["c4"], ["swish"], "swish"))


def average_pool(model):
    pool = node(model, "pool")
    pool.op_type = "AveragePool"
    put(model, "pool", kernel_shape=[8, 8])


def pooled_without_relu(model):
    store(model, "r4/zero_point", np.int8(-100))


def tied_scales(model):
    for name in ("r1", "c3"):
        store(model, f"{name}/scale", np.float32(0.5))
    store(model, "sum/scale", np.float32(1.0))


def broadcast(model):
    weight(model, "project", size=(1, 8, 1, 1))


def constant(model, name, consumer, position):
    """Let a node read a constant of ones behind a pair of quantizers instead of one of its inputs."""
    qparams = [f"{name}/scale", f"{name}/zero_point"]
    nodes = [
        helper.make_node("QuantizeLinear", [name, *qparams], [f"{name}/codes"], f"{name}/Q"),
        helper.make_node("DequantizeLinear", [f"{name}/codes", *qparams], [f"{name}/real"], f"{name}/DQ"),
    ]
    for tensor, value in zip(
        (name, *qparams), (np.ones((1, 8, 8, 8), np.float32), np.float32(0.01), np.int8(0)), strict=True
    ):
        store(model, tensor, value)
    node(model, consumer).input[position] = f"{name}/real"
    for offset, inserted in enumerate(nodes):
        model.graph.node.insert(offset, inserted)


def constant_summand(model):
    constant(model, "ones", "residual", 1)


def scale_of_one_element(model):
    store(model, "c3/scale", stored(model, "c3/scale").reshape(1))


def zero_point_of_one_element(model):
    store(model, "c3/zero_point", stored(model, "c3/zero_point").reshape(1))


def stem_11x11(model):
    weight(model, "stem", size=(8, 3, 11, 11))
    put(model, "stem", kernel_shape=[11, 11], pads=[5] * 4)


def wide_7x7(model):
    weight(model, "last", size=(16, 32, 7, 7))
    put(model, "last", kernel_shape=[7, 7], pads=[3] * 4)


def three_channels(model):
    weight(model, "last", size=(16, 3, 3, 3))
    put(model, "last", kernel_shape=[3, 3], pads=[1] * 4)


def one_channel_5x5(model):
    weight(model, "last", size=(1, 1, 5, 5))
    put(model, "last", kernel_shape=[5, 5], pads=[2] * 4)


def gemm_scaled(model):
    put(model, "fc", alpha=2.0)


def gemm_not_transposed(model):
    put(model, "fc", transB=0)
    weight(model, "fc", size=(16, 16))


def gemm_without_bias(model):
    del node(model, "fc").input[2:]


def softmax_behind(model):
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax"))
    model.graph.output[0].name = "probabilities"


def mat_mul_at_the_end(model):
    """No Gemm, so the compiler ends at the last convolution, as of a detector."""
    last = node(model, "fc")
    last.op_type = "MatMul"
    del last.attribute[:]
    del last.input[2:]


def two_outputs(model):
    model.graph.output.append(helper.make_tensor_value_info("sum", TensorProto.FLOAT, None))


@pytest.mark.parametrize(
    ("plant", "name", "effect", "words"),
    [
        (depthwise_5x5_stride_2, "depthwise", "load", "5x5"),
        (depthwise_unpadded, "depthwise", "wrong", "pads [0, 0, 0, 0]"),
        (dilated, "depthwise", "wrong", "dilated"),
        (grouped, "project", "wrong", "2 groups"),
        (strided_1x1, "project", "load", "stride 2"),
        (padded_1x1, "project", "wrong", "padding"),
        (unequal_strides, "depthwise", "load", "strides 1 and 2"),
        (same_upper, "depthwise", "wrong", "auto_pad"),
        (per_tensor_weight, "project", "wrong", "1 scale,"),
        (asymmetric_weight, "project", "wrong", "zero point"),
        (unsigned_weight, "project", "wrong", "uint8"),
        (weight_along_inputs, "project", "wrong", "axis 1"),
        (float_weight, "project", "compile", "int8 codes"),
        (float_bias, "project", "compile", "bias is float"),
        (edited_scale, "project", "wrong", "another scale"),
        (no_divisor, "project", "wrong", "no divisor"),
        (unsigned_features, "project", "wrong", "uint8"),
        (a_scale_a_channel, "project", "compile", "scale a channel"),
        (float_edge, "last", "compile", "does not come from a DequantizeLinear"),
        (no_range, "project", "compile", "no QuantizeLinear"),
        (another_range, "last", "wrong", "other codes"),
        (input_not_at_zero, "images", "wrong", "zero point -20"),
        (input_not_quantized, "stem", "compile", "DequantizeLinear"),
        (explicit_relu, "relu", "compile", "folded"),
        (hard_swish, "swish", "compile", "no operator"),
        (average_pool, "pool", "compile", "no operator"),
        (pooled_without_relu, "pool", "wrong", "zero point is -100"),
        (tied_scales, "residual", "compile", "no integer sum"),
        (broadcast, "residual", "wrong", "broadcast"),
        (constant_summand, "residual", "compile", "constant"),
        (scale_of_one_element, "project", "compile", "list of one"),
        (zero_point_of_one_element, "project", "compile", "list of one"),
        (stem_11x11, "stem", "wrong", "61 groups"),
        (wide_7x7, "last", "wrong", "49 groups"),
        (three_channels, "last", "wrong", "flips"),
        (one_channel_5x5, "last", "load", "depthwise 5x5"),
        (gemm_scaled, "fc", "wrong", "alpha=2"),
        (gemm_not_transposed, "fc", "wrong", "transB=0"),
        (gemm_without_bias, "fc", "compile", "no bias"),
        (softmax_behind, "fc", "wrong", "drops it"),
        (two_outputs, "sum", "wrong", "one of 2 outputs"),
        (mat_mul_at_the_end, "fc", "wrong", "it is dropped"),
        (mat_mul_at_the_end, "pool", "wrong", "it is dropped"),
    ],
)
def test_planted_in_a_classifier(plant, name, effect, words, net, refusals_of):
    plant(net)
    refusals = refusals_of(net)
    assert (name, effect) in refusals, refusals
    assert words in refusals[name, effect].reason
    assert refusals[name, effect].cure
    assert refusals[name, effect].source


def linear(model):
    put(model, "up", mode="linear")


def three_times(model):
    store(model, "twice", np.array([1, 1, 3, 3], np.float32))


def half_pixel_ceil(model):
    put(model, "up", coordinate_transformation_mode="asymmetric", nearest_mode="ceil")


def by_size(model):
    node(model, "up").input[2] = ""
    node(model, "up").input.append("sizes")
    store(model, "sizes", np.array([1, 8, 8, 8]))


def ceil_pool(model):
    put(model, "pool", ceil_mode=1, kernel_shape=[3, 3])


def dilated_pool(model):
    put(model, "pool", dilations=[2, 2])


def joined_rows(model):
    put(model, "join", axis=2)


def joined_five(model):
    node(model, "join").input.extend(["s1", "s1", "s1"])


def product(model):
    gate = node(model, "deep/mul")
    gate.input[1] = gate.input[0]


def shuffled_focus(model):
    focus = node(model, "focus")
    focus.input[1], focus.input[2] = focus.input[2], focus.input[1]


def transposed_conv(model):
    node(model, "deep").op_type = "ConvTranspose"


def constant_joined(model):
    constant(model, "ones", "join", 1)


def output_read_too(model):
    node(model, "scores").input[0] = "box"
    weight(model, "scores", size=(2, 4, 1, 1))


def head_without_range(model):
    without_pair(model, "box", "tail")


@pytest.mark.parametrize(
    ("plant", "name", "effect", "words"),
    [
        (linear, "up", "wrong", "mode=linear"),
        (three_times, "up", "wrong", "twice the size"),
        (half_pixel_ceil, "up", "wrong", "does not repeat"),
        (by_size, "up", "wrong", "size, not scales"),
        (ceil_pool, "pool", "wrong", "ceil_mode=1"),
        (dilated_pool, "pool", "wrong", "dilated"),
        (joined_rows, "join", "wrong", "axis 2"),
        (joined_five, "join", "wrong", "5 tensors"),
        (constant_joined, "join", "compile", "constant"),
        (output_read_too, "boxes", "wrong", "scores reads too"),
        (product, "deep/mul", "compile", "Sigmoid"),
        (shuffled_focus, "focus", "wrong", "Focus"),
        (transposed_conv, "deep", "compile", "no operator"),
        (head_without_range, "boxes", "compile", "no QuantizeLinear"),
    ],
)
def test_planted_in_a_detector(plant, name, effect, words, refusals_of):
    model = copy("detector")
    plant(model)
    refusals = refusals_of(model)
    assert (name, effect) in refusals, refusals
    assert words in refusals[name, effect].reason


def test_a_pool_that_would_round_up_but_has_nothing_to_round():
    model = copy("detector")
    put(model, "pool", ceil_mode=1)  # 2x2 on 8 pixels
    assert find_refusals(model) == []


def test_scales_that_tie_in_a_concatenation():
    """By hand: half the scale, zero points 0: each odd code from -127 to 127 lies between two, of the second none."""
    model = copy("detector")
    assert ties(QdqGraph(Graph(model))) == []
    for name, scale in (("up", 0.5), ("s1", 1.0), ("joined", 1.0)):
        store(model, f"{name}/scale", np.float32(scale))
        store(model, f"{name}/zero_point", np.int8(0))
    (note,) = ties(QdqGraph(Graph(model)))
    assert note.startswith("join: scales in simple ratios: 128 of its operands' 512 codes")


def test_a_wide_3x3_is_unproven():
    model = copy("classifier")
    assert unproven(QdqGraph(Graph(model))) == []
    weight(model, "last", size=(16, 288, 3, 3))
    put(model, "last", kernel_shape=[3, 3], pads=[1] * 4)
    (note,) = unproven(QdqGraph(Graph(model)))
    assert note == "last: 3x3 over 288 channels; the widest that was ever run has 256"
    assert ("last", "wrong") not in {(each.node, each.effect.name) for each in find_refusals(model)}


class Reader(CalibrationDataReader):
    def __init__(self, pictures):
        self.left = list(pictures)

    def get_next(self):
        return self.left.pop() if self.left else None


def by_onnx_runtime(model, pictures, folder, **settings):
    """ONNX Runtime's static quantization, as the runtime's README prescribes it but for `settings`."""
    onnx.save(model, folder / "float.onnx")
    recipe = {
        "quant_format": QuantFormat.QDQ,
        "per_channel": True,
        "activation_type": QuantType.QInt8,
        "weight_type": QuantType.QInt8,
        "extra_options": {
            "ActivationSymmetric": False,
            "WeightSymmetric": True,
            "TensorQuantOverrides": {"images": [{"symmetric": True}]},
        },
    }
    quantize_static(folder / "float.onnx", folder / "int8.onnx", Reader(pictures), **recipe | settings)
    return onnx.load(folder / "int8.onnx")


def test_onnx_runtimes_file_by_the_runtimes_recipe_is_accepted(tmp_path):
    assert find_refusals(by_onnx_runtime(*classifier(), tmp_path)) == []


def test_onnx_runtimes_other_files_are_refused(tmp_path):
    unsigned = find_refusals(by_onnx_runtime(*classifier(), tmp_path, activation_type=QuantType.QUInt8))
    assert {each.effect.name for each in unsigned} == {"wrong"}
    assert ("project", "its codes are uint8; the compiler reads every zero point as int8") in {
        (each.node, each.reason) for each in unsigned
    }
    single = find_refusals(by_onnx_runtime(*classifier(), tmp_path, per_channel=False))
    assert {each.node for each in single if "1 scale," in each.reason} == {
        "stem", "depthwise", "project", "last", "fc",
    }  # fmt: skip
    off_zero = find_refusals(by_onnx_runtime(*classifier(low=0.0), tmp_path, extra_options={"WeightSymmetric": True}))
    assert [each.node for each in off_zero] == ["images"]
    form = {"quant_format": QuantFormat.QOperator, "extra_options": {}}
    operators = find_refusals(by_onnx_runtime(*classifier(), tmp_path, **form))
    assert operators
    assert all("QOperator" in each.reason for each in operators)


def test_cures_show_the_recipe_unless_the_network_itself_is_refused(tmp_path):
    model = by_onnx_runtime(*classifier(), tmp_path, activation_type=QuantType.QUInt8)
    recipe = "int8 activations: python -m stages.compose --keep soc=t41 quant=int8 && dvc repro"
    assert any(each.cure.startswith(recipe) for each in find_refusals(model))
    put(model, "depthwise", dilations=[2, 2], pads=[2] * 4)
    refusals = find_refusals(model)
    assert {each.cure for each in refusals if "uint8" in each.reason} == {"int8 activations"}
    assert not any("dvc repro" in each.cure for each in refusals)


def test_dynamic_and_float(tmp_path):
    model, _ = classifier()
    assert [(each.node, each.reason) for each in find_refusals(model)] == [("net", "is a float network")]
    onnx.save(model, tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", weight_type=QuantType.QUInt8)
    refusals = find_refusals(onnx.load(tmp_path / "int8.onnx"))
    assert {each.op_type for each in refusals} >= {"DynamicQuantizeLinear", "ConvInteger"}
    assert all("while it runs" in each.reason for each in refusals)
