import pytest

from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.scan.costs import LayerCosts
from stages.scan.large_depthwise import depthwise_line, large_depthwise
from stages.scan.placements import Placements
from stages.scan.routes import RouteRefusal
from tests.networks import soc_config
from tests.scan.networks import INT8, large_kernels

REFUSED = [RouteRefusal("wide", "Conv", "depthwise 5x5", "")]


def found(model, refused=REFUSED):
    placement = Placements(Graph(large_kernels()), INT8).place(soc_config("t41"))
    return large_depthwise(placement, LayerCosts(placement, soc_config("t41"), model), refused)


def test_two_of_3x3_in_the_place_of_5x5():
    """8 channels, 4x4 positions: 25 * 128 = 3200 multiplications, two of 9 * 128; dense 8 times as many as the 5x5."""
    (wide,) = found(CostModel("T41", ms_per_gmac={"8/8": 1e6}))  # a millisecond a thousand multiplications
    assert (wide.node, wide.kernel, wide.stacked, wide.dense_macs) == ("wide_relu", (5, 5), 2, 25600)
    assert wide.milliseconds == pytest.approx(3.2)
    assert wide.stacked_milliseconds == pytest.approx(2 * 1.152)


def test_each_of_them_moves_its_features():
    """Input 8x8x8, output 4x4x8, weights 25 a channel: the second 3x3 reads and writes the output's size."""
    (wide,) = found(CostModel("T41", ms_per_gmac={"8/8": 0.0}, ms_per_mbyte=2.0**20))  # a millisecond a byte
    assert wide.milliseconds == pytest.approx(512 + 128 + 200)
    assert wide.stacked_milliseconds == pytest.approx((512 + 128 + 72) + (128 + 128 + 72))


def test_a_line():
    line = depthwise_line(found(CostModel("T41", ms_per_gmac={"8/8": 1e6})))
    assert "1 depthwise convolution of 5x5" in line
    assert "3.2 ms -> 2.3 ms" in line
    assert "time unknown" in depthwise_line(found(CostModel("none")))
    assert depthwise_line([]) == ""


def test_only_what_is_refused():
    assert found(CostModel("none"), []) == []
