import numpy as np
import pytest

from stages.compare.closeup import PAIRS, Closer, enclosing_layers, layer_tensors, layers_to_show, worst_layers
from stages.compare.similarity import Compared, node_names
from stages.core.graph.onnx_graph import Graph
from stages.core.statistics.metrics import SQNR_CAP
from tests.networks import quantized_network, soc_config, tiny_classifier


def compared(expected, actual):
    return Compared(0, {}, {"t": np.float32(expected)}, {"t": np.float32(actual)}, {})


def integer():
    pictures = [{"images": np.random.default_rng(3).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}]
    return quantized_network(tiny_classifier(), pictures, soc_config("t40"))


def test_all_values_are_in_the_histogram_and_the_channels():
    closer = Closer(["t"], {}, 2)
    closer.add(compared([[[1, 2], [-3, 0]]], [[[1, 2], [-3, 0]]]))
    closer.add(compared([[[5, 2], [4, 4]]], [[[1, 2], [-3, 0]]]))
    seen = closer.of("t").statistics
    assert (seen.low, seen.high, seen.histogram.sum()) == (-3, 5, 8)
    assert (list(seen.channel_low), list(seen.channel_high)) == ([1, -3], [5, 4])


@pytest.mark.parametrize("pictures", [1, 3, 16, 5000])
def test_pairs_are_as_many_for_any_number_of_pictures_and_stay_together(pictures):
    closer = Closer(["t"], {}, pictures)
    for index in range(pictures):
        values = np.arange(50.0).reshape(1, 2, 25) + 100 * index
        closer.add(compared(values, values + 0.25))
    found = closer.of("t")
    assert found.reference.shape == found.quantized.shape == (PAIRS,)
    assert (found.quantized - found.reference == 0.25).all()
    shares = np.bincount((found.reference // 100).astype(int), minlength=pictures)
    assert shares.max() - shares.min() <= 1


def test_pairs_are_evenly_over_a_tensor():
    """Of 64 parts of a tensor each has its share of the pairs, within 2."""
    values = np.arange(224.0 * 224 * 8).reshape(1, 8, 224, 224)
    closer = Closer(["t"], {}, 1)
    closer.add(compared(values, values))
    shares, _ = np.histogram(closer.of("t").reference, 64, (0, values.size))
    assert np.abs(shares - PAIRS / 64).max() <= 2


def test_values_are_in_the_units_of_the_codes():
    closer = Closer(["t"], {"t": (2.0, 4.0)}, 1)
    closer.add(compared([[[2.0, 6.0], [8.0, 4.0]]], [[[2.0, 6.0], [8.0, 4.0]]]))
    found = closer.of("t")
    assert list(found.statistics.channel_high) == [3.0, 2.0]
    assert set(found.reference) == {1.0, 2.0, 3.0}


def test_a_tensor_without_values_does_no_harm():
    Closer(["t"], {}, 1).add(compared(np.zeros((1, 0, 4)), np.zeros((1, 0, 4))))


def test_layers_of_the_tiny_network():
    """Two convolutions have their activation inside them, and Flatten passes codes on."""
    network = integer()
    names = node_names(Graph(tiny_classifier()))
    assert layer_tensors(names, network.integer, network.params) == ["r1", "r2", "c3", "sum", "pooled", "logits"]
    assert enclosing_layers(network.integer) == {"c1": "r1", "c2": "r2"}


def row(node, cosine, sqnr=None):
    return {"node": node, "cosine_avg": cosine, "max_absolute": 1 - cosine} | (
        {} if sqnr is None else {"isolated_sqnr": sqnr}
    )


def test_worst_layers_by_what_they_err_alone():
    rows = {"a": row("A", 0.5, 30.0), "b": row("B", 0.9, 10.0), "c": row("C", 0.7, SQNR_CAP), "d": row("D", 0.8, 20.0)}
    assert worst_layers(rows, 2) == ["b", "d"]
    assert worst_layers(rows, 9) == ["b", "d", "a"]


def test_worst_layers_by_cosine_where_nothing_else_is_known():
    assert worst_layers({"a": row("A", 0.9), "b": row("B", 0.5), "c": row("C", 1.0)}, 3) == ["b", "a"]


def test_layers_of_findings_come_first():
    rows = {"a": row("A", 0.9), "b": row("B", 0.5), "c": row("C", 0.99), "inner": row("I", 0.98)}
    chosen = layers_to_show(rows, ["a", "b", "c"], ["I", "nowhere"], {"inner": "c"}, 2)
    assert list(chosen.items()) == [("c", "I"), ("b", "B")]
