"""Every operator through calibration, quantization and lowering: reference, simulator, QDQ and float network agree."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.core.config.schema import FakeQuant
from stages.core.graph.onnx_graph import Graph
from stages.core.graph.session import Runner
from stages.core.integer.model import DOMAIN, tensor_quant_params
from stages.core.integer.reference import run_reference
from stages.core.integer.simulator import simulator_model
from stages.quantize.partition.layers import Layer
from stages.quantize.quantizers.node_bits import NodeBits
from tests.export.graphs import graph_model, node, run_onnx
from tests.networks import Quantized, quantized_network, soc_config, tiny_classifier

PICTURE = [1, 4, 6, 6]
SOCS = ("t40", "multiplier_shift", "shift")


def values(*shape: int, seed: int = 0, deviation: float = 0.3) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(0, deviation, shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """A network of one layer or two, and what its integer model must consist of.

    Attributes:
        nodes: the network's; the last one makes `y`.
        made_of: operators of the integer model in order, `!` behind those of the integer domain.
        constants: name -> value.
        inputs: name -> shape.
        outputs: of the network.
        opset: its version.
    """

    nodes: list[onnx.NodeProto]
    made_of: list[str]
    constants: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, list[int]] = field(default_factory=lambda: {"x": PICTURE})
    outputs: tuple[str, ...] = ("y",)
    opset: int = 17

    @property
    def model(self) -> onnx.ModelProto:
        return graph_model(self.nodes, self.inputs, list(self.outputs), self.constants, self.opset)

    def feeds(self, seed: int) -> dict[str, np.ndarray]:
        """A picture: normal values, different ones for every input and seed."""
        return {
            name: values(*shape, seed=100 * index + seed, deviation=1)
            for index, (name, shape) in enumerate(self.inputs.items())
        }


def one(kind: str, *more: str, made_of: str = "", inputs: dict[str, list[int]] | None = None, **rest: Any) -> Case:
    """A single operator with the inputs x and `more`, lowered to one node of the integer domain of the same name."""
    constants, opset = rest.pop("constants", {}), rest.pop("opset", 17)
    operands = [*(inputs or {"x": PICTURE}), *more]
    nodes = [node(kind, operands, ["y"], "op", **rest)]
    return Case(nodes, [made_of or f"{kind}!"], constants, inputs or {"x": PICTURE}, opset=opset)


def weighted(kind: str, *shape: int, bias: int = 0, made_of: str = "", inputs: Any = None, **rest: Any) -> Case:
    """A weighted operator with a weight of this shape, and a bias of so many values."""
    constants = {"w": values(*shape)} | ({"b": values(bias, seed=1)} if bias else {})
    return one(kind, *constants, constants=constants, made_of=made_of, inputs=inputs, **rest)


ROW, ROWS = {"x": [1, 6]}, {"x": [1, 5, 6]}
TWO = {"a": PICTURE, "b": PICTURE}
CHANNELS = values(4, 1, 1, seed=3, deviation=1)

CASES = {
    "conv": weighted("Conv", 5, 4, 3, 3, bias=5, pads=[1, 0, 2, 1], strides=[2, 1]),
    "conv_dilated": weighted("Conv", 5, 4, 2, 2, dilations=[2, 3]),
    "conv_1d": weighted("Conv", 5, 4, 3, bias=5, inputs={"x": [1, 4, 9]}, pads=[1, 1], strides=[2]),
    "conv_depthwise": weighted("Conv", 4, 1, 3, 3, bias=4, group=4),
    "conv_grouped": weighted("Conv", 6, 2, 3, 3, bias=6, group=2),
    "conv_same_upper": weighted("Conv", 5, 4, 3, 2, auto_pad="SAME_UPPER", strides=[2, 2]),
    "conv_same_lower": weighted("Conv", 5, 4, 4, 3, auto_pad="SAME_LOWER", strides=[1, 2]),
    "conv_valid": weighted("Conv", 5, 4, 3, 3, auto_pad="VALID", strides=[2, 2]),
    "conv_transpose": weighted("ConvTranspose", 4, 5, 3, 3, bias=5, strides=[2, 2], pads=[1, 0, 0, 1]),
    "conv_transpose_extra": weighted("ConvTranspose", 4, 5, 2, 2, strides=[2, 2], output_padding=[1, 0]),
    "conv_transpose_grouped": weighted("ConvTranspose", 4, 3, 2, 2, bias=6, group=2, dilations=[2, 1]),
    "gemm": weighted("Gemm", 6, 3, bias=3, inputs=ROW, made_of="MatMul!"),
    "gemm_turned": weighted("Gemm", 3, 6, bias=3, inputs=ROW, made_of="MatMul!", transB=1),
    "gemm_without_bias": weighted("Gemm", 6, 3, inputs=ROW, made_of="MatMul!"),
    "gemm_of_one_bias": weighted("Gemm", 6, 3, bias=1, inputs=ROW, made_of="MatMul!"),
    "mat_mul": weighted("MatMul", 6, 3, inputs=ROWS),
    "mat_mul_of_features": one("MatMul", made_of="MatMulFeatures!", inputs={"a": [1, 2, 5, 6], "b": [1, 2, 6, 3]}),
    "add": one("Add", inputs=TWO),
    "add_itself": Case([node("Add", ["x", "x"], ["y"], "op")], ["Add!"]),
    "add_broadcast": one("Add", inputs={"a": PICTURE, "b": [1, 4, 1, 1]}),
    "add_channels": one("Add", "k", constants={"k": CHANNELS}),
    "add_scalar": one("Add", "k", constants={"k": np.float32(-1.5)}),
    "sub": one("Sub", made_of="Add!", inputs=TWO),
    "sub_from_constant": Case([node("Sub", ["k", "x"], ["y"], "op")], ["Add!"], {"k": np.float32(1)}),
    "mul": one("Mul", inputs=TWO),
    "mul_itself": Case([node("Mul", ["x", "x"], ["y"], "op")], ["Mul!"]),
    "mul_channels": one("Mul", "k", constants={"k": CHANNELS}),
    "mul_scalar": one("Mul", "k", constants={"k": np.float32(-0.3)}),
    "concat": one("Concat", inputs={"a": PICTURE, "b": [1, 2, 6, 6]}, axis=1),
    "concat_negative_axis": one("Concat", "k", constants={"k": values(1, 4, 6, 1)}, axis=-1),
    "max": one("Max", inputs=TWO),
    "max_of_three": one("Max", "k", inputs=TWO, constants={"k": np.float32(0.5)}),
    "min": one("Min", "k", constants={"k": CHANNELS}),
    "max_pool": one("MaxPool", made_of="MaxPool", kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 2]),
    "max_pool_rounded_up": one("MaxPool", made_of="MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "average_pool": one("AveragePool", kernel_shape=[2, 3], strides=[2, 1]),
    "average_pool_padded": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 0, 1], strides=[2, 2]),
    "average_pool_counting": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "average_pool_same": one("AveragePool", kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 1]),
    "average_pool_dilated": one("AveragePool", kernel_shape=[2, 2], dilations=[2, 1], pads=[1, 0, 1, 1], opset=19),
    "average_pool_1d": one("AveragePool", inputs={"x": [1, 4, 9]}, kernel_shape=[3], pads=[1, 0]),
    "global_average_pool": one("GlobalAveragePool", made_of="Mean!"),
    "global_max_pool": one("GlobalMaxPool", made_of="GlobalMaxPool"),
    "mean": one("ReduceMean", made_of="Mean!", axes=[2, 3], keepdims=1),
    "mean_of_a_negative_axis": one("ReduceMean", made_of="Mean!", axes=[-1], keepdims=0),
    "mean_of_all": Case(
        [node("Reshape", ["x", "s"], ["t"], "flat"), node("ReduceMean", ["t"], ["y"], "op", keepdims=0)],
        ["Reshape", "Mean!"], {"s": np.array([1, -1])},
    ),
    "mean_of_axes_as_input": one("ReduceMean", "a", made_of="Mean!", constants={"a": np.array([1, 2])}, opset=18),
    "resize_nearest": one(
        "Resize", "", "s", made_of="Resize", constants={"s": np.float32([1, 1, 2, 1.5])}, mode="nearest"
    ),
    "resize_linear": one("Resize", "", "s", constants={"s": np.float32([1, 1, 2, 1.5])}, mode="linear"),
    "resize_linear_down": one("Resize", "", "", "s", constants={"s": np.array([1, 4, 4, 5])}, mode="linear"),
    "resize_linear_corners": one(
        "Resize", "", "", "s", constants={"s": np.array([1, 4, 11, 7])}, mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "pad_reflected": one(
        "Pad", "p", made_of="Pad", constants={"p": np.array([0, 0, 1, 2, 0, 0, 0, 1])}, mode="reflect"
    ),
    "transpose": one("Transpose", made_of="Transpose", perm=[0, 2, 3, 1]),
    "reshape": one("Reshape", "s", made_of="Reshape", constants={"s": np.array([0, -1, 9])}),
    "flatten": one("Flatten", made_of="Flatten"),
    "squeeze": one("Squeeze", "a", made_of="Squeeze", constants={"a": np.array([0])}),
    "unsqueeze": one("Unsqueeze", "a", made_of="Unsqueeze", constants={"a": np.array([2])}),
    "slice": one(
        "Slice", "i", "j", "axes", "steps", made_of="Slice",
        constants={"i": np.array([5, 1]), "j": np.array([0, 6]), "axes": np.array([2, 3]), "steps": np.array([-2, 1])},
    ),
    "split": Case(
        [node("Split", ["x", "s"], ["a", "b"], "op"), node("Concat", ["b", "a"], ["y"], "joined", axis=0)],
        ["Split", "Concat!"], {"s": np.array([3, 1])}, {"x": [4, 6]},
    ),
    "relu": one("Relu", made_of="Table!"),
    "clip": one("Clip", "low", "high", made_of="Table!", constants={"low": np.float32(-0.5), "high": np.float32(1)}),
    "clip_above": one("Clip", "", "high", made_of="Table!", constants={"high": np.float32(0.7)}),
    "prelu": one("PRelu", "k", constants={"k": np.float32([0.1, -0.5, 2, 0]).reshape(4, 1, 1)}),
    "leaky_relu": one("LeakyRelu", made_of="Table!", alpha=0.2),
    "sigmoid": one("Sigmoid", made_of="Table!"),
    "tanh": one("Tanh", made_of="Table!"),
    "hard_sigmoid": one("HardSigmoid", made_of="Table!", alpha=0.3, beta=0.4),
    "hard_swish": one("HardSwish", made_of="Table!"),
    "hard_swish_of_two": Case(
        [node("HardSigmoid", ["x"], ["g"], "gate", alpha=0.3), node("Mul", ["g", "x"], ["y"], "op")], ["Table!"]
    ),
    "silu": Case([node("Sigmoid", ["x"], ["g"], "gate"), node("Mul", ["x", "g"], ["y"], "op")], ["Table!"]),
    "conv_relu": Case(
        [node("Conv", ["x", "w", "b"], ["c"], "conv"), node("Relu", ["c"], ["y"], "op")],
        ["Conv!"], {"w": values(5, 4, 3, 3), "b": values(5)},
    ),
    "conv_relu6": Case(
        [node("Conv", ["x", "w"], ["c"], "conv"), node("Clip", ["c", "low", "high"], ["y"], "op")],
        ["Conv!"], {"w": values(5, 4, 3, 3), "low": np.float32(-0.25), "high": np.float32(0.75)},
    ),
    "add_relu": Case(
        [node("Add", ["a", "b"], ["s"], "sum"), node("Relu", ["s"], ["y"], "op")], ["Add!"], inputs=TWO
    ),
    "two_convolutions": Case(
        [node("Conv", ["x", "w"], ["c"], "first", pads=[1, 1, 1, 1]), node("Conv", ["c", "v"], ["y"], "second")],
        ["Conv!", "Conv!"], {"w": values(8, 4, 3, 3), "v": values(3, 8, 1, 1)},
    ),
    "softmax": Case(
        [node("Conv", ["x", "w"], ["c"], "conv"), node("Softmax", ["c"], ["y"], "op", axis=1)],
        ["Conv!", "Dequantize!", "Softmax"], {"w": values(5, 4, 3, 3)},
    ),
    "unknown": Case(
        [node("Erf", ["x"], ["e"], "op"), node("Relu", ["e"], ["y"], "active")], ["Erf", "Quantize!", "Table!"]
    ),
    "float_between": Case(
        [node("Relu", ["x"], ["r"], "one"), node("Erf", ["r"], ["e"], "op"), node("Relu", ["e"], ["y"], "two")],
        ["Table!", "Dequantize!", "Erf", "Quantize!", "Table!"],
    ),
}  # fmt: skip


@cache
def quantized_case(name: str, soc: str, floats: bool = False, bits: int = 8, weight_bits: int = 8) -> Quantized:
    """A case taken through the chain; `floats`: weighted operators at the end return float, if the SOC does."""
    case, chip = CASES[name], soc_config(soc)
    chip = chip if floats else replace(chip, float_outputs=False)
    pictures = [case.feeds(seed) for seed in range(1, 4)]
    return quantized_network(case.model, pictures, chip, feature_bits=bits, weight_bits=weight_bits)


def simulated(network: Quantized, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the integer model as the simulator computes it: codes, or float values."""
    tensors = [name for each in network.integer.graph.node for name in each.output]
    return Runner(simulator_model(network.integer, tensors, codes=True), optimize="safe").run(feeds)


