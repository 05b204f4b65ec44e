import io

import pytest
from rich.console import Console

from stages.core.cost import CostModel, LayerWork
from stages.profile.board_log import LayerRow, OperatorRow
from stages.profile.hot_layers import hot_layers, hot_table, operator_table
from stages.profile.measured_layers import MeasuredLayer

MODEL = CostModel("S1", "", {"8/8": 10.0}, 1.0, 0.0)
ROWS = [
    LayerRow("small", "MaxPool", (), (1,), (), 1.0),
    LayerRow("large", "Convolution", (), (1,), (1, 1, 1, 1), 3.0, 0.6, 1.5),
    LayerRow("idle", "Reshape", (), (1,), (), 0.0),
]
MEASURED = [
    MeasuredLayer(LayerWork("small", "MaxPool", 0, 2**20, 2**20, 0), 8, 8, 1.0, known=True),
    MeasuredLayer(LayerWork("large", "Conv", 300_000_000, 8, 8, 8), 8, 8, 3.0),
    MeasuredLayer(LayerWork("idle", "Reshape", 0, 0, 0, 0), 8, 8, 0.0),
]


def shown(table):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    return [line.split() for line in console.export_text().splitlines()]


def test_the_slowest_come_first_with_what_they_reached():
    large, small, idle = hot_layers(ROWS, MEASURED, 5.0, MODEL)
    assert (large["layer"], large["node"], large["bound"]) == ("large", None, "compute")
    assert (small["layer"], small["node"], small["bound"]) == ("small", "small", "memory")
    assert (large["share"], large["cumulative"]) == pytest.approx((0.6, 0.6))
    assert (small["share"], small["cumulative"]) == pytest.approx((0.2, 0.8))
    assert (large["gops_per_s"], large["mb_per_s"]) == pytest.approx((200, 500))  # the log's own columns
    assert (small["gops_per_s"], small["mb_per_s"]) == pytest.approx((0, 2000))  # counted
    assert (idle["gops_per_s"], idle["mb_per_s"]) == (None, None)


def test_nothing_bounds_where_no_price_is_known():
    assert [row["bound"] for row in hot_layers(ROWS, MEASURED, 5.0, CostModel())] == [None] * 3


def test_the_table_of_layers():
    lines = shown(hot_table(hot_layers(ROWS, MEASURED, 5.0, MODEL), 2, "slow"))
    found = [line[1::2] for line in lines if "large" in line or "small" in line]
    assert found == [
        ["large", "Convolution", "3.000", "60.0%", "60.0%", "200", "500", "compute"],
        ["small", "MaxPool", "1.000", "20.0%", "80.0%", "0", "2000", "memory"],
    ]
    assert not any("idle" in line for line in lines)


def test_the_table_of_operators():
    lines = shown(operator_table([OperatorRow("Pool", 1.0, 2), OperatorRow("Convolution", 3.0, 5)], 4.0))
    found = [line[1::2] for line in lines if "Pool" in line or "Convolution" in line]
    assert found == [["Convolution", "5", "3.000", "75.0%"], ["Pool", "2", "1.000", "25.0%"]]
