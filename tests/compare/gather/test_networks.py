import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from stages.compare.gather.comparison import SOURCES
from stages.compare.gather.networks import PartialNetworks
from stages.compare.gather.partial.feature_network import feature_network
from stages.compare.gather.partial.isolated_network import isolated_network
from stages.core.graph.onnx_graph import Graph
from tests.compare.gather.examples import compared, networks
from tests.compare.gather.partly_quantized import equalized, partial_networks, pictures
from tests.export.graphs import graph_model, node
from tests.networks import quantized_network, soc_config, tiny_classifier


def test_of_a_network_in_float_nothing_is_left():
    network = quantized_network(tiny_classifier(), pictures(), soc_config("t40"), feature_bits=32, weight_bits=32)
    assert isolated_network(network.qdq, network.integer, Graph(network.model), network.params).outputs == {}
    partial = partial_networks(network, network.model)
    for row in compared(networks(network.model, network.integer, partial=partial), pictures(1)):
        assert row["isolated_cosine"] == 1.0
        assert row["isolated_sqnr"] == 200.0
        assert row["feature_cosine"] == pytest.approx(1.0)


def test_equalized_layers_alone_are_near_and_back_in_the_units_of_the_float_network():
    model, params, integer, qdq, _, prepared, _ = equalized()
    graph = Graph(model)
    isolated, features = isolated_network(qdq, integer, graph, params), feature_network(qdq, graph, params)
    partial = PartialNetworks(isolated, features, prepared)
    for row in compared(networks(model, integer, params, partial), pictures()):
        assert set(SOURCES) < row.keys()
        for key in ("isolated_cosine", "feature_cosine", "weight_cosine"):
            assert 0.999 < row[key] <= 1.0, (row["node"], key)
        assert row["isolated_sqnr"] > 30


def test_a_layer_that_inherits_its_error_is_told_from_the_one_that_makes_it():
    """Wrong weights in one layer: it is poor alone, those after it are not."""
    network = quantized_network(tiny_classifier(), pictures(), soc_config("t40"))
    for model, name in ((network.qdq, "depthwise/weight/codes"), (network.integer, "depthwise/weight")):
        stored = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        codes = numpy_helper.to_array(stored).copy()
        codes[::2] = -codes[::2]
        stored.CopyFrom(numpy_helper.from_array(codes, name))
    graph = onnx.shape_inference.infer_shapes(network.model)
    partial = partial_networks(network, graph)
    rows = {row["node"]: row for row in compared(networks(graph, network.integer, partial=partial), pictures())}
    assert rows["project"]["cosine_avg"] < 0.98
    assert rows["project"]["isolated_cosine"] > 0.999
    assert rows["depthwise"]["cosine_avg"] < 0.98
    assert rows["depthwise"]["isolated_cosine"] < 0.98
    assert all(row["feature_cosine"] > 0.999 for row in rows.values())
    assert all(row["weight_cosine"] == pytest.approx(1.0) for row in rows.values())


@pytest.mark.parametrize("soc", ["t40", "bm1684x"])
@pytest.mark.parametrize("bits", [8, 12])
def test_operators_of_every_kind(soc, bits):
    """Several outputs, joined operands, interpolation, a layer in float in the middle, one input for two layers."""
    rng = np.random.default_rng(3)
    given = {
        "w": rng.normal(0, 1, (4, 3, 1, 1)),
        "k": rng.normal(0, 1, (1, 1, 8, 8)),
        "v": rng.normal(0, 1, (5, 2, 1, 1)),
        "scales": np.float32([1, 1, 2, 2]),
        "halves": np.array([2, 2], dtype=np.int64),
    }
    nodes = [
        node("Conv", ["images", "w"], ["c"], "conv", strides=[2, 2]),
        node("Split", ["c", "halves"], ["a", "b"], "split", axis=1),
        node("Sigmoid", ["a"], ["g"], "gate"),
        node("Mul", ["a", "g"], ["s"], "silu"),
        node("Resize", ["s", "", "scales"], ["u"], "up", mode="linear"),
        node("MaxPool", ["u"], ["m"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["m", "b", "k"], ["j"], "join", axis=1),
        node("Softmax", ["j"], ["f"], "soft", axis=1),
        node("Add", ["f", "j"], ["t"], "sum"),
        node("Relu", ["t"], ["r"], "relu"),
        node("Slice", ["r", "from", "to", "axes"], ["l"], "part"),
        node("Conv", ["l", "v"], ["y"], "last"),
    ]
    given |= {name: np.array([value], dtype=np.int64) for name, value in (("from", 0), ("to", 2), ("axes", 1))}
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    network = quantized_network(model, pictures(), soc_config(soc), feature_bits=8 if soc == "bm1684x" else bits)
    partial = partial_networks(network, model)
    rows = compared(networks(model, network.integer, partial=partial), pictures())
    assert len(rows) == 13
    for row in rows:
        assert row["isolated_cosine"] > 0.999, row["node"]
        assert row["feature_cosine"] > 0.999, row["node"]
        assert row["weight_cosine"] == pytest.approx(1.0), row["node"]
        assert row["isolated_sqnr"] > row["sqnr"] - 3, row["node"]


def test_an_output_that_nobody_takes_has_a_row():
    nodes = [
        node("Conv", ["images", "w"], ["c"], "conv"),
        node("Split", ["c", "halves"], ["a", "b"], "split", axis=1),
        node("Relu", ["a"], ["y"], "relu"),
    ]
    given = {"w": np.random.default_rng(4).normal(0, 1, (4, 3, 1, 1)), "halves": np.array([2, 2], dtype=np.int64)}
    model = onnx.shape_inference.infer_shapes(graph_model(nodes, {"images": [1, 3, 16, 16]}, ["y"], given))
    network = quantized_network(model, pictures(), soc_config("t40"))
    partial = partial_networks(network, model)
    rows = compared(networks(model, network.integer, partial=partial), pictures(1))
    assert [row["node"] for row in rows] == ["conv", "split", "split:b", "relu"]
    assert all(row["feature_cosine"] > 0.999 for row in rows)
