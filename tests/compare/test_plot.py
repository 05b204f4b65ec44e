from xml.etree import ElementTree

import pytest

from stages.compare.plot import similarity_plot


def rows(*averages):
    return [
        {"node": f"/layer.{i}/Conv", "cosine_avg": a, "cosine_min": a - 0.1, "cosine_max": min(1.0, a + 0.1)}
        for i, a in enumerate(averages)
    ]


def texts(svg):
    return {
        "".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter() if "text" in element.tag
    }


def test_same_rows_give_the_same_bytes():
    table = rows(1.0, 0.95, 0.8, 0.99)
    assert similarity_plot(table, "a title") == similarity_plot(table, "a title")


def test_axes_title_and_legend_are_named():
    shown = texts(similarity_plot(rows(1.0, 0.95), "net on T40"))
    assert {"depth (node in graph order)", "cosine similarity", "net on T40", "average", "poor below 0.98"} <= shown


def test_worst_nodes_are_named():
    shown = texts(similarity_plot(rows(1.0, 0.95, 0.2, 0.99, 0.6), "t", name_worst=2))
    assert {text for text in shown if text.startswith("/layer")} == {"/layer.2/Conv", "/layer.4/Conv"}


@pytest.mark.parametrize("averages", [(1.0,), (1.0, 1.0), (-0.9, 0.3), (0.0,)])
def test_extreme_tables_draw(averages):
    assert ElementTree.fromstring(similarity_plot(rows(*averages), "t")).tag.endswith("svg")


@pytest.mark.parametrize("name", ["a<b>&c", "price$1$", "_hidden", "x^{2"])
def test_names_with_special_characters_are_shown_as_they_are(name):
    table = rows(0.5)
    table[0]["node"] = name
    assert name in texts(similarity_plot(table, "t"))


def test_no_date_and_no_tool_in_the_file():
    svg = similarity_plot(rows(0.5), "t")
    assert "dc:date" not in svg
    assert "matplotlib.org" not in svg.lower().replace("matplotlib v", "")
