import numpy as np
import pytest

from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.scan.assumed_ranges import assumed_ranges, assumed_statistics
from tests.export.graphs import graph_model, node, run_onnx


@pytest.fixture(scope="module")
def model():
    nodes = [
        node("Conv", ["x", "w"], ["conv"], "conv"),
        node("Relu", ["conv"], ["relu"], "relu"),
        node("Clip", ["conv", "minus", "one"], ["clip"], "clip"),
        node("Clip", ["conv", "zero", "one"], ["clip0"], "clip0"),
        node("MaxPool", ["relu"], ["pool"], "pool", kernel_shape=[2, 2]),
        node("Concat", ["relu", "clip0"], ["positive"], "positive", axis=1),
        node("Concat", ["relu", "conv"], ["mixed"], "mixed", axis=1),
        node("Add", ["relu", "one"], ["more"], "more"),
        node("Add", ["relu", "minus"], ["less"], "less"),
        node("Sigmoid", ["conv"], ["gate"], "gate"),
        node("Mul", ["conv", "gate"], ["silu"], "silu"),
        node("Softplus", ["conv"], ["soft"], "soft"),
    ]
    constants = {"w": np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)), "minus": -1.0, "zero": 0.0, "one": 1.0}
    outputs = ["pool", "positive", "mixed", "more", "less", "silu", "soft", "clip"]
    return graph_model(nodes, {"x": [1, 3, 4, 4]}, outputs, constants)


def picture(mean, normal):
    return NetworkInput("x", (1, 3, 4, 4), mean, normal, Color.RGB)


def test_what_cannot_be_negative_begins_at_0(model):
    ranges = assumed_ranges(Graph(model), [picture((0.0,) * 3, (255.0,) * 3)])
    begins_at_0 = {name for name, (low, _) in ranges.items() if low == 0.0}
    assert begins_at_0 == {"x", "relu", "clip0", "pool", "positive", "more", "gate", "soft"}


def test_the_signs_are_those_of_the_network(model):
    """On input of both signs each tensor that may be negative is, and no other."""
    ranges = assumed_ranges(Graph(model), [picture((127.0,) * 3, (1.0,) * 3)])
    values = run_onnx(model, {"x": np.random.default_rng(1).normal(0, 3, (1, 3, 4, 4)).astype(np.float32)})
    for info, value in zip(model.graph.output, values, strict=True):
        assert (ranges[info.name][0] < 0) == bool(value.min() < 0), info.name


def test_a_picture_s_range_is_that_of_its_pixels(model):
    ranges = assumed_ranges(Graph(model), [picture((127.5, 0.0, 255.0), (127.5, 100.0, 50.0))])
    assert ranges["x"] == (-5.1, 2.55)


def test_other_inputs_have_both_signs(model):
    other = NetworkInput("x", (1, 7, 4, 4), (0.0,) * 7, (1.0,) * 7, Color.RGB)
    assert assumed_ranges(Graph(model), [other])["x"] == (-1.0, 1.0)


def test_no_two_tensors_have_the_same_range(model):
    ranges = assumed_ranges(Graph(model), [picture((0.0,) * 3, (1.0,) * 3)])
    assert len({high for _, high in ranges.values()}) == len(ranges)
    statistics = assumed_statistics(ranges)
    assert {name: (each.low, each.high) for name, each in statistics.items()} == ranges
