"""Plots as SVG text: the same bytes for the same figure."""

import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stages.core.render.page import INK, LINE, PAPER, SOFT

__all__ = ["style", "svg_text"]

PLOT_STYLE: Any = {
    "svg.hashsalt": "socquant", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": LINE, "figure.facecolor": PAPER,
    "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "legend.fontsize": 8,
}  # fmt: skip
RASTER_DPI = 140  # of parts that are drawn as pixels


def style() -> AbstractContextManager[None]:
    """The look of all plots, for the time in which one is drawn and saved."""
    return mpl.rc_context(PLOT_STYLE)


def svg_text(figure: Figure) -> str:
    """Save as SVG, without a date and without the name of what wrote it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=RASTER_DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
