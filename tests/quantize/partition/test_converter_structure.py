"""The network as TPU-MLIR structures it computes the same, and has the tensors that the chip has."""

import numpy as np
import onnx
import pytest

from stages.core.graph.onnx_graph import Graph, attribute
from stages.quantize.partition.converter_structure import converter_structure, renamed
from tests.export.graphs import graph_model, node, run_onnx

PICTURE = [1, 4, 6, 6]


def values(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def structured(nodes, constants, outputs=("y",), inputs=None):
    """The structured network, checked to compute what the network does."""
    inputs = inputs or {"x": PICTURE}
    model = graph_model(nodes, inputs, list(outputs), constants, 17)
    result = converter_structure(model)
    onnx.checker.check_model(result)
    feeds = {name: values(*shape, seed=5) for name, shape in inputs.items()}
    for expected, actual in zip(run_onnx(model, feeds), run_onnx(result, feeds), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    return result


def kinds(model):
    return [each.op_type for each in model.graph.node]


POINT, WIDE, BIAS = values(5, 4, 1, 1), values(3, 5, 3, 3, seed=1), values(5, seed=2)


def pair(first=None, second=None, between=()):
    """A 1x1 convolution before another one."""
    return [
        node("Conv", ["x", "w", "b"], ["a"], "first", **(first or {})),
        *between,
        node("Conv", ["a" if not between else "r", "v"], ["y"], "second", **(second or {})),
    ]


def test_a_linear_pointwise_convolution_is_merged_into_the_next_one():
    model = structured(pair(), {"w": POINT, "b": BIAS, "v": WIDE})
    assert kinds(model) == ["Conv"]
    assert model.graph.node[0].name == "second"
    assert list(Graph(model).constant("second/weight/merged").shape) == [3, 4, 3, 3]


@pytest.mark.parametrize(
    ("first", "second", "between", "outputs"),
    [
        ({}, {"pads": [1, 1, 1, 1]}, (), ("y",)),
        ({"pads": [1, 0, 0, 0]}, {}, (), ("y",)),
        ({"strides": [2, 2]}, {"strides": [1, 1]}, (), ("y",)),
        ({}, {}, (node("Relu", ["a"], ["r"], "relu"),), ("y",)),
        ({}, {}, (), ("y", "a")),
    ],
    ids=["padded second", "padded first", "strided first", "a Relu between", "an output between"],
)
def test_others_are_left_alone(first, second, between, outputs):
    weights = {"w": POINT, "b": BIAS, "v": values(3, 5, 1, 1) if "strides" in first else WIDE}
    assert kinds(structured(pair(first, second, between), weights, outputs)).count("Conv") == 2


def test_a_pair_whose_merged_weight_is_far_larger_is_left_alone():
    # 600 * 500 values merged, 600 * 10 + 10 * 500 before: 27 times as many
    weights = {"w": values(10, 500, 1, 1), "b": values(10), "v": values(600, 10, 1, 1)}
    nodes = [node("Conv", ["x", "w", "b"], ["a"], "first"), node("Conv", ["a", "v"], ["y"], "second")]
    assert kinds(structured(nodes, weights, inputs={"x": [1, 500, 1, 1]})) == ["Conv", "Conv"]


@pytest.mark.parametrize(
    ("kind", "operands", "constant"),
    [
        ("Add", ["x", "k"], np.float32(-1.5)),
        ("Sub", ["x", "k"], values(4, 1, 1)),
        ("Sub", ["k", "x"], values(1, 4, 1, 1)),
        ("Mul", ["k", "x"], values(4, 1, 1)),
    ],
)
def test_an_operator_with_a_value_a_channel_becomes_a_depthwise_convolution(kind, operands, constant):
    model = structured([node(kind, operands, ["y"], "op")], {"k": constant})
    (convolution,) = model.graph.node
    assert (convolution.op_type, convolution.name, attribute(convolution, "group")) == ("Conv", "op", 4)


@pytest.mark.parametrize("constant", [values(6), values(1, 1, 6, 6)], ids=["a column each", "a pixel each"])
def test_an_operator_with_other_constants_stays(constant):
    assert kinds(structured([node("Add", ["x", "k"], ["y"], "op")], {"k": constant})) == ["Add"]


def test_a_mean_over_the_picture_becomes_a_pool():
    kept = structured([node("ReduceMean", ["x"], ["y"], "op", axes=[2, 3])], {})
    dropped = structured([node("ReduceMean", ["x"], ["y"], "op", axes=[-1, 2], keepdims=0)], {})
    assert kinds(kept) == ["GlobalAveragePool"]
    assert kinds(dropped) == ["GlobalAveragePool", "Flatten"]
    assert renamed(Graph(dropped)) == {"y/pooled": "y"}
    assert kinds(structured([node("ReduceMean", ["x"], ["y"], "op", axes=[3])], {})) == ["ReduceMean"]


def test_defaults_are_written_out():
    model = structured(
        [node("Conv", ["x", "w"], ["a"], "conv", auto_pad="SAME_UPPER"), node("MaxPool", ["a"], ["y"], "pool",
         kernel_shape=[2, 2])],
        {"w": values(3, 4, 3, 3)},
    )  # fmt: skip
    convolution, pool = model.graph.node
    assert list(attribute(convolution, "pads")) == [1, 1, 1, 1]
    assert list(attribute(convolution, "strides")) == list(attribute(pool, "strides")) == [1, 1]
