import re

from stages.scan.placements import State
from stages.scan.render.depth_figure import Bar, depth_figure

BARS = [Bar("a", 1.0, State.integer), Bar("<b>", 4.0, State.float), Bar("c", 0.0, State.undecided)]


def rectangles(svg):
    return re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)


def test_heights_are_in_proportion():
    svg = depth_figure(BARS, "work", lambda value: f"{value:g} ms")
    (first, second) = [each for each in rectangles(svg) if float(each[3]) > 20]
    assert (first[0], second[0]) == ("integer", "float")
    assert float(second[3]) == 4 * float(first[3])
    assert float(first[2]) + float(first[3]) == float(second[2]) + float(second[3])  # they stand on one line


def test_a_lane_marks_what_is_not_in_integers():
    svg = depth_figure(BARS, "work", str)
    assert [kind for kind, _, _, height in rectangles(svg) if float(height) < 20] == ["float", "undecided"]


def test_names_are_escaped_and_told():
    svg = depth_figure(BARS, 'work of "layers"', lambda value: f"{value:g} ms")
    assert "<b>" not in svg
    assert "1 &lt;b&gt;: 4 ms, float" in svg
    assert 'aria-label="work of &#34;layers&#34;"' in svg


def test_no_layers_or_no_work():
    assert rectangles(depth_figure([], "none", str)) == []
    assert rectangles(depth_figure([Bar("a", 0.0, State.integer)], "none", str)) == []
