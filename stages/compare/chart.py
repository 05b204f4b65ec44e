"""Charts drawn as SVG text directly: axes with ticks, lines, areas, dots.

The report has some thirty plots. matplotlib takes longer to import than the networks take for a picture, and longer for
these plots than the networks take for all.
"""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stages.core.svg import INK, LINE, PAPER, SOFT

__all__ = ["Axes", "document", "stroked", "text", "text_width", "ticks"]

SMALL, FONT = 8.0, 9.0
"""Sizes of letters: of ticks and legends, of the axes' names."""
WIDTH = 0.6  # of a letter, in parts of its size; sans-serif fonts differ, and few are wider
LAYERS = 4
"""Dots are drawn in so many layers: where they crowd it gets darker, and the file stays small."""

Array = NDArray[np.float64]


def document(width: float, height: float, parts: Iterable[str]) -> str:
    """A whole SVG file on paper; sizes in points."""
    sheet = f'<rect width="{width:g}" height="{height:g}" style="fill: {PAPER}"/>'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}pt" height="{height:g}pt" '
        f'viewBox="0 0 {width:g} {height:g}" style="font-family: sans-serif">'
    )
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', head, sheet, *parts, "</svg>"]) + "\n"


def text(
    x: float, y: float, said: str, *, size: float = FONT, colour: str = INK, anchor: str = "start", turned: bool = False
) -> str:
    """A line of text whose middle is at height y; `turned`: reads upwards, its middle at x too."""
    style = f"font-size: {size:g}px; fill: {colour}; text-anchor: {anchor}"
    if turned:
        place = f'transform="translate({x:.1f} {y:.1f}) rotate(-90)" dy="0.35em"'
    else:
        place = f'x="{x:.1f}" y="{y:.1f}" dy="0.35em"'
    return f'<text {place} style="{style}">{escape(said, quote=False)}</text>'


def text_width(said: str, size: float = SMALL) -> float:
    """About how wide a line of text is."""
    return WIDTH * size * len(said)


def ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Round numbers within a range, `most` at most and two where there is room for them: steps of 1, 2 or 5."""
    span = high - low
    if not span > 0.0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span / most))
    steps = [power * part for part in (1, 2, 5, 10, 20)]
    found: list[float] = []
    for step in steps:
        if whole and step < 1.0:
            continue
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        found = [float(np.round(number * step, 12)) for number in range(first, last + 1)]
        if len(found) <= most:
            break
    return found


def labels(values: Sequence[float]) -> list[str]:
    """Ticks as text, all with as many decimals as their distance asks for."""
    step = min((after - before for before, after in pairwise(values)), default=1.0)
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9))) if step > 0.0 else 0
    large = max(map(abs, values), default=0.0) >= 1e6 or decimals > 5
    shown = [f"{value:.3g}" if large else f"{value:.{decimals}f}" for value in values]
    return [each.replace("-", "\N{MINUS SIGN}") for each in shown]


def stroked(
    path: str, colour: str, width: float, *, dashed: bool = False, opacity: float = 1.0, round_ends: bool = False
) -> str:
    """A path's line."""
    style = f"fill: none; stroke: {colour}; stroke-width: {width:g}"
    style += "; stroke-dasharray: 3.7 1.6" if dashed else ""
    style += f"; stroke-opacity: {opacity:g}" if opacity < 1.0 else ""
    style += "; stroke-linecap: round" if round_ends else ""
    return f'<path d="{path}" style="{style}"/>'


