from xml.etree import ElementTree

from matplotlib.figure import Figure

from stages.compare.chart import document, text
from stages.core.svg import BLUE, INK, PAPER, inline, style, svg_text


def drawn():
    with style():
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [0, 1, 0], color=BLUE, marker="o")
        axes.set_xlabel("a < b & c")
        return svg_text(figure)


def test_same_figure_same_bytes():
    assert drawn() == drawn()


def test_no_date_and_no_tool_in_the_file():
    assert "dc:date" not in drawn()
    assert "matplotlib.org" not in drawn()


def test_inline_is_part_of_a_page():
    """No head, no address, no colour that a dark screen cannot turn over; still well-formed."""
    whole = document(20, 10, [text(1, 5, "a < b & c", colour=BLUE), text(1, 9, "d")])
    page = inline(whole, "a plot")
    root = ElementTree.fromstring(page)
    assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", "a plot")
    assert [element.text for element in root.iter("text")] == ["a < b & c", "d"]
    assert "http" not in page
    assert all(colour in whole and colour not in page for colour in (INK, BLUE, PAPER))
    assert all(variable in page for variable in ("var(--ink)", "var(--blue)", "var(--paper)"))
