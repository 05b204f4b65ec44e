from xml.etree import ElementTree

import numpy as np
import pytest

from stages.compare.chart import Axes, document, labels, text, ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "found"),
    [
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-7.0, 21.0, 6, [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0]),
        (0.94, 1.0, 7, [0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0]),
        (0.0, 93.0, 10, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]),
        (3.0, 3.0, 5, [3.0]),
    ],
)
def test_ticks_are_round_and_few(low, high, most, found):
    assert ticks(low, high, most) == pytest.approx(found)


@pytest.mark.parametrize(("low", "high"), [(1e-9, 3e-9), (-1e12, 7e12), (0.3, 0.30001), (-5.0, 1e-3)])
@pytest.mark.parametrize("most", [4, 5, 10])
def test_ticks_lie_within_any_range(low, high, most):
    found = ticks(low, high, most)
    assert 1 <= len(found) <= most
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_ticks_of_places_are_whole():
    assert ticks(0.0, 2.0, 10, whole=True) == [0.0, 1.0, 2.0]


def test_labels_have_the_decimals_that_tell_them_apart():
    assert labels([0.0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert labels([-10.0, 0.0, 10.0]) == ["\N{MINUS SIGN}10", "0", "10"]
    assert labels([0.0, 2e6, 4e6]) == ["0", "2e+06", "4e+06"]


def test_values_lie_where_the_scales_say():
    axes = Axes((10.0, 20.0, 100.0, 50.0), (0.0, 10.0), (-1.0, 1.0))
    assert axes.at_x([0.0, 5.0, 10.0]).tolist() == [10.0, 60.0, 110.0]
    assert axes.at_y([-1.0, 0.0, 1.0]).tolist() == [70.0, 45.0, 20.0]  # upwards
    assert Axes((0.0, 0.0, 1.0, 30.0), (0.0, 1.0), (1.0, 1000.0), log=True).at_y([1.0, 10.0, 1000.0]).tolist() == (
        pytest.approx([30.0, 20.0, 0.0])
    )


def drawn(axes):
    return [element.get("d") for element in ElementTree.fromstring(document(10, 10, axes.parts)) if element.get("d")]


def test_curves_break_where_there_is_no_value():
    axes = Axes((0.0, 0.0, 4.0, 1.0), (0.0, 4.0), (0.0, 1.0))
    y = [0.0, 1.0, np.nan, np.nan, 0.0]
    axes.line(range(5), y, "#000000")
    axes.dots(range(5), y, "#000000", 1.0)
    assert drawn(axes) == ["M0 1L1 0M4 1", "M0 1h0M1 0h0M4 1h0"]


def test_bars_and_steps():
    axes = Axes((0.0, 0.0, 2.0, 4.0), (0.0, 2.0), (0.0, 4.0))
    axes.bars([0, 1, 2], [0, 0], [1, 3], "#000000")
    axes.bars([0, 1, 2], [0, 0], [1, 3], "#000000", gap=0.5)
    axes.steps([0, 1, 2], [1, 3], "#000000")
    assert drawn(axes) == [
        "M0 4V3H1V1H2V4H1V4H0Z",
        "M0.2 4V3h0.5V4ZM1.2 4V1h0.5V4Z",
        "M0 3H1V1H2",
    ]


def test_text_is_escaped():
    (element,) = ElementTree.fromstring(f"<svg>{text(1, 2, 'a<b> & c')}</svg>")
    assert element.text == "a<b> & c"
