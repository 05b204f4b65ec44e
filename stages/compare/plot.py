"""The report's plots. Every one is SVG text, the same for the same numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stages.compare.chart import Axes, document, stroked, text, text_width, ticks
from stages.compare.similarity import POOR
from stages.core.metrics import SQNR_CAP
from stages.core.statistics import TensorStatistics
from stages.core.svg import BLUE, GREEN, ORANGE, PAPER, RED, SOFT

__all__ = ["bits_plot", "channel_plot", "histogram_plot", "pair_plot", "similarity_plot"]

WIDE, NARROW = 691.0, 302.0  # points: for a screen, for a phone
LEFT, RIGHT, FOOT = 46.0, 6.0, 34.0  # margins of a plot over depth
KEY_LINE = 13.0  # a legend's line
PANEL = (238.0, 180.0)
PANEL_BOX = (56.0, 6.0, 176.0, 136.0)  # of the axes in a panel
NAME_LINE = 0.065  # of the axes' height: a line with a name
DRAWN_BINS, DRAWN_CHANNELS = 120, 240
GAPS = 100  # bars up to so many have gaps between them
DEPTH = "depth (node in graph order)"

Row = Mapping[str, Any]
Entry = tuple[str, str, str]
"""Of a legend: a mark (line, dashed, band, dot, triangle, cross), its colour, and what it means."""


def similarity_plot(
    rows: Sequence[Row], title: str, named: Sequence[str] = (), marked: Sequence[str] = (), narrow: bool = False
) -> str:
    """Draw cosine similarity over depth: average as a line, least to greatest picture as a band, some nodes named.

    Below it, where the rows tell, the SQNR of each layer alone beside that of the network up to it: a layer that is low
    alone adds error, one that is low only in the network inherits it.

    Args:
        rows: the similarity table, in graph order.
        title: above the plot; may be empty.
        named: nodes to name.
        marked: nodes that findings are about.
        narrow: for a phone.
    """
    sources = bool(rows) and "isolated_sqnr" in rows[0]
    width, height = NARROW if narrow else WIDE, 403.0 if sources else 245.0
    parts = [text(7, 12, title, size=10)] if title else []
    top = 24.0 if title else 4.0
    whole = height - top - FOOT
    first = whole * 0.6 if sources else whole
    parts += _cosines((top, first), width, rows, named, marked, narrow, bare=sources)
    if sources:
        parts += _noise((top + first + 8, whole - first - 8), width, rows, narrow)
    return document(width, height, parts)


def _cosines(
    place: tuple[float, float],
    width: float,
    rows: Sequence[Row],
    named: Sequence[str],
    marked: Sequence[str],
    narrow: bool,
    bare: bool,
) -> list[str]:
    average, low, high = (np.array([row[f"cosine_{key}"] for row in rows]) for key in ("avg", "min", "max"))
    entries = [("band", BLUE, "least to greatest picture"), ("line", BLUE, "average")]
    entries.append(("dashed", RED, f"poor below {POOR}"))
    depth, places = np.arange(len(rows)), [index for index, row in enumerate(rows) if row["node"] in marked]
    entries += [("triangle", ORANGE, "named by a finding")] if places else []
    chosen = [index for index, row in enumerate(rows) if row["node"] in named]
    floor = float(min(*low, POOR - 0.01))
    span = (1.0 - floor) / (1.0 - NAME_LINE * (len(chosen) + 0.6))  # the names stand below the curve
    legend, axes = _over_depth(place, width, len(rows), (1.0 - span, 1.0 + 0.03 * span), entries, narrow)
    if len(rows) > 1:
        axes.area(depth, low, high, BLUE, 0.18)
    axes.line([-0.5, len(rows) - 0.5], [POOR, POOR], RED, 0.9, dashed=True)
    names = _names(axes, rows, average, chosen, floor, span)
    axes.line(depth, average, BLUE, 1.4)
    axes.dots(depth, average, BLUE, 3.2)
    axes.triangles(places, average[places], ORANGE)
    axes.parts += names
    heights = [tick for tick in ticks(floor, 1.0, 7) if floor <= tick < 1.0 + 1e-9]
    return legend + axes.framed(_depths(len(rows), narrow), heights, (DEPTH, "cosine similarity"), grid="xy", bare=bare)


def _names(
    axes: Axes, rows: Sequence[Row], values: NDArray[np.float64], chosen: Sequence[int], floor: float, span: float
) -> list[str]:
    """Write each name in a line of its own, below the curve, at the foot of a thin line from its point.

    Names in the left half run to the right, the last of them highest; those in the right half run to the left, the
    first highest: so no such line crosses a name of its own half.
    """
    middle = len(rows) / 2
    left, right = [i for i in chosen if i < middle], [i for i in chosen if i >= middle]
    written = []
    for line, index in enumerate([*reversed(left), *right]):
        foot, before = floor - span * NAME_LINE * (line + 0.8), index < middle
        axes.rods([index], [foot], [values[index]], SOFT, 0.7, 1.0)
        x, y, said = float(axes.at_x(index)), float(axes.at_y(foot)), rows[index]["node"]
        width = text_width(said, 7.5) * 0.9
        start = x + 2 if before else x - 2 - width
        written.append(
            f'<rect x="{start:.1f}" y="{y - 4.5:.1f}" width="{width:.1f}" height="9" style="fill: {PAPER}"/>'
        )
        written.append(text(x + 3 if before else x - 3, y, said, size=7.5, anchor="start" if before else "end"))
    return written


def _noise(place: tuple[float, float], width: float, rows: Sequence[Row], narrow: bool) -> list[str]:
    depth = np.arange(len(rows))
    cumulative, alone = (
        np.array([row[key] if abs(row[key]) < SQNR_CAP else np.nan for row in rows])
        for key in ("sqnr", "isolated_sqnr")
    )
    entries = [("line", BLUE, "all layers up to here quantized"), ("dot", GREEN, "this layer alone quantized")]
    known = np.concatenate([cumulative, alone])
    known = known[~np.isnan(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    legend, axes = _over_depth(place, width, len(rows), (low - margin, high + margin), entries, narrow)
    axes.rods(depth, cumulative, alone, SOFT, 0.6, 0.6)
    axes.line(depth, cumulative, BLUE, 1.4)
    axes.dots(depth, alone, GREEN, 3.6)
    return legend + axes.framed(
        _depths(len(rows), narrow), ticks(low - margin, high + margin, 6), (DEPTH, "SQNR in dB"), grid="xy"
    )


def bits_plot(
    features: Sequence[int | None], weights: Sequence[int | None], in_float: Sequence[bool], narrow: bool = False
) -> str:
    """Draw the widths over depth, features above weights.

    Args:
        features: bits of what each node makes, in graph order; None where it has no codes.
        weights: bits of each node's weight; None where it has none.
        in_float: which nodes run in float.
        narrow: for a phone.
    """
    width, height, count = NARROW if narrow else WIDE, 216.0, len(features)
    places = np.flatnonzero(np.array(in_float))
    parts, top = list[str](), 4.0
    for bits, colour, name in ((features, BLUE, "feature bits"), (weights, GREEN, "weight bits")):
        last = bits is weights
        heights = np.array([wide or 0 for wide in bits], np.float64)
        levels = sorted({float(wide) for wide in heights if wide}) or [8.0]
        most = max(8.0, *levels)
        entries = [("cross", ORANGE, "in float")] if places.size and not last else []
        tall = (height - FOOT - 16.0) / 2 + (KEY_LINE if entries else 0.0) / 2 * (-1 if last else 1)
        legend, axes = _over_depth((top, tall), width, count, (0.0, most * 1.1), entries, narrow)
        shown = np.flatnonzero(heights)
        edges = np.stack([shown - 0.4, shown + 0.4], 1)
        for index, (start, stop) in zip(shown, edges, strict=True):
            axes.bars([start, stop], [0.0], [heights[index]], colour)
        axes.crosses(places, np.full(len(places), most * 0.12), ORANGE)
        parts += legend + axes.framed(_depths(count, narrow), levels, (DEPTH, name), grid="y", bare=not last)
        top += tall + 12.0
    return document(width, height, parts)


def histogram_plot(statistics: TensorStatistics, low: float | None, high: float | None) -> str:
    """Draw a tensor's histogram, the counts on a logarithmic axis, and the range of its codes.

    Args:
        statistics: of the float tensor.
        low: smallest value that a code stands for, None for a tensor without codes.
        high: largest.
    """
    used = np.flatnonzero(statistics.histogram)
    first, stop = int(used[0]), int(used[-1]) + 1
    merged = -(-(stop - first) // DRAWN_BINS)
    edges = np.arange(first, stop + merged, merged)
    counts = np.add.reduceat(statistics.histogram[first:stop], edges[:-1] - first)
    sides = (statistics.first + edges) * statistics.width
    shown = [*sides[[0, -1]], *(limit for limit in (low, high) if limit is not None)]
    most = float(counts.max())
    axes = Axes(PANEL_BOX, _with_margin(min(shown), max(shown), 0.04), (0.7, 2.0 * most), log=True)
    axes.bars(sides, np.full(len(counts), 0.7), np.maximum(counts, 0.7), BLUE)
    for limit in (low, high):
        if limit is not None:
            axes.line([limit, limit], [0.7, 2.0 * most], RED, 1.1, dashed=True)
    decades = np.arange(int(np.log10(most)) + 1)[:: 1 + int(np.log10(most)) // 6]
    return document(
        *PANEL,
        axes.framed(
            ticks(*axes.x, 5),
            [10.0**decade for decade in decades],
            ("value of the float tensor", "values per bin"),
            y_labels=[f"1e{decade}" for decade in decades],
            size=9,
        ),
    )


def pair_plot(reference: NDArray[np.float32], quantized: NDArray[np.float32]) -> str:
    """Draw float against quantized values, and the diagonal on which equal ones lie."""
    low = float(min(reference.min(), quantized.min()))
    high = float(max(reference.max(), quantized.max()))
    span = _with_margin(low, high, 0.03)
    axes = Axes(PANEL_BOX, span, span)
    axes.line(span, span, RED, 0.9)
    axes.dots(reference, quantized, BLUE, 2.2, 0.35)
    return document(*PANEL, axes.framed(ticks(*span, 6), ticks(*span, 6), ("float value", "quantized value"), size=9))


def channel_plot(low: ArrayLike, high: ArrayLike, code_low: ArrayLike, code_high: ArrayLike, what: str) -> str:
    """Draw the range of each channel as a bar, the widest first, and how far codes reach.

    Of more channels than can be told apart, neighbours share a bar, from the least to the greatest of them.

    Args:
        low: [C], smallest value of each channel.
        high: [C], largest.
        code_low: [C] or [1], smallest value that a code stands for; empty: none is drawn.
        code_high: likewise the largest.
        what: has these ranges, for the axis.
    """
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    order = np.argsort(low - high, kind="stable")
    count = len(order)
    starts = np.arange(0, count, -(-count // DRAWN_CHANNELS))
    edges = np.append(starts, count) - 0.5
    low, high = np.minimum.reduceat(low[order], starts), np.maximum.reduceat(high[order], starts)
    reaches = []
    for limit, extreme in ((np.atleast_1d(code_low), np.minimum), (np.atleast_1d(code_high), np.maximum)):
        if limit.size:
            reaches.append(extreme.reduceat(np.broadcast_to(limit, count)[order], starts))
    ends = [*low, *high, *(value for reach in reaches for value in reach)]
    axes = Axes(PANEL_BOX, (-0.5, count - 0.5), _with_margin(min(ends), max(ends), 0.05))
    axes.bars(edges, low, high, BLUE, gap=0.24 if count <= GAPS else 0.0)
    for reach in reaches:
        axes.steps(edges, reach, RED)
    names = ("channel, widest first", f"range of the {what}")
    return document(*PANEL, axes.framed(ticks(0, count - 1, 5, whole=True), ticks(*axes.y, 6), names, size=9))


def _with_margin(low: float, high: float, part: float) -> tuple[float, float]:
    margin = part * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _over_depth(
    place: tuple[float, float],
    width: float,
    count: int,
    span: tuple[float, float],
    entries: Sequence[Entry],
    narrow: bool,
) -> tuple[list[str], Axes]:
    """Axes over depth, and their legend above them; `place`: their top and their height with the legend."""
    top, height = place
    lines = _lines(entries, width - LEFT - RIGHT, 7 if narrow else 8)
    above = KEY_LINE * len(lines) + (4.0 if lines else 0.0)
    axes = Axes((LEFT, top + above, width - LEFT - RIGHT, height - above), (-0.5, count - 0.5), span)
    legend = []
    for number, line in enumerate(lines):
        y = top + KEY_LINE * (number + 0.5)
        for left, (mark, colour, said) in line:
            legend += [_mark(mark, LEFT + left, y, colour), text(LEFT + left + 24, y, said, size=7 if narrow else 8)]
    return legend, axes


def _lines(entries: Sequence[Entry], width: float, size: float) -> list[list[tuple[float, Entry]]]:
    """Break a legend into lines that fit; each entry with its distance from the left."""
    lines: list[list[tuple[float, Entry]]] = []
    end = width
    for entry in entries:
        needed = 24 + text_width(entry[2], size) + 8
        if end + needed > width:
            lines.append([])
            end = 0.0
        lines[-1].append((end, entry))
        end += needed
    return lines


def _mark(mark: str, x: float, y: float, colour: str) -> str:
    """What a legend shows before the words, 20 points wide."""
    match mark:
        case "band":
            return (
                f'<rect x="{x:.1f}" y="{y - 3:.1f}" width="18" height="6" style="fill: {colour}; fill-opacity: 0.18"/>'
            )
        case "dot":
            return stroked(f"M{x + 9:.1f} {y:.1f}h0", colour, 3.6, round_ends=True)
        case "triangle":
            return f'<path d="M{x + 5.5:.1f} {y - 3:.1f}h7l-3.5 6Z" style="fill: {colour}"/>'
        case "cross":
            return stroked(f"M{x + 6.5:.1f} {y - 2.5:.1f}l5 5m0 -5l-5 5", colour, 1.0)
        case _:
            return stroked(f"M{x:.1f} {y:.1f}h18", colour, 1.4 if mark == "line" else 0.9, dashed=mark == "dashed")


def _depths(count: int, narrow: bool) -> list[float]:
    return ticks(0.0, count - 1.0, 6 if narrow else 10, whole=True)
