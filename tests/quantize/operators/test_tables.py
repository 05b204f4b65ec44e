import math

import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.core.integer.quant_params import QuantParams
from stages.quantize.operators.tables import FUNCTIONS, inner_values, table
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import clamp_bounds
from tests.export.graphs import graph_model, node

CONSTANTS = {"low": np.float32(-0.5), "high": np.float32(1.25)}


def graph_of(*nodes):
    return Graph(onnx.shape_inference.infer_shapes(graph_model(list(nodes), {"x": [1, 4]}, ["y"], CONSTANTS)))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def clamped(x, low, high):
    return max(low, min(high, x))


ONE = {
    "Clip": (node("Clip", ["x", "low", "high"], ["y"], "n"), lambda x: clamped(x, -0.5, 1.25)),
    "HardSigmoid": (node("HardSigmoid", ["x"], ["y"], "n"), lambda x: clamped(0.2 * x + 0.5, 0, 1)),
    "HardSwish": (node("HardSwish", ["x"], ["y"], "n"), lambda x: x * clamped(x + 3, 0, 6) / 6),
    "LeakyRelu": (node("LeakyRelu", ["x"], ["y"], "n"), lambda x: x if x > 0 else 0.01 * x),
    "Relu": (node("Relu", ["x"], ["y"], "n"), lambda x: max(x, 0.0)),
    "Sigmoid": (node("Sigmoid", ["x"], ["y"], "n"), sigmoid),
    "Tanh": (node("Tanh", ["x"], ["y"], "n"), math.tanh),
}
GATES = {
    "Silu": (node("Sigmoid", ["x"], ["g"], "gate"), sigmoid),
    "HardSwish": (
        node("HardSigmoid", ["x"], ["g"], "gate", alpha=1 / 6),
        lambda x: clamped(x / 6 + 0.5, 0, 1),
    ),
}
WIDTHS = [
    (8, 0.05, 128, 8, 0.037, 100), (8, 0.05, 0, 4, 1.0, 0), (10, 0.02, 600, 12, 0.011, 2000), (4, 0.8, 7, 8, 0.093, 30),
]  # fmt: skip


def expected(function, x_params, y_params):
    """Rounded and clamped in plain Python; None where the exact value is too close to a half to tell."""
    actual = []
    for code in range(2**x_params.bits):
        exact = function((code - x_params.zero_point) * x_params.scale) / y_params.scale
        low, high = math.floor(exact - 1e-6 + 0.5), math.floor(exact + 1e-6 + 0.5)
        actual.append(clamped(low + y_params.zero_point, 0, 2**y_params.bits - 1) if low == high else None)
    return actual


def assert_equal(actual, wanted):
    assert len(actual) == len(wanted)
    pairs = [(int(code), want) for code, want in zip(actual, wanted, strict=True) if want is not None]
    assert len(pairs) > 0.6 * len(actual)
    assert [code for code, _ in pairs] == [want for _, want in pairs]


@pytest.mark.parametrize("bit_widths", WIDTHS, ids=lambda w: f"{w[0]}-{w[3]}")
@pytest.mark.parametrize("kind", ONE)
def test_a_table_is_the_function_rounded_to_codes(kind, bit_widths):
    entry, function = ONE[kind]
    x_params, y_params = QuantParams(*bit_widths[:3]), QuantParams(*bit_widths[3:])
    actual = table(graph_of(entry), Layer(kind, (entry,)), x_params, y_params)
    assert actual.dtype == np.int32
    assert_equal(actual, expected(function, x_params, y_params))


