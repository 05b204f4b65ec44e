from xml.etree import ElementTree

import pytest

from stages.autotune.allocation.cost_tables import MEAN_BITS
from stages.autotune.pareto import Point
from stages.autotune.pareto_plot import Measured, curve_csv, curve_plot

POINTS = [Point(2.0, 0.5, 0, {}), Point(4.0, 0.01, 1, {}), Point(8.0, 0.0, 3, {})]
CHOSEN = Measured("chosen", 4.5, 0.004)


def plot():
    return curve_plot(
        POINTS, [Measured("8/8", 8.0, 1e-4), Measured("4/$4$", 4.0, 0.02)], CHOSEN, MEAN_BITS, "net on T40"
    )


@pytest.mark.slow
def test_same_points_give_the_same_bytes():
    assert plot() == plot()


def test_the_plot_names_what_it_shows():
    shown = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(plot()).iter() if "text" in e.tag}
    assert {"net on T40", "8/8", "4/$4$", "mean of feature and weight bits", "chosen, measured"} <= shown


@pytest.mark.parametrize(
    ("cost", "axis"),
    [
        ("latency", "latency in ms"),
        pytest.param("size", "bytes", marks=pytest.mark.slow),
        pytest.param("bitops", "bit operations", marks=pytest.mark.slow),
    ],
)
def test_the_axis_is_the_cost(cost, axis):
    assert axis in curve_plot(POINTS, [], Measured("chosen", 4.0, 0.0), cost, "t")


@pytest.mark.slow
def test_names_that_would_overlap_stand_together():
    near = [Measured("10/8", 7.0, 1e-4), Measured("12/8", 7.1, 1.01e-4), Measured("4/4", 4.0, 0.02)]
    svg = curve_plot(POINTS, near, CHOSEN, MEAN_BITS, "t")
    shown = {"".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter() if "text" in e.tag}
    assert {"10/8, 12/8", "4/4"} <= shown
    assert "12/8" not in shown


@pytest.mark.slow
def test_names_stay_inside_the_plot():
    # the dearest bit widths are at the right edge: their name stands left of the marker
    near = [Measured("12/8", 9.0, 1e-3), Measured("10/8", 9.0, 1.01e-3)]
    svg = curve_plot(POINTS, [Measured("4/4", 2.0, 0.02), *near], CHOSEN, MEAN_BITS, "t")
    anchors = {
        "".join(e.itertext()).strip(): e.get("style", "") for e in ElementTree.fromstring(svg).iter() if "text" in e.tag
    }
    assert "text-anchor: end" in anchors["10/8, 12/8"]
    assert "text-anchor: end" not in anchors["4/4"]


def test_the_curve_as_csv():
    assert curve_csv(POINTS, "size") == "size,predicted_error,layers_in_float\n2.0,0.5,0\n4.0,0.01,1\n8.0,0.0,3\n"
