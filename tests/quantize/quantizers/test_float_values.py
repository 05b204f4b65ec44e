"""Which tensors layers in float take in float, and which weighted layers return them so."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.node_bits import NodeBits
from tests.export.graphs import graph_model, node
from tests.quantize.quantizers.placements import bits, placed, soc

PICTURE = [1, 4, 6, 6]
MOVES = dict.fromkeys(("Reshape", "Transpose", "Resize", "Shape"), ([8], []))
INGENIC = soc(**MOVES)
SOPHGO = replace(INGENIC, float_outputs=False)
CONSTANTS = {
    "w": np.ones((4, 4, 1, 1)),
    "size": np.array([1, 144]),
    "sizes": np.array([1, 4, 9, 9]),
    "k": np.ones((1, 4, 1, 1)),
}


def setup_of(nodes, outputs, chip=INGENIC, by_node=None, **quant):
    model = graph_model(nodes, {"x": PICTURE}, outputs, CONSTANTS)
    return placed(by_node, chip, Graph(onnx.shape_inference.infer_shapes(model)), **quant)


def in_float(setup):
    """Features with consumers in float -> those."""
    return {feature.tensor: feature.float_consumers for feature in setup.features if feature.float_consumers}


def conv(x, y, name):
    return node("Conv", [x, "w"], [y], name)


def test_a_weighted_layer_returns_float_if_only_layers_in_float_take_it():
    nodes = [conv("x", "c", "conv"), node("Softmax", ["c"], ["y"], "soft")]
    assert list(bits(setup_of(nodes, ["y"]))) == ["x"]
    assert list(bits(setup_of(nodes, ["y"], SOPHGO))) == ["x", "c"]
    assert setup_of(nodes, ["y"]).integer == {"conv"}


def test_so_does_a_fused_one():
    nodes = [conv("x", "c", "conv"), node("Relu", ["c"], ["r"], "relu"), conv("r", "y", "last")]
    setup = setup_of(nodes, ["y"], skip_nodes=["last"])
    assert (list(bits(setup)), setup.integer) == (["x"], {"relu"})


@pytest.mark.parametrize(("chip", "expected"), [(INGENIC, {"c": ("soft",)}), (SOPHGO, {})])
def test_codes_for_some_and_floats_for_others(chip, expected):
    nodes = [conv("x", "c", "conv"), node("Softmax", ["c"], ["s"], "soft"), node("Add", ["c", "x"], ["y"], "sum")]
    setup = setup_of(nodes, ["s", "y"], chip)
    assert list(bits(setup)) == ["x", "c", "y"]
    assert in_float(setup) == expected


@pytest.mark.parametrize("kind", ["Add", "Mul", "Concat", "GlobalAveragePool", "Sigmoid"])
def test_a_layer_without_weights_has_codes_alone(kind):
    operands = ["x"] if kind in ("GlobalAveragePool", "Sigmoid") else ["x", "x"]
    attributes = {"axis": 1} if kind == "Concat" else {}
    nodes = [node(kind, operands, ["c"], "op", **attributes), node("Softmax", ["c"], ["y"], "soft")]
    setup = setup_of(nodes, ["y"])
    assert list(bits(setup)) == ["x", "c"]
    assert in_float(setup) == {}


@pytest.mark.parametrize("chip", [INGENIC, SOPHGO])
def test_an_input_and_the_output_of_a_layer_in_float_exist_in_float(chip):
    nodes = [conv("x", "a", "one"), conv("x", "b", "two"), conv("a", "c", "three"), node("Add", ["a", "b"], ["y"], "s")]
    setup = setup_of(nodes, ["c", "y"], chip, skip_nodes=["one", "three"])
    assert in_float(setup) == {"x": ("one",), "a": ("three",)}


def test_a_constant_exists_in_float():
    nodes = [node("Add", ["x", "k"], ["a"], "one"), node("Mul", ["a", "k"], ["y"], "two")]
    setup = setup_of(nodes, ["y"], skip_nodes=["one"])
    assert in_float(setup) == {"k": ("one",)}


def test_all_nodes_of_a_gated_layer_take_floats():
    nodes = [
        conv("x", "c", "conv"),
        node("Sigmoid", ["c"], ["s"], "gate"),
        node("Mul", ["c", "s"], ["g"], "mul"),
        node("Add", ["c", "g"], ["y"], "sum"),
    ]
    setup = setup_of(nodes, ["y"], skip_ops=["Silu"])
    assert in_float(setup) == {"c": ("gate", "mul")}


MOVING = [node("Transpose", ["c"], ["t"], "turn", perm=[0, 2, 3, 1]), node("Reshape", ["t", "size"], ["r"], "flat")]
LAST = node("Softmax", ["r"], ["y"], "soft")


def test_moves_between_a_weighted_layer_and_one_in_float_run_in_float():
    setup = setup_of([conv("x", "c", "conv"), *MOVING, LAST], ["y"])
    assert list(bits(setup)) == ["x"]
    assert setup.integer == {"conv"}
    assert "flat (Reshape) runs in float: it only moves values to layers in float" in setup.notes


@pytest.mark.parametrize(("chip", "coded"), [(INGENIC, []), (SOPHGO, ["x", "t", "r"])])
def test_moves_of_an_input_too(chip, coded):
    moving = [node("Transpose", ["x"], ["t"], "turn", perm=[0, 2, 3, 1]), MOVING[1]]
    assert list(bits(setup_of([*moving, LAST], ["y"], chip))) == coded


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([conv("x", "c", "conv"), *MOVING, LAST, node("Sigmoid", ["r"], ["z"], "integer")], ["y", "z"]),
        ([conv("x", "c", "conv"), *MOVING, LAST], ["y", "r"]),
        ([node("Sigmoid", ["x"], ["c"], "table"), *MOVING, LAST], ["y"]),
    ],
    ids=["another consumer", "an output", "no floats to move"],
)
def test_moves_that_stay_in_integers(nodes, outputs):
    setup = setup_of(nodes, outputs)
    assert setup.integer >= {"turn", "flat"}
    assert list(bits(setup))[:4] == ["x", "c", "t", "r"]
    assert in_float(setup) == {}


def test_moves_stay_in_integers_on_a_soc_without_float_outputs():
    assert setup_of([conv("x", "c", "conv"), *MOVING, LAST], ["y"], SOPHGO).integer == {"conv", "turn", "flat"}


@pytest.mark.parametrize(("chip", "integer", "coded"), [(INGENIC, {"conv"}, ["x"]), (SOPHGO, set(), [])])
def test_a_weighted_layer_whose_output_shall_be_in_float(chip, integer, coded):
    # without float outputs it cannot multiply codes and return floats: it runs in float
    nodes = [conv("x", "c", "conv"), node("Softmax", ["c"], ["y"], "soft")]
    setup = setup_of(nodes, ["y"], chip, {"conv": NodeBits(feature_bits=32)})
    assert (setup.integer, list(bits(setup))) == (integer, coded)


@pytest.mark.parametrize(("mode", "integer"), [("nearest", {"conv"}), ("linear", {"conv", "up"})])
def test_a_resize_that_interpolates_is_no_move(mode, integer):
    up = node("Resize", ["c", "", "", "sizes"], ["u"], "up", mode=mode)
    setup = setup_of([conv("x", "c", "conv"), up, node("Softmax", ["u"], ["y"], "soft")], ["y"])
    assert setup.integer == integer


def test_a_shape_is_no_value():
    nodes = [
        conv("x", "c", "conv"), node("Shape", ["c"], ["s"], "shape"), node("Sigmoid", ["c"], ["y"], "table"),
    ]  # fmt: skip
    assert in_float(setup_of(nodes, ["y", "s"])) == {}


def test_an_output_that_goes_on_keeps_its_codes():
    nodes = [conv("x", "c", "conv"), node("Sigmoid", ["c"], ["y"], "table")]
    setup = setup_of(nodes, ["c", "y"])
    assert list(bits(setup)) == ["x", "c", "y"]
    assert in_float(setup) == {}


def test_a_joint_that_the_node_bits_keep_in_float_takes_floats():
    nodes = [conv("x", "a", "one"), conv("x", "b", "two"), node("Concat", ["a", "b"], ["y"], "join", axis=1)]
    setup = setup_of(nodes, ["y"], by_node={"join": NodeBits(feature_bits=32)})
    assert (list(bits(setup)), setup.integer) == (["x"], {"one", "two"})


@pytest.mark.parametrize("quant", [{"weight_bits": 32}, {"fake_quant": "feature"}])
def test_weights_in_float_leave_the_features_quantized(quant):
    nodes = [conv("x", "a", "one"), conv("a", "y", "two")]
    assert list(bits(setup_of(nodes, ["y"], **quant))) == ["x", "a"]
