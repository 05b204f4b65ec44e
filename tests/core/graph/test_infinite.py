"""Tensors that a constant makes infinite."""

import numpy as np

from stages.core.graph.infinite import infinite_tensors, without_infinity
from stages.core.graph.onnx_graph import Graph
from tests.export.graphs import graph_model, node


def test_infinity_ends_at_what_makes_it_finite():
    nodes = [
        node("Where", ["c", "x", "least"], ["w"], "mask"),
        node("Transpose", ["w"], ["t"], "move"),
        node("Relu", ["t"], ["r"], "relu"),
        node("Neg", ["r"], ["y"], "neg"),
        node("Clip", ["x", "least"], ["z"], "clip"),
    ]
    constants = {"c": np.array([True, False]), "least": -np.inf}
    graph = Graph(graph_model(nodes, {"x": [1, 2]}, ["y", "z"], constants))
    assert infinite_tensors(graph) == {"w", "t"}


def test_a_network_without_infinite_constants_has_none():
    model = graph_model([node("Add", ["x", "k"], ["y"], "add")], {"x": [1, 2]}, ["y"], {"k": [1e38, np.nan]})
    assert infinite_tensors(Graph(model)) == set()


def test_infinite_places_take_the_nearest_value_that_is_there():
    values = np.float32([-np.inf, 3, -1, np.inf, np.nan])
    np.testing.assert_array_equal(without_infinity(values[:4]), np.float32([-1, 3, -1, 3]))
    np.testing.assert_array_equal(without_infinity(np.float32([-np.inf, np.inf])), [0, 0])
    assert np.isnan(without_infinity(values)[-1])
