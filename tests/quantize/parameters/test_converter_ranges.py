"""Which tensors share a threshold in TPU-MLIR."""

import pytest

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, RangeSource
from stages.core.integer.thresholds import threshold
from stages.quantize.parameters.converter_ranges import converter_ranges, held_features
from stages.quantize.partition.layer_graph import LayerGraph
from tests.export.graphs import graph_model, node
from tests.networks import soc_config

PICTURE = [1, 4, 6, 6]
RELU = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1]}


def shared(nodes, ranges, outputs=("y",), chip="bm1684x", inputs=None, in_float=()):
    """Tensor -> (threshold, signed) after the converter's steps; `ranges` are those before."""
    model = graph_model(nodes, inputs or {"x": PICTURE}, list(outputs), {}, 17)
    graph, soc = Graph(model), soc_config(chip)
    layers = LayerGraph.of(graph, soc).layers
    params = []
    for tensor, (number, signed) in ranges.items():
        zero_point, most = (128, 127) if signed else (0, 255)
        ends = (-number if signed else 0.0, number)
        params.append(FeatureParams(tensor, tensor, 8, number / most, zero_point, *ends, *ends, RangeSource("MAX_ABS")))
    found = converter_ranges(
        params, graph, layers, [layer.name for layer in layers if layer.name not in in_float], soc.requantization
    )
    return {each.tensor: (threshold(each.scale, each.zero_point), each.zero_point > 0) for each in found}


TWO_JOINED = [
    node("HardSigmoid", ["x"], ["a"], "one"),
    node("HardSigmoid", ["x"], ["b"], "two", alpha=0.3),
    node("Concat", ["a", "b"], ["y"], "join", axis=1),
]


def test_operands_that_a_concat_alone_takes_get_its_threshold():
    found = shared(TWO_JOINED, {"x": (4.0, True), "a": (3.0, False), "b": (0.9, False), "y": (3.5, False)})
    assert found["a"] == found["b"] == found["y"] == (3.5, False)


def test_an_operand_with_another_consumer_keeps_all_apart():
    nodes = [*TWO_JOINED, node("Tanh", ["a"], ["z"], "other")]
    ranges = {"x": (4.0, True), "a": (3.0, False), "b": (0.9, False), "y": (3.5, False), "z": (1.0, False)}
    found = shared(nodes, ranges, ("y", "z"))
    assert (found["a"], found["b"]) == ((3.0, False), (0.9, False))


@pytest.mark.parametrize(("chip", "signed"), [("bm1684x", False), ("cv181x", True)])
def test_a_sigmoids_threshold_is_one(chip, signed):
    nodes = [node("Sigmoid", ["x"], ["y"], "op")]
    assert shared(nodes, {"x": (4.0, True), "y": (0.9, signed)}, chip=chip)["y"] == (1.0, signed)


def test_operands_of_both_signs_are_not_joined():
    nodes = [node("Tanh", ["x"], ["a"], "one"), *TWO_JOINED[1:]]
    found = shared(nodes, {"x": (4.0, True), "a": (1.0, True), "b": (0.9, False), "y": (2.0, True)})
    assert found["a"] == (1.0, True)


def test_pools_before_a_concat_share_its_threshold():
    nodes = [
        node("Tanh", ["x"], ["a"], "one"),
        node("MaxPool", ["a"], ["b"], "pool", **RELU),
        node("Concat", ["a", "b"], ["y"], "join", axis=1),
    ]
    found = shared(nodes, {"x": (4.0, True), "a": (1.0, True), "b": (1.0, True), "y": (2.0, True)})
    assert found["a"] == found["b"] == found["y"]


@pytest.mark.parametrize(("chip", "expected"), [("bm1684x", (3.0, True)), ("bm1684", (4.0, True))])
def test_an_average_pool_keeps_its_inputs_sign_and_on_bm1684_its_range(chip, expected):
    nodes = [node("GlobalAveragePool", ["x"], ["y"], "pool")]
    assert shared(nodes, {"x": (4.0, True), "y": (3.0, False)}, chip=chip)["y"] == expected


@pytest.mark.parametrize(("chip", "expected"), [("bm1684x", (3.0, True)), ("bm1684", (4.0, True))])
def test_on_bm1684_an_average_in_float_does_so_too(chip, expected):
    # TPU-MLIR's lowering of a pool over 3 x 80 values, in F32, has its input's threshold in the Cast behind it
    nodes = [node("GlobalAveragePool", ["x"], ["y"], "pool")]
    ranges = {"x": (4.0, True), "y": (3.0, True)}
    assert shared(nodes, ranges, chip=chip, inputs={"x": [1, 4, 3, 80]}, in_float=["pool"])["y"] == expected


def test_products_that_a_sum_alone_takes_get_its_threshold():
    nodes = [
        node("Mul", ["x", "v"], ["a"], "one"),
        node("Mul", ["x", "x"], ["b"], "two"),
        node("Add", ["a", "b"], ["y"], "sum"),
    ]
    ranges = {"x": (4.0, True), "v": (2.0, True), "a": (8.0, True), "b": (16.0, True), "y": (20.0, True)}
    both = {"x": PICTURE, "v": PICTURE}
    found = shared(nodes, ranges, inputs=both)
    assert found["a"] == found["b"] == (20.0, True)
    assert shared(nodes, ranges, inputs=both, chip="bm1684")["a"] == (8.0, True)


def test_a_product_is_signed_as_its_operands():
    nodes = [node("Mul", ["x", "x"], ["y"], "square")]
    assert shared(nodes, {"x": (4.0, True), "y": (16.0, False)})["y"] == (16.0, True)
    assert soc_config("bm1684x").requantization is Requantization.sophgo


def test_what_is_shared_once_stays():
    ranges = {"x": (4.0, True), "a": (3.0, False), "b": (0.9, False), "y": (3.5, False)}
    once = shared(TWO_JOINED, ranges)
    assert shared(TWO_JOINED, once) == once


def test_features_whose_scale_is_that_of_others_are_held():
    """The Concat's and its operands'; the input's and a Sigmoid's, which is always 1, is too."""
    nodes = [*TWO_JOINED, node("Sigmoid", ["y"], ["s"], "gate"), node("Tanh", ["s"], ["z"], "end")]
    graph, soc = Graph(graph_model(nodes, {"x": PICTURE}, ["z"], {}, 17)), soc_config("bm1684x")
    layers = LayerGraph.of(graph, soc).layers
    integer = [layer.name for layer in layers]
    params = [
        FeatureParams(name, name, 8, number / 255, 0, 0.0, number, 0.0, number, RangeSource("MAX_ABS"))
        for name, number in {"x": 4.0, "a": 3.5, "b": 3.5, "y": 3.5, "s": 1.0, "z": 1.0}.items()
    ]
    assert held_features(params, graph, layers, integer, soc.requantization) == {"a", "b", "y", "s"}
