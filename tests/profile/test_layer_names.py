import numpy as np
import pytest

from stages.core.cost import LayerWork
from stages.core.graph.onnx_graph import Graph
from stages.profile.board_log import LayerRow
from stages.profile.layer_names import LayerNames, row_work
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import Layer, find_layers
from tests.export.graphs import graph_model, node
from tests.networks import soc_config, tiny_classifier


def test_the_vendors_row():
    row = LayerRow("475", "Convolution", ((1, 224, 224, 4),), (1, 112, 112, 64), (3, 3, 4, 64), 0.247, 0.058)
    assert row_work(row) == LayerWork("475", "Convolution", 28_901_376, 200_704, 802_816, 2304)


@pytest.mark.parametrize(
    ("filter_shape", "gops", "macs"),
    [
        ((3, 3, 1, 64), None, 112 * 112 * 9 * 64),  # depthwise
        ((3, 3, 4, 64), 0.4, 200_000_000),  # not a convolution's count: the log's
        ((), 0.4, 0),
        ((), None, 0),
    ],
)
def test_multiplications(filter_shape, gops, macs):
    row = LayerRow("n", "X", ((1, 224, 224, 4), (1, 8)), (1, 112, 112, 64), filter_shape, 1.0, gops)
    assert row_work(row).macs == macs
    assert row_work(row).inputs == 200_704 + 8


@pytest.fixture(scope="module")
def names():
    graph = Graph(tiny_classifier())
    layers = find_layers(graph, soc_config("t40"))
    return LayerNames(graph, layers, layer_work(graph, layers))


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("stem", "stem_relu"),  # a node inside the layer
        ("stem_relu", "stem_relu"),
        ("c1", "stem_relu"),  # a tensor inside it
        ("r1", "stem_relu"),
        ("r1_Quantize", "stem_relu"),
        ("/fc", "fc"),  # spelled otherwise
        ("logits", "fc"),
        ("images", None),
        ("other", None),
    ],
)
def test_layers_by_name(names, name, node):
    found = names.find(name)
    assert (found and found.node) == node


def test_a_spelling_that_fits_two_layers_is_none():
    model = graph_model(
        [node("Relu", ["x"], ["a.b"], "m"), node("Relu", ["a.b"], ["a/b"], "n")], {"x": [1, 4]}, ["a/b"], {}, 17
    )
    graph = Graph(model)
    layers = [Layer("Relu", (each,)) for each in graph.nodes]
    names = LayerNames(graph, layers, layer_work(graph, layers))
    assert names.find("a_b") is None
    assert [names.find(name).node for name in ("a.b", "a/b")] == ["m", "n"]


def test_an_activation_stands_for_the_convolution_that_runs_it():
    nodes = [node("Conv", ["x", "w"], ["c"], "conv"), node("Sigmoid", ["c"], ["y"], "sigmoid")]
    graph = Graph(graph_model(nodes, {"x": [1, 4, 2, 2]}, ["y"], {"w": np.ones((4, 4, 1, 1))}, 17))
    layers = find_layers(graph, soc_config("t40"))
    names = LayerNames(graph, layers, layer_work(graph, layers))
    assert [names.find(name).node for name in ("conv", "c", "sigmoid", "y")] == ["conv"] * 4
