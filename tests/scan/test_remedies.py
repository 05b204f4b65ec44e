"""A remedy that is said to compute the same does, and runs in integers."""

import re

import numpy as np
import pytest

from stages.scan.network_scan import float_layers
from stages.scan.placements import State
from stages.scan.remedies import regular_steps
from tests.export.graphs import graph_model, node, run_onnx
from tests.scan.networks import placed

X = {"x": [1, 4, 6, 6]}
W = {"w": np.random.default_rng(0).normal(0, 0.5, (4, 4, 1, 1))}
CONV = node("Conv", ["x", "w"], ["c"], "conv")

# what it says; the node as it is; nodes of the remedy; constants of both
SAME = {
    "gather": (
        "a Slice along axis 1 from 1 in steps of 2:",
        [node("Gather", ["c", "odd"], ["y"], "n", axis=1)],
        [node("Slice", ["c", "first", "end", "axis", "step"], ["y"], "n")],
        {"odd": np.array([1, 3]), "first": np.array([1]), "end": np.array([4]), "axis": np.array([1]),
         "step": np.array([2])},
    ),
    "gather one": (
        "a Slice along axis 1 from 2 in steps of 1 and a Squeeze:",
        [node("Gather", ["c", "two"], ["y"], "n", axis=1)],
        [node("Slice", ["c", "first", "end", "axis"], ["s"], "n"), node("Squeeze", ["s", "axis"], ["y"], "squeeze")],
        {"two": np.array(2), "first": np.array([2]), "end": np.array([3]), "axis": np.array([1])},
    ),
    "gather unevenly": (
        "a Concat of Slices along axis 1:",
        [node("Gather", ["c", "some"], ["y"], "n", axis=1)],
        [
            node("Slice", ["c", "zero", "one", "axis"], ["s1"], "left"),
            node("Slice", ["c", "two", "four", "axis"], ["s2"], "right"),
            node("Concat", ["s1", "s2"], ["y"], "n", axis=1),
        ],
        {"some": np.array([0, 2, 3]), "zero": np.array([0]), "one": np.array([1]), "two": np.array([2]),
         "four": np.array([4]), "axis": np.array([1])},
    ),
    "div": (
        "a Mul by the reciprocal:",
        [node("Div", ["c", "eight"], ["y"], "n")],
        [node("Mul", ["c", "eighth"], ["y"], "n")],
        {"eight": 8.0, "eighth": 0.125},
    ),
    "pow": (
        "a Mul of its input with itself:",
        [node("Pow", ["c", "exponent"], ["y"], "n")],
        [node("Mul", ["c", "c"], ["y"], "n")],
        {"exponent": 2.0},
    ),
    "sum": (
        "a ReduceMean and a Mul by 36",
        [node("ReduceSum", ["c", "axes"], ["y"], "n")],
        [node("ReduceMean", ["c"], ["m"], "mean", axes=[2, 3]), node("Mul", ["m", "count"], ["y"], "n")],
        {"axes": np.array([2, 3]), "count": 36.0},
    ),
    "max": (
        "a GlobalMaxPool:",
        [node("ReduceMax", ["c"], ["y"], "n", axes=[2, 3])],
        [node("GlobalMaxPool", ["c"], ["y"], "n")],
        {},
    ),
    "neg": (
        "a Mul by -1",
        [node("Neg", ["c"], ["y"], "n")],
        [node("Mul", ["c", "minus"], ["y"], "n")],
        {"minus": -1.0},
    ),
    "abs": (
        "the Max of its input and of its input times -1",
        [node("Abs", ["c"], ["y"], "n")],
        [node("Mul", ["c", "minus"], ["m"], "minus"), node("Max", ["c", "m"], ["y"], "n")],
        {"minus": -1.0},
    ),
}  # fmt: skip


def model_of(nodes, constants):
    used = {name for each in nodes for name in each.input}
    return graph_model([CONV, *nodes], X, ["y"], W | {k: v for k, v in constants.items() if k in used})


