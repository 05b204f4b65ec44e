from xml.etree import ElementTree

import numpy as np
import pytest

from stages.compare.render.depth_plots import bits_plot, similarity_plot
from tests.compare.render.svg import texts


def rows(*averages, **more):
    return [
        {"node": f"/layer.{i}/Conv", "cosine_avg": a, "cosine_min": a - 0.1, "cosine_max": min(1.0, a + 0.1)} | more
        for i, a in enumerate(averages)
    ]


NOISY = rows(1.0, 0.95, 0.8, sqnr=20.0, isolated_sqnr=30.0)
DRAWN = [
    lambda: similarity_plot(NOISY, "t", ["/layer.2/Conv"], ["/layer.1/Conv"]),
    lambda: bits_plot([8, None, 4], [4, 8, None], [False, True, False]),
]  # fmt: skip


@pytest.mark.parametrize("draw", DRAWN)
def test_same_numbers_give_the_same_bytes(draw):
    assert draw() == draw()


@pytest.mark.parametrize(
    ("draw", "words"),
    zip(
        DRAWN,
        [
            {"depth (node in graph order)", "cosine similarity", "SQNR in dB", "t", "average", "poor below 0.98",
             "named by a finding", "this layer alone quantized"},
            {"depth (node in graph order)", "feature bits", "weight bits", "in float", "4", "8"},
        ],
        strict=True,
    ),
)  # fmt: skip
def test_axes_and_curves_are_named(draw, words):
    assert words <= texts(draw())


def test_without_isolated_layers_there_is_one_panel():
    assert "SQNR in dB" not in texts(similarity_plot(rows(1.0, 0.95), "t"))


@pytest.mark.parametrize("narrow", [False, True])
def test_just_the_nodes_that_are_asked_for_are_named(narrow):
    shown = texts(similarity_plot(rows(1.0, 0.95, 0.2, 0.99, 0.6), "t", ["/layer.2/Conv", "/layer.4/Conv"], [], narrow))
    assert {text for text in shown if text.startswith("/layer")} == {"/layer.2/Conv", "/layer.4/Conv"}


def test_no_two_names_share_a_line():
    table = rows(*np.linspace(0.99, 0.9, 12))
    svg = similarity_plot(table, "", [row["node"] for row in table[3:8]])
    positions = [
        element.get("transform") or element.get("y")
        for element in ElementTree.fromstring(svg).iter()
        if "text" in element.tag and (element.text or "").startswith("/layer")
    ]
    assert len(positions) == 5
    heights = sorted(float(position.split("translate(")[-1].split()[-1].split(")")[0]) for position in positions)
    assert min(np.diff(heights)) >= 9  # points; the names are 7.5 high


@pytest.mark.parametrize("averages", [(1.0,), (1.0, 1.0), (-0.9, 0.3), (0.0,)])
@pytest.mark.parametrize("sqnr", [200.0, -200.0, 3.0])
def test_extreme_tables_draw(averages, sqnr):
    table = rows(*averages, sqnr=sqnr, isolated_sqnr=200.0)
    assert ElementTree.fromstring(similarity_plot(table, "t", [table[0]["node"]])).tag.endswith("svg")


def test_a_network_of_one_node_in_float_draws():
    svg = bits_plot([None], [None], [True])
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert len(svg) < 40_000


@pytest.mark.parametrize("name", ["a<b>&c", "price$1$", "_hidden", "x^{2"])
def test_names_with_special_characters_are_shown_as_they_are(name):
    table = rows(0.5)
    table[0]["node"] = name
    assert name in texts(similarity_plot(table, "t", [name]))
