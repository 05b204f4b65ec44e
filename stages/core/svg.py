"""Plots as SVG text: the same bytes for the same figure, in colours that a page can turn over for a dark screen."""

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["BLUE", "GREEN", "INK", "LINE", "ORANGE", "PAPER", "RED", "SOFT", "inline", "style", "svg_text"]

INK, SOFT, LINE, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
BLUE, RED, ORANGE, GREEN = "#1f6feb", "#c93c37", "#bc4c00", "#1a7f37"
VARIABLES = {
    INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--paper", BLUE: "--blue", RED: "--bad", ORANGE: "--orange",
    GREEN: "--good",
}  # fmt: skip
"""The colours' names as CSS variables of a page."""

STYLE: Any = {
    "svg.hashsalt": "socquant", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": LINE, "figure.facecolor": PAPER,
    "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "legend.fontsize": 8,
}  # fmt: skip
RASTER_DPI = 140  # of parts that are drawn as pixels


def style() -> AbstractContextManager[None]:
    """The look of all plots, for the time in which one is drawn and saved."""
    return mpl.rc_context(STYLE)


def svg_text(figure: Figure) -> str:
    """Save as SVG, without a date and without the name of what wrote it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=RASTER_DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline(svg: str, prefix: str, label: str) -> str:
    """Make an SVG part of a page: its head away, ids of its own, the page's colours.

    Args:
        svg: from `svg_text`.
        prefix: begins its ids, so that those of several plots on a page differ.
        label: what a reader who cannot see is told; plain text without quotation marks or markup.
    """
    body = svg[svg.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|\s*xmlns(:xlink)?=\"[^\"]*\"", "", body, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|xlink:href=\"#)([^)\"]+)", body))
    body = re.sub(r"\sid=\"([^\"]+)\"", lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}-", body).replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        body = body.replace(f": {colour}", f": var({variable})")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', body, count=1)
