from xml.etree import ElementTree

import numpy as np
import pytest

from stages.compare.render.panel_plots import channel_plot, histogram_plot, pair_plot
from stages.core.statistics.histogram import TensorCollector
from tests.compare.render.svg import texts


def statistics(*values):
    collector = TensorCollector()
    collector.add(np.float32([[values]]))
    return collector.finish()


ONE = np.float32([0.0, 1.0, -2.0])
DRAWN = [
    lambda: histogram_plot(statistics(-1.0, 0.0, 0.0, 5.0), -1.0, 4.0),
    lambda: pair_plot(ONE, ONE),
    lambda: channel_plot([-1, -2], [3, 0], [-2], [2], "weights"),
]


@pytest.mark.parametrize("draw", DRAWN)
def test_same_numbers_give_the_same_bytes(draw):
    assert draw() == draw()


@pytest.mark.parametrize(
    ("draw", "words"),
    zip(
        DRAWN,
        [
            {"value of the float tensor", "values per bin", "1e0"},
            {"float value", "quantized value"},
            {"channel, widest first", "range of the weights"},
        ],
        strict=True,
    ),
)
def test_axes_are_named(draw, words):
    assert words <= texts(draw())


def test_extreme_tensors_draw():
    for svg in (
        histogram_plot(statistics(0.0), None, None),
        histogram_plot(statistics(3.0), 0.0, 3.0),
        pair_plot(np.zeros(3, np.float32), np.zeros(3, np.float32)),
        channel_plot([0.0], [0.0], [], [], "feature"),
        channel_plot(-np.ones(1280), np.ones(1280), -np.ones(1280), np.ones(1280), "feature"),
    ):
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert len(svg) < 40_000


def test_pairs_that_are_not_finite_are_left_out():
    broken = np.float32([0.0, np.inf, np.nan])
    assert texts(pair_plot(ONE, broken)) == texts(pair_plot(ONE, np.float32([0.0, 0.0, 0.0])))
    assert "float value" in texts(pair_plot(ONE, np.full_like(ONE, np.nan)))
