"""The colours of plots and pages, and plots as parts of a page, which turns their colours over for a dark screen."""

import re

__all__ = ["BLUE", "GREEN", "INK", "LINE", "ORANGE", "PAPER", "RED", "SOFT", "inline"]

INK, SOFT, LINE, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
BLUE, RED, ORANGE, GREEN = "#1f6feb", "#c93c37", "#bc4c00", "#1a7f37"
CSS_VARIABLES = {
    INK: "--ink", SOFT: "--soft", LINE: "--line", PAPER: "--paper", BLUE: "--blue", RED: "--bad", ORANGE: "--orange",
    GREEN: "--good",
}  # fmt: skip
"""The colours' names as CSS variables of a page."""


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
    for colour, variable in CSS_VARIABLES.items():
        body = body.replace(f": {colour}", f": var({variable})")
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', body, count=1)