def assert_reference_equal(network: Quantized, feeds: dict[str, np.ndarray]) -> None:
    """Reference and simulator give the same bytes for every tensor."""
    expected = run_reference(network.integer, feeds)
    for tensor, array in simulated(network, feeds).items():
        assert (array.dtype, array.shape) == (expected[tensor].dtype, expected[tensor].shape), tensor
        np.testing.assert_array_equal(array, expected[tensor], err_msg=tensor)


def layer_in_float(network: Quantized, layer: Layer, dequantized: dict[str, np.ndarray], target: str) -> np.ndarray:
    """Run one layer of the QDQ network on given values of its features, in plain ONNX Runtime.

    Args:
        network: the quantized network.
        layer: the layer.
        dequantized: tensor of the QDQ network -> value.
        target: tensor of the QDQ network to return.
    """
    producers = {name: each for each in network.qdq.graph.node for name in each.output}
    needed, pending = {}, [target]
    while pending:
        name = pending.pop()
        if name in producers and name not in dequantized and producers[name].name not in needed:
            needed[producers[name].name] = producers[name]
            pending.extend(producers[name].input)
    assert set(layer.names) <= set(needed)
    nodes = [each for each in network.qdq.graph.node if each.name in needed]
    consumed = {name for each in nodes for name in each.input}
    graph = onnx.helper.make_graph(
        nodes,
        "layer",
        [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape)
            for name, array in dequantized.items()
            if name in consumed
        ],
        [onnx.ValueInfoProto(name=target)],
        [tensor for tensor in network.qdq.graph.initializer if tensor.name in consumed],
    )
    model = onnx.helper.make_model(graph, opset_imports=network.qdq.opset_import, ir_version=network.qdq.ir_version)
    feeds = {name: array for name, array in dequantized.items() if name in consumed}
    return Runner(model, optimize="none").run(feeds)[target]


