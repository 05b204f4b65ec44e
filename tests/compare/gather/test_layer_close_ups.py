import numpy as np
import pytest

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.layer_close_ups import PAIRS, LayerCloseUps
from stages.compare.gather.networks import Networks
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from tests.export.graphs import graph_model, node


def close_ups(pictures, factors=None):
    """Of a network whose only layer's output is `t`."""
    model = graph_model([node("Relu", ["x"], ["t"], "relu")], {"x": [1, 2, 2]}, ["t"])
    return LayerCloseUps(Networks(Graph(model), model, NetworkParams([], [], factors=factors or {})), pictures)


def comparison(expected, actual):
    picture = DebugPicture("a", {}, {})
    return Comparison(0, picture, {"t": np.float32(expected)}, {"t": np.float32(actual)}, {})


def test_all_values_are_in_the_histogram_and_the_channels():
    seen = close_ups(2)
    seen.add(comparison([[[1, 2], [-3, 0]]], [[[1, 2], [-3, 0]]]))
    seen.add(comparison([[[5, 2], [4, 4]]], [[[1, 2], [-3, 0]]]))
    statistics = seen.of("t").statistics
    assert (statistics.low, statistics.high, statistics.histogram.sum()) == (-3, 5, 8)
    assert (list(statistics.channel_low), list(statistics.channel_high)) == ([1, -3], [5, 4])


@pytest.mark.parametrize("pictures", [1, 3, 16, 5000])
def test_pairs_are_as_many_for_any_number_of_pictures_and_stay_together(pictures):
    seen = close_ups(pictures)
    for index in range(pictures):
        values = np.arange(50.0).reshape(1, 2, 25) + 100 * index
        seen.add(comparison(values, values + 0.25))
    close_up = seen.of("t")
    assert close_up.reference.shape == close_up.quantized.shape == (PAIRS,)
    assert (close_up.quantized - close_up.reference == 0.25).all()
    shares = np.bincount((close_up.reference // 100).astype(int), minlength=pictures)
    assert shares.max() - shares.min() <= 1


def test_pairs_are_evenly_over_a_tensor():
    """Of 64 parts of a tensor each has its share of the pairs, within 2."""
    values = np.arange(224.0 * 224 * 8).reshape(1, 8, 224, 224)
    seen = close_ups(1)
    seen.add(comparison(values, values))
    shares, _ = np.histogram(seen.of("t").reference, 64, (0, values.size))
    assert np.abs(shares - PAIRS / 64).max() <= 2


def test_values_are_in_the_units_of_the_codes():
    seen = close_ups(1, {"t": (2.0, 4.0)})
    seen.add(comparison([[[2.0, 6.0], [8.0, 4.0]]], [[[2.0, 6.0], [8.0, 4.0]]]))
    close_up = seen.of("t")
    assert list(close_up.statistics.channel_high) == [3.0, 2.0]
    assert set(close_up.reference) == {1.0, 2.0, 3.0}


def test_a_tensor_without_values_does_no_harm():
    seen = close_ups(2)
    seen.add(comparison(np.zeros((1, 0, 4)), np.zeros((1, 0, 4))))
    seen.add(comparison([[[1, 2], [-3, 0]]], [[[1, 2], [-3, 0]]]))
    statistics = seen.of("t").statistics
    assert (statistics.low, statistics.high, statistics.histogram.sum()) == (-3, 2, 4)