@pytest.mark.parametrize("bit_widths", WIDTHS, ids=lambda w: f"{w[0]}-{w[3]}")
@pytest.mark.parametrize("kind", GATES)
def test_a_gated_function_written_as_two_nodes(kind, bit_widths):
    gate, function = GATES[kind]
    product = node("Mul", ["g", "x"], ["y"], "n")
    x_params, y_params = QuantParams(*bit_widths[:3]), QuantParams(*bit_widths[3:])
    layer, graph = Layer(kind, (gate, product)), graph_of(gate, product)
    assert_equal(table(graph, layer, x_params, y_params), expected(lambda x: x * function(x), x_params, y_params))
    inner = [function((code - x_params.zero_point) * x_params.scale) for code in range(2**x_params.bits)]
    np.testing.assert_allclose(inner_values(graph, layer, x_params), inner, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "attributes", "codes"),
    [
        ("LeakyRelu", {"alpha": 0.5}, [5, 6, 7, 9]),  # -4, -2, 0, 2 at half the slope, around 7
        ("HardSigmoid", {"alpha": 0.25, "beta": 0.5}, [7, 7, 7, 8]),  # 0 (of -0.5), 0, 0.5 to even, 1
    ],
)
def test_attributes_count(kind, attributes, codes):
    entry = node(kind, ["x"], ["y"], "n", **attributes)
    actual = table(graph_of(entry), Layer(kind, (entry,)), QuantParams(2, 2.0, 2), QuantParams(4, 1.0, 7))
    assert actual.tolist() == codes


def test_codes_beyond_the_width_are_clamped():
    entry = node("Relu", ["x"], ["y"], "n")
    actual = table(graph_of(entry), Layer("Relu", (entry,)), QuantParams(3, 1.0, 2), QuantParams(2, 1.0, 1))
    assert actual.tolist() == [1, 1, 1, 2, 3, 3, 3, 3]


def test_a_sigmoid_far_from_zero_does_not_overflow():
    entry = node("Sigmoid", ["x"], ["y"], "n")
    with np.errstate(all="raise"):
        actual = table(graph_of(entry), Layer("Sigmoid", (entry,)), QuantParams(2, 1e5, 1), QuantParams(8, 1 / 255, 0))
    assert actual.tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("entry", "bounds"),
    [
        (node("Relu", ["x"], ["y"]), (0.0, math.inf)),
        (node("Clip", ["x", "low", "high"], ["y"]), (-0.5, 1.25)),
        (node("Clip", ["x", "low"], ["y"]), (-0.5, math.inf)),
        (node("Clip", ["x", "", "high"], ["y"]), (-math.inf, 1.25)),
        (node("Clip", ["x"], ["y"]), (-math.inf, math.inf)),
    ],
)
def test_bounds_of_a_clamp(entry, bounds):
    assert clamp_bounds(graph_of(entry), entry) == bounds


def test_every_kind_of_table_is_tested_here():
    assert ONE.keys() | GATES.keys() == FUNCTIONS.keys()


def test_a_channel_of_its_own_scale_has_its_own_table():
    """Relu: codes 3, 4, 5 are 0, 1, 2 steps; of 0.5 into 0.25, 0.5 into 1 (halves to even)."""
    entry = node("Relu", ["x"], ["y"], "n")
    y_params = QuantParams(8, 1.0, 10, (0.25, 1.0))
    actual = table(graph_of(entry), Layer("Relu", (entry,)), QuantParams(3, 0.5, 3), y_params)
    assert actual.tolist() == [[10, 10, 10, 10, 12, 14, 16, 18], [10, 10, 10, 10, 10, 11, 12, 12]]
    x_params = QuantParams(2, 1.0, 1, (0.5, 1.0))
    actual = table(graph_of(entry), Layer("Relu", (entry,)), x_params, QuantParams(8, 0.25, 10))
    assert actual.tolist() == [[10, 10, 12, 14], [10, 10, 14, 18]]
    actual = table(graph_of(entry), Layer("Relu", (entry,)), x_params, y_params)
    assert actual.tolist() == [[10, 10, 12, 14], [10, 10, 11, 12]]


def test_inside_a_gated_layer_each_channel_has_its_own_values():
    gate, gated = GATES["Silu"]
    del gated
    product = node("Mul", ["x", "g"], ["y"], "n")
    layer, x_params = Layer("Silu", (gate, product)), QuantParams(2, 2.0, 1, (2.0, 1.0))
    actual = inner_values(graph_of(gate, product), layer, x_params)
    assert actual.ravel().tolist() == pytest.approx([sigmoid(x) for x in (-2, 0, 2, 4, -1, 0, 1, 2)], rel=1e-6)
