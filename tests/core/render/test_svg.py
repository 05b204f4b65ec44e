import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from stages.core.render.page import BLUE, INK, inline
from stages.core.render.svg import style, svg_text


def drawn(rasterized=False):
    with style():
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [0, 1, 0], color=BLUE, marker="o", rasterized=rasterized)
        axes.set_xlabel("a < b & c")
        return svg_text(figure)


def test_same_figure_same_bytes():
    assert drawn() == drawn()
    assert drawn(rasterized=True) == drawn(rasterized=True)


def test_no_date_and_no_tool_in_the_file():
    assert "dc:date" not in drawn()
    assert "matplotlib.org" not in drawn()


def test_inline_is_part_of_a_page():
    """No head, no address, no colour that a dark screen cannot turn over; still well-formed."""
    text = inline(drawn(rasterized=True), "f1", "a plot")
    root = ElementTree.fromstring(text)
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", "a plot")
    assert "http" not in text
    assert INK in drawn()
    assert INK not in text
    assert BLUE not in text
    assert "var(--blue)" in inline(drawn(), "f1", "a plot")


def test_ids_are_those_that_are_used_and_differ_between_plots():
    one, other = inline(drawn(), "f1", "a"), inline(drawn(), "f2", "a")
    ids = re.findall(r'\sid="([^"]+)"', one)
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', one))
    assert set(ids) == {name for pair in used for name in pair if name}
    assert len(ids) == len(set(ids)) > 0
    assert set(ids).isdisjoint(re.findall(r'\sid="([^"]+)"', other))