def code_differences(network: Quantized, feeds: dict[str, np.ndarray]) -> dict[str, int]:
    """How far each integer layer is from the float layer on the same input, in codes of its output."""
    codes, quant_params = simulated(network, feeds), tensor_quant_params(network.integer.graph.node)
    given = {*feeds, *(tensor.name for tensor in network.model.graph.initializer)}
    dequantized = {}
    for feature in network.params.features:
        name = f"{feature.tensor}/codes" if feature.tensor in given else feature.tensor
        scale = np.float32(feature.scale)
        if feature.channel_scales:
            scale = np.float32(feature.channel_scales).reshape(1, -1, *[1] * (codes[name].ndim - 2))
        real = (codes[name].astype(np.float32) - np.float32(quant_params[name].zero_point)) * scale
        dequantized[f"{feature.tensor}/dequantized" if feature.tensor in given else feature.tensor] = np.asarray(real)
    differences = {}
    for layer in network.setup.layers:
        if layer.output in quant_params and network.domain_node(layer.output).op_type != "Quantize":
            others = {name: value for name, value in dequantized.items() if name not in layer.nodes[-1].output}
            expected = layer_in_float(network, layer, others, f"{layer.output}/codes")
            distance = np.abs(expected.astype(np.int64) - codes[layer.output].astype(np.int64))
            differences[layer.name] = int(distance.max())
    return differences


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def output_cosine(network: Quantized, feeds: dict[str, np.ndarray]) -> float:
    """The least cosine of the simulator's outputs with the float network's."""
    names = [info.name for info in network.model.graph.output]
    actual = Runner(simulator_model(network.integer, names), optimize="safe").run(feeds)
    expected = run_onnx(network.model, feeds)
    assert [actual[name].shape for name in names] == [value.shape for value in expected]
    return min(cosine(actual[name], value) for name, value in zip(names, expected, strict=True))


