"""A small plot."""

from matplotlib.figure import Figure

from stages.core.render.page import BLUE
from stages.core.render.svg import style, svg_text


def drawn(rasterized: bool = False) -> str:
    """A blue line with markers, drawn as pixels if `rasterized`, and a label that needs escapes."""
    with style():
        figure = Figure(figsize=(2, 1))
        axes = figure.add_subplot()
        axes.plot([0, 1, 2], [0, 1, 0], color=BLUE, marker="o", rasterized=rasterized)
        axes.set_xlabel("a < b & c")
        return svg_text(figure)