@pytest.mark.parametrize(("said", "before", "after", "constants"), SAME.values(), ids=SAME)
def test_a_form_that_computes_the_same(said, before, after, constants):
    original, remedied = model_of(before, constants), model_of(after, constants)
    (layer,) = float_layers(placed(original, "t40"))
    assert (layer.node, layer.state) == ("n", State.float)
    assert layer.remedy.startswith(said)
    assert State.float not in placed(remedied, "t40").states.values()
    feeds = {"x": np.random.default_rng(1).normal(0, 1, X["x"]).astype(np.float32)}
    (expected,), (actual,) = run_onnx(original, feeds), run_onnx(remedied, feeds)
    np.testing.assert_allclose(actual, expected, atol=1e-4, rtol=1e-5)


def test_what_ends_the_network_is_left_to_the_program():
    model = graph_model([CONV, node("Softmax", ["c"], ["y"], "n", axis=1)], X, ["y"], W)
    (layer,) = float_layers(placed(model, "t40"))
    assert layer.remedy == "leave it to the program on the board: model.outputs=[c]"
    ended = graph_model([CONV], X, ["c"], W)
    assert float_layers(placed(ended, "t40")) == []


def test_a_softmax_in_the_middle_has_no_remedy():
    nodes = [CONV, node("Softmax", ["c"], ["s"], "n", axis=1), node("Conv", ["s", "w"], ["y"], "last")]
    (layer,) = float_layers(placed(graph_model(nodes, X, ["y"], W), "t40"))
    assert (layer.node, layer.remedy) == ("n", "")


def test_a_layer_normalization_spelled_out():
    nodes = [
        CONV,
        node("ReduceMean", ["c"], ["m"], "mean", axes=[1]),
        node("Sub", ["c", "m"], ["d"], "centred"),
        node("Mul", ["d", "d"], ["q"], "square"),
        node("ReduceMean", ["q"], ["v"], "variance", axes=[1]),
        node("Add", ["v", "eps"], ["ve"], "eps"),
        node("Sqrt", ["ve"], ["sd"], "deviation"),
        node("Div", ["d", "sd"], ["y"], "normal"),
    ]
    layers = float_layers(placed(graph_model(nodes, X, ["y"], W | {"eps": 1e-5}), "t40"))
    assert [layer.node for layer in layers] == ["deviation", "normal"]
    assert all(re.match("a LayerNormalization spelled out: train with Batch", layer.remedy) for layer in layers)


def test_other_divisions_and_powers_have_no_such_remedy():
    nodes = [
        CONV,
        node("Conv", ["x", "w"], ["d"], "other"),
        node("Div", ["c", "d"], ["q"], "quotient"),
        node("Pow", ["q", "three"], ["y"], "cube"),
    ]
    layers = float_layers(placed(graph_model(nodes, X, ["y"], W | {"three": 3.0}), "t40"))
    assert [(layer.node, layer.remedy) for layer in layers] == [("quotient", ""), ("cube", "")]


@pytest.mark.parametrize(
    ("indices", "steps"),
    [([1, 3, 5], (1, 2)), ([4], (4, 1)), ([3, 2, 1], (3, -1)), ([0, 1, 3], None), ([2, 2], None), ([], None),
     ([[0], [1]], None)],
)  # fmt: skip
def test_regular_steps(indices, steps):
    assert regular_steps(np.array(indices, np.int64)) == steps


def test_a_recurrent_layer_has_no_integer_form():
    shapes = {"w": (1, 8, 3), "r": (1, 8, 2)}
    constants = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    model = graph_model(
        [node("LSTM", ["x", "w", "r"], ["y"], "lstm", hidden_size=2)], {"x": [2, 1, 3]}, ["y"], constants
    )
    (layer,) = float_layers(placed(model, "t40"))
    assert layer.remedy.startswith("none that computes the same")
