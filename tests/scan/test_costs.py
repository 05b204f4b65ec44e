"""Costs of small networks, counted by hand."""

import numpy as np
import pytest

from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.scan.costs import LayerCosts
from stages.scan.placements import Placements
from tests.export.graphs import graph_model, node
from tests.networks import soc_config
from tests.scan.networks import INT8, attention, placed

W = {"w": [[[[0.5]]] * 3] * 8, "v": [[[[0.5]]] * 8] * 8}
CHAIN = [
    node("Conv", ["x", "w"], ["c"], "conv"),
    node("Sigmoid", ["c"], ["g"], "gate"),
    node("Mul", ["c", "g"], ["m"], "silu"),
    node("Conv", ["m", "v"], ["d"], "next"),
    node("Add", ["m", "d"], ["s"], "sum"),
    node("Reshape", ["s", "flat"], ["y"], "view"),
]


def chain():
    """x [1, 3, 4, 4] -> two 1x1 convolutions of 8 channels, the first with SiLU; both added: y [1, 128]."""
    return graph_model(CHAIN, {"x": [1, 3, 4, 4]}, ["y"], W | {"flat": np.array([1, 128])})


def costs_of(soc, bits=(8, 8), model=None):
    placements = Placements(Graph(chain()), INT8)
    placement = placements.place_at(soc_config(soc), bits)
    return LayerCosts(placement, soc_config(soc), model or CostModel("none"))


def test_features_lie_in_groups_of_channels():
    costs = costs_of("t40")
    assert costs.feature_bytes("x") == 4 * 16  # a picture has 4 channels there
    assert costs.feature_bytes("m") == 32 * 16  # 8 channels in a group of 32
    assert costs_of("t40", (4, 4)).feature_bytes("m") == 32 * 16 // 2
    assert costs_of("bm1684x").feature_bytes("m") == 8 * 16


def test_features_that_live_at_once():
    """By layer: conv writes m in place of c (SiLU is folded in); next reads m; sum reads m and d; view shares s."""
    x, feature = 4 * 16, 32 * 16
    assert list(costs_of("t40").alive) == [x + feature, feature, 2 * feature, 3 * feature, feature]
    total = costs_of("t40").total((8, 8))
    assert (total.peak_bytes, total.peak_layer) == (3 * feature, "sum")


def test_views_share_their_input_s_memory():
    small = [node("Relu", ["x"], ["r"], "relu"), node("Reshape", ["r", "s"], ["f"], "view"),
             node("Relu", ["f"], ["y"], "again")]  # fmt: skip
    placement = placed(graph_model(small, {"x": [1, 3, 2, 2]}, ["y"], {"s": np.array([1, 12])}), "bm1684x")
    assert LayerCosts(placement, soc_config("bm1684x"), CostModel("none")).alive == [24, 12, 24]


def test_a_result_lives_to_the_end():
    nodes = [node("Relu", ["x"], ["y"], "first"), node("Relu", ["x"], ["a"], "second"),
             node("Relu", ["a"], ["z"], "third")]  # fmt: skip
    placement = placed(graph_model(nodes, {"x": [1, 3, 2, 2]}, ["y", "z"]), "bm1684x")
    assert LayerCosts(placement, soc_config("bm1684x"), CostModel("none")).alive == [24, 36, 36]


def test_bytes_of_weights():
    assert costs_of("t40").total((8, 8)).weight_bytes == 24 + 64
    assert costs_of("t40", (8, 4)).total((8, 4)).weight_bytes == 12 + 32
    assert costs_of("t40", (32, 32)).total((32, 32)).weight_bytes == 4 * (24 + 64)
    assert costs_of("bm1684x", (32, 32)).total((32, 32)).weight_bytes == 2 * (24 + 64)  # F16


def test_time_is_the_cost_model_s():
    """A millisecond a layer; the folded activation and the view take none."""
    model = CostModel("T40", ms_per_gmac={"8/8": 0.0}, ms_per_layer=1.0)
    assert costs_of("t40", model=model).milliseconds == [1.0, 0.0, 1.0, 1.0, 0.0]
    assert costs_of("t40", model=model).total((8, 8)).milliseconds == 3.0
    assert costs_of("t40").total((8, 8)).milliseconds is None


def test_layers_in_float_are_not_timed():
    model = CostModel("T40", ms_per_gmac={"8/8": 0.0}, ms_per_layer=1.0)
    placement = placed(attention(), "t40")
    total = LayerCosts(placement, soc_config("t40"), model).total((8, 8))
    assert total.untimed == 5  # gate, weights, picked, normalized, probabilities
    assert total.milliseconds == pytest.approx(4.0)  # conv, gated, pool, fc; the Flatten moves nothing