def kinds(network: Quantized) -> list[str]:
    """Operators of the integer model in order, as in `Case`; those that code inputs and constants are left out."""
    given = {f"{name}/codes" for name in (*Graph(network.model).inputs, *Graph(network.model).constants)}
    return [
        each.op_type + ("!" if each.domain == DOMAIN else "")
        for each in network.integer.graph.node
        if each.output[0] not in given
    ]


@pytest.mark.parametrize("soc", SOCS)
@pytest.mark.parametrize("name", CASES)
class TestOperators:
    def test_it_is_lowered_to_the_operators_of_the_list(self, name, soc):
        assert kinds(quantized_case(name, soc)) == CASES[name].made_of

    def test_reference_and_simulator_give_the_same_bytes(self, name, soc):
        assert_reference_equal(quantized_case(name, soc), CASES[name].feeds(1))

    def test_each_layer_is_within_a_code_of_the_float_layer(self, name, soc):
        differences = code_differences(quantized_case(name, soc), CASES[name].feeds(1))
        assert differences
        assert max(differences.values()) <= 1, differences

    def test_the_result_is_near_the_float_networks(self, name, soc):
        assert output_cosine(quantized_case(name, soc), CASES[name].feeds(1)) > 0.99


# --- other widths, SOCs and operator sets


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "weight_bits", "codes"), [(4, 4, 1), (12, 8, 1), (16, 16, 6)])
@pytest.mark.parametrize("name", CASES)
def test_other_widths_agree_too(name, bits, weight_bits, codes):
    """A fixed-point factor has 14 bits, which at 16 bits is a few codes; an interpolation's weights have 7."""
    network = quantized_case(name, "t40", bits=bits, weight_bits=weight_bits)
    feeds = CASES[name].feeds(1)
    assert_reference_equal(network, feeds)
    differences = code_differences(network, feeds)
    limit = max(codes, 2**bits // 256) if name.startswith("resize_linear") else codes
    assert max(differences.values()) <= limit, differences


def images(seed: int) -> dict[str, np.ndarray]:
    return {"images": values(1, 3, 16, 16, seed=seed, deviation=1)}


def tiny(soc: str = "t40", model: onnx.ModelProto | None = None, by_node: Any = None, **quant: Any) -> Quantized:
    pictures = [images(seed) for seed in range(4)]
    return quantized_network(model or tiny_classifier(), pictures, soc_config(soc), by_node, **quant)


@pytest.mark.parametrize(
    "soc", ["a1", "bm1684", "bm1684x", "bm1688", "cv181x", "cv183x", "cv186x", "t40", "t41", "x2500"]
)
def test_every_soc(soc):
    small = tiny(soc)
    assert_reference_equal(small, images(0))
    differences = code_differences(small, images(0))
    assert set(differences) >= {"stem_relu", "depthwise_relu6", "project", "residual", "pool"}
    assert max(differences.values()) <= 1
    assert output_cosine(small, images(0)) > 0.99


def test_all_features_of_a_soc_are_signed():
    """Behind a Relu too: its largest value has code 127 of -128 .. 127."""
    features = {each.tensor: each for each in tiny("cv181x").params.features}
    assert {each.zero_point for each in features.values()} == {128}
    relu = features[next(name for name, each in features.items() if each.seen_low == 0.0)]
    assert relu.scale == pytest.approx(relu.seen_high / 127)


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("bits", [(8, 8), (12, 4)])
def test_older_and_newer_operator_sets(opset, bits):
    model = tiny_classifier()
    model.opset_import[0].version = opset  # its operators are the same in all of these
    model.ir_version = 10
    small = tiny(model=model, feature_bits=bits[0], weight_bits=bits[1])
    assert {(opset.domain, opset.version) for opset in small.integer.opset_import} == {("", opset), (DOMAIN, 1)}
    assert_reference_equal(small, images(0))
    assert output_cosine(small, images(0)) > (0.99 if bits == (8, 8) else 0.9)


@pytest.mark.parametrize(
    ("kind", "attributes", "constants"),
    [
        ("ReduceMean", {"axes": [2, 3]}, {}),
        ("Squeeze", {}, {"a": np.array([0])}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]}, {}),
        ("Split", {"axis": 1}, {}),
        ("Clip", {}, {"low": np.float32(-0.5), "high": np.float32(0.5)}),
        ("Resize", {"mode": "linear"}, {"": None, " ": None, "s": np.array([1, 4, 9, 9])}),
    ],
)
def test_operators_of_opset_13(kind, attributes, constants):
    given = {name: value for name, value in constants.items() if name.strip()}
    nodes = [node(kind, ["x", *(name.strip() for name in constants)], ["y"], "op", **attributes)]
    if kind == "Split":
        nodes = [node(kind, ["x"], ["y", "z"], "op", **attributes)]
    model = graph_model(nodes, {"x": PICTURE}, ["y"], given, opset=13)
    network = quantized_network(model, [{"x": values(*PICTURE)}], soc_config("multiplier_shift"))
    assert_reference_equal(network, {"x": values(*PICTURE)})
    assert output_cosine(network, {"x": values(*PICTURE)}) > 0.99


