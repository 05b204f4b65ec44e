import re
from xml.etree import ElementTree

from stages.core.render.page import BLUE, INK, inline
from tests.core.render.figures import drawn


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
