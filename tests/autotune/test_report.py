from xml.etree import ElementTree

import pytest
from rich.console import Console

from stages.autotune.pareto import BITS, Point
from stages.autotune.report import Row, comparison, curve_csv, curve_plot, described, notes
from tests.autotune.stubs import made_up

POINTS = [Point(2.0, 0.5, {}), Point(4.0, 0.01, {}), Point(8.0, 0.0, {})]


def plot():
    return curve_plot(POINTS, [("8/8", 8.0, 1e-4), ("4/$4$", 4.0, 0.02)], (4.5, 0.004), BITS, "net on T40")


def test_same_points_give_the_same_bytes():
    assert plot() == plot()


def test_the_plot_names_what_it_shows():
    shown = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(plot()).iter() if "text" in e.tag}
    assert {"net on T40", "8/8", "4/$4$", "mean of feature and weight bits", "chosen, measured"} <= shown


@pytest.mark.parametrize(
    ("kind", "axis"), [("latency", "latency in ms"), ("size", "bytes"), ("bitops", "bit operations")]
)
def test_the_axis_is_the_cost(kind, axis):
    assert axis in curve_plot(POINTS, [], (4.0, 0.0), kind, "t")


def test_names_that_would_overlap_stand_together():
    near = [("10/8", 7.0, 1e-4), ("12/8", 7.1, 1.01e-4), ("4/4", 4.0, 0.02)]
    svg = curve_plot(POINTS, near, (4.5, 0.004), BITS, "t")
    shown = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter() if "text" in e.tag}
    assert {"10/8, 12/8", "4/4"} <= shown
    assert "12/8" not in shown


def test_the_curve_as_csv():
    assert curve_csv(POINTS, "size") == "size,predicted_error\n2.0,0.5\n4.0,0.01\n8.0,0.0\n"


def test_the_table_shows_every_row_with_its_costs():
    rows = [
        Row("uniform 8/8", 0.0123, {"size": 376.0, "feature bits": 8.0}, within=False),
        Row("chosen", 0.000456, {"size": 200.0, "feature bits": 5.5}, within=True),
    ]
    console = Console(width=120, record=True, file=None)
    with console.capture() as captured:
        console.print(comparison(rows))
    text = captured.get()
    for said in ("bytes", "features", "uniform 8/8", "0.0123", "376", "chosen", "0.000456", "5.50"):
        assert said in text


def test_a_mean_that_is_not_its_rows_width_is_explained():
    even = Row("uniform 8/8", 0.01, {"feature bits": 8.0, "weight bits": 8.0}, None)
    wider = Row("uniform 8/6", 0.01, {"feature bits": 8.0, "weight bits": 6.56}, None)
    chosen = Row("chosen", 0.01, {"feature bits": 5.0, "weight bits": 5.0}, None)
    assert [line.partition(":")[0] for line in notes([even, chosen])] == ["error"]
    assert [line.partition(":")[0] for line in notes([even, wider, chosen])] == ["error", "uniform 8/6"]


def test_widths_are_counted():
    problem = made_up(2, 2, (2, 4, 8, 32))
    allotment = {"feature 0": 8, "feature 1": 32, "weight 0": 2, "weight 1": 2}
    assert described(problem, allotment) == "features: 1 at 8, 1 in float; weights: 2 at 2"