# --- what stays in float


@pytest.mark.parametrize("name", ["conv", "conv_depthwise", "conv_transpose", "gemm", "mat_mul"])
def test_a_weighted_operator_that_ends_a_t40_network_returns_floats(name):
    result, feeds = quantized_case(name, "t40", floats=True), CASES[name].feeds(1)
    lowered = result.domain_node("y")
    assert onnx.helper.get_attribute_value(next(a for a in lowered.attribute if a.name == "rule")) == b"float"
    assert "y" not in result.bits
    assert [info.type.tensor_type.elem_type for info in result.integer.graph.output] == [onnx.TensorProto.FLOAT]
    assert_reference_equal(result, feeds)
    actual = simulated(result, feeds)["y"]
    (layer,) = result.setup.layers
    inputs = dequantized_inputs(result, feeds)
    np.testing.assert_allclose(actual, layer_in_float(result, layer, inputs, "y"), rtol=1e-4, atol=1e-5)
    assert output_cosine(result, feeds) > 0.99


def dequantized_inputs(network: Quantized, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs as the quantized network sees them, dequantized."""
    inputs = {}
    for feature in network.params.features:
        if feature.tensor in feeds:
            codes = np.rint(feeds[feature.tensor] / np.float32(feature.scale)) + feature.zero_point
            codes = np.clip(codes, 0, 2**feature.bits - 1)
            inputs[f"{feature.tensor}/dequantized"] = ((codes - feature.zero_point) * np.float32(feature.scale)).astype(
                "f4"
            )
    return inputs


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.feature}, {"weight_bits": 32}], ids=["fake", "32"])
def test_with_features_alone_weighted_layers_run_in_float_on_dequantized_codes(quant):
    small = tiny("bm1684x", **quant)
    assert small.params.weights == []
    plain = [each.op_type for each in small.integer.graph.node if not each.domain]
    assert plain == ["Conv", "Relu", "Conv", "Clip", "Conv", "Flatten", "Gemm"]
    assert len(small.bits) == 8
    expected = run_reference(small.integer, images(0))
    for tensor, array in simulated(small, images(0)).items():
        step = 1 if tensor in small.bits else 1e-5  # float convolutions may add in another order
        np.testing.assert_allclose(array.astype("f4"), expected[tensor].astype("f4"), rtol=0, atol=step)
    assert max(code_differences(small, images(0)).values()) <= 1
    assert output_cosine(small, images(0)) > 0.99


@pytest.mark.parametrize("quant", [{"fake_quant": FakeQuant.weight}, {"feature_bits": 32}], ids=["fake", "32"])
def test_with_weights_alone_the_network_is_the_float_one_with_rounded_weights(quant):
    small = tiny(**quant)
    assert small.params.features == []
    assert {each.domain for each in small.integer.graph.node} == {""}
    (actual,) = run_onnx(small.integer, images(0))
    expected = Runner(small.qdq, optimize="none").run(images(0))["logits"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
    (exact,) = run_onnx(small.model, images(0))
    assert not np.array_equal(actual, exact)
    assert cosine(actual, exact) > 0.999


def test_nothing_to_quantize_leaves_the_network_as_it_is():
    small = tiny(feature_bits=32, weight_bits=32)
    assert small.integer.graph.node == small.model.graph.node
    assert list(small.integer.graph.initializer) == list(small.model.graph.initializer)


def test_a_tensor_kept_in_float_is_dequantized_before_and_quantized_after():
    small = tiny(by_node={"project": NodeBits(feature_bits=32)})
    assert "c3" not in small.bits
    lowered = [(each.op_type, each.output[0]) for each in small.integer.graph.node]
    assert lowered[4:8] == [
        ("Conv", "r2"), ("Conv", "c3"), ("Add", "sum/float"), ("Quantize", "sum"),
    ]  # fmt: skip
    assert_reference_equal(small, images(0))
    assert output_cosine(small, images(0)) > 0.99


def test_several_integer_layers_share_one_dequantized_tensor():
    nodes = [node("Erf", ["r"], ["a"], "one"), node("Erf", ["r"], ["b"], "two")]
    model = graph_model([node("Relu", ["x"], ["r"], "relu"), *nodes], {"x": PICTURE}, ["a", "b"])
    network = quantized_network(model, [{"x": values(*PICTURE)}], soc_config("t40"))
    assert kinds(network) == ["Table!", "Dequantize!", "Erf", "Erf"]
    assert network.notes == [f"{name} (Erf) runs in float: the T40 has no integer Erf" for name in ("one", "two")]


# --- outputs and names


def test_outputs_of_codes_and_of_floats_side_by_side():
    model = tiny_classifier()
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("r1", "pooled"))
    small = tiny(model=onnx.shape_inference.infer_shapes(model))
    assert [info.name for info in small.integer.graph.output] == ["logits", "r1", "pooled"]
    kinds_of = [info.type.tensor_type.elem_type for info in small.integer.graph.output]
    assert kinds_of == [onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.UINT8]
    assert output_cosine(small, images(0)) > 0.99


@pytest.mark.parametrize(("bits", "kind"), [(4, "uint8"), (8, "uint8"), (10, "uint16"), (16, "uint16")])
def test_codes_have_the_type_and_clamp_of_their_width(bits, kind):
    network = quantized_case("two_convolutions", "t40", bits=bits)
    codes = simulated(network, {"x": 1e3 * values(*PICTURE)})
    assert codes["x/codes"].dtype == kind
    assert (codes["x/codes"].min(), codes["x/codes"].max()) == (0, 2**bits - 1)


def integers(entry: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in entry.attribute}


def test_a_fused_clamp_becomes_codes():
    """Codes of 0.04 and zero point 100: -0.25 is code 94 (of 93.75), 0.75 is 119 (of 118.75)."""
    case = CASES["conv_relu6"]
    ranges = {"op": NodeBits(range=(-4.0, 6.2))}
    network = quantized_network(case.model, [case.feeds(1)], replace(soc_config("t40"), float_outputs=False), ranges)
    lowered = integers(network.domain_node("y"))
    assert (lowered["scale"], lowered["zero_point"]) == (np.float32(0.04), 100)
    assert (lowered["low"], lowered["high"]) == (94, 119)
    assert lowered["inner"] == [b"c"]
    codes = simulated(network, case.feeds(1))["y"]
    assert (codes.min(), codes.max()) == (94, 119)


def test_parameters_of_a_convolution_golden():
    """Features and result from -1 to 1.55: scale 0.01, zero point 100; weights of scale 2**-6 / 127, more or less.

    The effective scale of the first channel is 1/64 * 1 / 127 = 1/8128, so 4 / mult is its nearest, mult = 32512; that
    of the second channel is 10 times as large, mult = 3251 or 3252.
    """
    weight = np.float32([[[[1 / 64]]], [[[10 / 64]]]])
    model = graph_model(
        [node("Conv", ["x", "w", "b"], ["y"], "conv")], {"x": [1, 1, 2, 2]}, ["y"], {"w": weight, "b": [0.005, 0.1]}
    )
    chip = replace(soc_config("t40"), float_outputs=False)
    ranges = {"x": NodeBits(range=(-1.0, 1.55)), "conv": NodeBits(range=(-1.0, 1.55))}
    network = quantized_network(model, [{"x": values(1, 1, 2, 2)}], chip, ranges)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in network.integer.graph.initializer}
    mult, bias = constants["conv/mult"], constants["conv/bias"]
    assert abs(mult[0] - 32512) <= 1
    assert mult[1] in (3251, 3252)
    # round(mult * (100 - 128 + bias / 0.01) + mult / 2), in double from the float32 scale
    expected = mult * (100 - 128 + np.float32([0.005, 0.1]) / np.float64(np.float32(0.01))) + mult / 2
    np.testing.assert_allclose(bias, expected, atol=1)
    np.testing.assert_array_equal(np.abs(constants["conv/weight"].ravel() - 127) <= 1, True)


def test_the_same_network_gives_the_same_bytes_and_stays_as_it_was():
    model = tiny_classifier()
    before = model.SerializeToString(deterministic=True)
    one, other = (tiny(model=model).integer.SerializeToString(deterministic=True) for _ in range(2))
    assert one == other
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("channels", "low", "wide"), [(1032, 0.0, False), (1034, 0.0, True), (2062, -1.0, False), (2066, -1.0, True)]
)
def test_sums_that_may_exceed_32_bits_have_a_note(channels, low, wide):
    """12-bit features and 8-bit weights of the largest code: 4 * 4095 * 127 * 1033 is just above 2**31.

    A zero point in the middle, 2048 (of 2047.5), halves the reach: 4 * 2048 * 127 * 2064.1 is 2**31.
    """
    constants = {"w": np.ones((1, channels, 1, 1))}
    model = graph_model([node("Conv", ["x", "w"], ["y"], "conv")], {"x": [1, channels, 1, 1]}, ["y"], constants)
    pictures, ranges = [{"x": values(1, channels, 1, 1)}], {"x": NodeBits(range=(low, 1.0))}
    network = quantized_network(model, pictures, soc_config("t40"), ranges, feature_bits=12)
    said = "conv (Conv): its sums may exceed a 32-bit accumulator (31 bits at worst): use fewer feature or weight bits"
    assert network.notes == ([f"{said} there"] if wide else [])