class Axes:
    """A frame with a scale along each side, which collects what is drawn in it.

    Args:
        box: left, top, width and height in points.
        x: least and greatest value.
        y: likewise, upwards.
        log: whether y is logarithmic.
    """

    def __init__(
        self, box: tuple[float, float, float, float], x: tuple[float, float], y: tuple[float, float], log: bool = False
    ) -> None:
        self.left, self.top, self.width, self.height = box
        self.right, self.bottom = self.left + self.width, self.top + self.height
        self.x, self.y, self.log = x, y, log
        self.parts: list[str] = []

    def at_x(self, values: ArrayLike) -> Array:
        """Points from the left."""
        low, high = self.x
        return self.left + self.width * (np.asarray(values, np.float64) - low) / ((high - low) or 1.0)

    def at_y(self, values: ArrayLike) -> Array:
        """Points from the top."""
        low, high = np.log10(self.y) if self.log else self.y
        shown = np.log10(values) if self.log else np.asarray(values, np.float64)
        return self.bottom - self.height * (shown - low) / ((high - low) or 1.0)

    # --- what is drawn ---

    def area(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str, opacity: float) -> None:
        """Between two curves over the same places."""
        along, lower, upper = self.at_x(x), self.at_y(low), self.at_y(high)
        path = _path([*zip(along, upper, strict=True), *zip(along[::-1], lower[::-1], strict=True)])
        self.parts.append(f'<path d="{path}Z" style="fill: {colour}; fill-opacity: {opacity:g}"/>')

    def bars(self, edges: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str, gap: float = 0.0) -> None:
        """Bars between N + 1 edges, from N low to N high values; `gap`: the part of each that stays empty."""
        sides, lower, upper = self.at_x(edges), self.at_y(low), self.at_y(high)
        if gap:
            starts, width = sides[:-1] + np.diff(sides) * gap / 2, np.diff(sides) * (1 - gap)
            columns = zip(starts, width, lower, upper, strict=True)
            path = "".join(f"M{_n(s)} {_n(down)}V{_n(up)}h{_n(w)}V{_n(down)}Z" for s, w, down, up in columns)
        else:
            there = "".join(f"V{_n(up)}H{_n(side)}" for up, side in zip(upper, sides[1:], strict=True))
            back = "".join(f"V{_n(down)}H{_n(side)}" for down, side in zip(lower[::-1], sides[-2::-1], strict=True))
            path = f"M{_n(sides[0])} {_n(lower[0])}{there}{back}Z"
        self.parts.append(f'<path d="{path}" style="fill: {colour}; fill-opacity: 0.75"/>')

    def line(
        self, x: ArrayLike, y: ArrayLike, colour: str, width: float = 1.2, dashed: bool = False, opacity: float = 1.0
    ) -> None:
        """A curve, broken where y is not a number."""
        places, heights = self.at_x(x), self.at_y(y)
        pieces = np.split(np.arange(len(heights)), np.flatnonzero(np.isnan(heights)))
        kept = [piece[~np.isnan(heights[piece])] for piece in pieces]
        path = "".join(_path(list(zip(places[piece], heights[piece], strict=True))) for piece in kept if piece.size)
        self.parts.append(stroked(path, colour, width, dashed=dashed, opacity=opacity))

    def steps(self, edges: ArrayLike, y: ArrayLike, colour: str, width: float = 1.1) -> None:
        """A dashed line of steps, N between N + 1 edges."""
        sides, heights = self.at_x(edges), self.at_y(y)
        path = f"M{_n(sides[0])} {_n(heights[0])}H{_n(sides[1])}" + "".join(
            f"V{_n(height)}H{_n(side)}" for height, side in zip(heights[1:], sides[2:], strict=True)
        )
        self.parts.append(stroked(path, colour, width, dashed=True))

    def rods(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str, width: float, opacity: float) -> None:
        """Upright lines; none where an end is not a number."""
        ends = zip(self.at_x(x), self.at_y(low), self.at_y(high), strict=True)
        kept = [(place, one, other) for place, one, other in ends if not np.isnan(one + other)]
        path = "".join(f"M{_n(place)} {_n(one)}V{_n(other)}" for place, one, other in kept)
        self.parts.append(stroked(path, colour, width, opacity=opacity))

    def dots(self, x: ArrayLike, y: ArrayLike, colour: str, size: float, opacity: float = 1.0) -> None:
        """Round dots of that diameter; none where y is not a number."""
        points = [(px, py) for px, py in zip(self.at_x(x), self.at_y(y), strict=True) if not np.isnan(py)]
        for layer in range(LAYERS if opacity < 1.0 else 1):
            some = points[layer::LAYERS] if opacity < 1.0 else points
            path = "".join(f"M{_n(px)} {_n(py)}h0" for px, py in dict.fromkeys(some))
            self.parts.append(stroked(path, colour, size, opacity=opacity, round_ends=True))

    def triangles(self, x: ArrayLike, y: ArrayLike, colour: str) -> None:
        """Triangles that point down."""
        places = zip(self.at_x(x), self.at_y(y), strict=True)
        path = "".join(f"M{_n(px - 3.5)} {_n(py - 3)}h7l-3.5 6Z" for px, py in places)
        self.parts.append(f'<path d="{path}" style="fill: {colour}"/>')

    def crosses(self, x: ArrayLike, y: ArrayLike, colour: str) -> None:
        """Crosses."""
        places = zip(self.at_x(x), self.at_y(y), strict=True)
        path = "".join(f"M{_n(px - 2.5)} {_n(py - 2.5)}l5 5m0 -5l-5 5" for px, py in places)
        self.parts.append(stroked(path, colour, 1.0))

    # --- what is around it ---

    def framed(
        self,
        x: Sequence[float],
        y: Sequence[float],
        names: tuple[str, str],
        *,
        grid: str = "",
        y_labels: Sequence[str] | None = None,
        bare: bool = False,
        size: float = SMALL,
    ) -> list[str]:
        """What was drawn, with the axes' lines, ticks and names around it and the grid below it.

        Args:
            x: ticks.
            y: ticks.
            names: of the axes.
            grid: "xy", "y" or none.
            y_labels: in place of the ticks' values.
            bare: no numbers and no name along x.
            size: of the ticks' letters.
        """
        places, heights = self.at_x(x).tolist(), self.at_y(y).tolist()
        net = [f"M{_n(place)} {_n(self.top)}V{_n(self.bottom)}" for place in places if "x" in grid]
        net += [f"M{_n(self.left)} {_n(height)}H{_n(self.right)}" for height in heights if "y" in grid]
        outline = f"M{_n(self.left)} {_n(self.top)}V{_n(self.bottom)}H{_n(self.right)}"
        outline += "".join(f"M{_n(place)} {_n(self.bottom)}v3" for place in places)
        outline += "".join(f"M{_n(self.left)} {_n(height)}h-3" for height in heights)
        below = [stroked("".join(net), LINE, 0.8, opacity=0.6)] if net else []
        said = labels(y) if y_labels is None else y_labels
        around = [stroked(outline, SOFT, 0.8)]
        around += [
            text(self.left - 5, height, label, size=size, anchor="end")
            for height, label in zip(heights, said, strict=True)
        ]
        if not bare:
            numbers = zip(places, labels(x), strict=True)
            around += [
                text(place, self.bottom + 4 + 0.7 * size, said, size=size, anchor="middle") for place, said in numbers
            ]
            middle = self.left + self.width / 2
            around.append(text(middle, self.bottom + 8 + 1.9 * size, names[0], size=size + 1, anchor="middle"))
        side = self.left - 9 - max((text_width(label, size) for label in said), default=0.0) - size / 2
        middle = self.top + self.height / 2
        around.append(text(max(side, 0.7 * size), middle, names[1], size=size + 1, anchor="middle", turned=True))
        return [*below, *self.parts, *around]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """A coordinate to a tenth of a point."""
    return f"{value:.1f}".removesuffix(".0")
