"""The report's plots. Every one is SVG text, the same for the same numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from stages.compare.similarity import POOR
from stages.core.render.page import BLUE, GREEN, INK, ORANGE, PAPER, RED, SOFT
from stages.core.render.svg import style, svg_text
from stages.core.statistics.metrics import SQNR_CAP
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["bits_plot", "channel_plot", "histogram_plot", "pair_plot", "similarity_plot"]

WIDE, NARROW = 9.6, 4.2  # inches: for a screen, for a phone
PANEL = (3.3, 2.5)
FRAME = (0.25, 0.2, 0.72, 0.77)  # of a panel: fixed, since fitting it to its labels takes longer than drawing it
LEFT, RIGHT, BOTTOM = 0.68, 0.1, 0.5  # inches around the axes of a plot over depth, fixed for the same reason
LINE = 0.19  # inches: a line of a legend or a title above them
PANEL_TICKS = 4  # at most, along an axis: ticks are most of what a panel costs
ROOM = 0.065  # of the axes' height for the line of a name
DRAWN_BINS = 120
DEPTH = "depth (node in graph order)"

Row = Mapping[str, Any]


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
    with style():
        figure = Figure(figsize=(NARROW if narrow else WIDE, 5.6 if sources else 3.4))
        legend = 2 if narrow else 1
        panels = _over_depth(figure, [3, 2][: 1 + sources], legend + 1.5 * bool(title), legend + 0.5)
        _cosines(panels[0], rows, named, marked, narrow)
        if sources:
            _noise(panels[1], rows, narrow)
        panels[-1].set_xlabel(DEPTH)
        panels[-1].set_xlim(-0.5, len(rows) - 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False)
        return svg_text(figure)


def _cosines(axes: Axes, rows: Sequence[Row], named: Sequence[str], marked: Sequence[str], narrow: bool) -> None:
    depth = np.arange(len(rows))
    average, low, high = (np.array([row[f"cosine_{key}"] for row in rows]) for key in ("avg", "min", "max"))
    axes.fill_between(depth, low, high, color=BLUE, alpha=0.18, linewidth=0, label="least to greatest picture")
    axes.plot(depth, average, color=BLUE, linewidth=1.4, marker=".", markersize=4, label="average")
    axes.axhline(POOR, color=RED, linewidth=0.9, linestyle="--", label=f"poor below {POOR}")
    places = [index for index, row in enumerate(rows) if row["node"] in marked]
    if places:
        axes.plot(places, average[places], "v", color=ORANGE, markersize=7, label="named by a finding", zorder=5)
    chosen = [index for index, row in enumerate(rows) if row["node"] in named]
    floor = min(*low, POOR - 0.01)
    span = (1.0 - floor) / (1.0 - ROOM * (len(chosen) + 0.6))  # the names stand below the curve
    axes.set_ylim(1.0 - span, 1.0 + 0.03 * span)
    axes.set_yticks(
        [tick for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(floor, 1.0) if floor <= tick < 1.0 + 1e-9]
    )
    _names(axes, rows, average, chosen, floor, span)
    axes.set_ylabel("cosine similarity")
    axes.grid(visible=True, alpha=0.6)
    _legend(axes, 2 if narrow else 4, narrow)


def _names(
    axes: Axes, rows: Sequence[Row], values: NDArray[np.float64], chosen: Sequence[int], floor: float, span: float
) -> None:
    """Write each name in a line of its own, below the curve, at the foot of a thin line from its point.

    Names in the left half run to the right, the last of them highest; those in the right half run to the left, the
    first highest: so no such line crosses a name of its own half.
    """
    middle = len(rows) / 2
    left, right = [i for i in chosen if i < middle], [i for i in chosen if i >= middle]
    for line, index in enumerate([*reversed(left), *right]):
        foot = floor - span * ROOM * (line + 0.8)
        axes.plot([index, index], [foot, values[index]], color=SOFT, linewidth=0.7, zorder=1)
        axes.annotate(
            rows[index]["node"], (index, foot), xytext=(3 if index < middle else -3, 0), textcoords="offset points",
            ha="left" if index < middle else "right", va="center", fontsize=7.5, color=INK, parse_math=False,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}, zorder=4,
        )  # fmt: skip


def _noise(axes: Axes, rows: Sequence[Row], narrow: bool) -> None:
    depth = np.arange(len(rows))
    cumulative, alone = (
        np.array([row[key] if abs(row[key]) < SQNR_CAP else np.nan for row in rows])
        for key in ("sqnr", "isolated_sqnr")
    )
    axes.vlines(depth, cumulative, alone, color=SOFT, linewidth=0.6, alpha=0.6)
    axes.plot(depth, cumulative, color=BLUE, linewidth=1.4, label="all layers up to here quantized")
    axes.plot(depth, alone, color=GREEN, linestyle="none", marker="o", markersize=3, label="this layer alone quantized")
    axes.set_ylabel("SQNR in dB")
    axes.grid(visible=True, alpha=0.6)
    _legend(axes, 1 if narrow else 2, narrow)


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
    depth = np.arange(len(features))
    with style():
        figure = Figure(figsize=(NARROW if narrow else WIDE, 2.6))
        panels = _over_depth(figure, [1, 1], int(any(in_float)), 0.5)
        for axes, bits, colour, name in zip(
            panels, (features, weights), (BLUE, GREEN), ("feature bits", "weight bits"), strict=True
        ):
            heights = np.array([width or 0 for width in bits])
            levels = sorted({int(width) for width in heights if width})
            _bars(axes, depth, np.zeros(len(depth)), heights, colour)
            top = max(8, *levels) if levels else 8
            if any(in_float):
                places = depth[np.array(in_float)]
                axes.plot(places, np.full(len(places), top * 0.12), "x", color=ORANGE, markersize=5, label="in float")
            axes.set_ylim(0, top * 1.1)
            axes.set_yticks(levels or [8])
            axes.set_ylabel(name)
            axes.grid(visible=True, axis="y", alpha=0.6)
        if any(in_float):
            _legend(panels[0], 1, narrow)
        panels[-1].set_xlabel(DEPTH)
        panels[-1].set_xlim(-0.5, len(depth) - 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return svg_text(figure)


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
    with style():
        figure = Figure(figsize=PANEL)
        axes = figure.add_axes(FRAME)
        axes.stairs(counts, (statistics.first + edges) * statistics.width, fill=True, color=BLUE, alpha=0.75)
        if low is not None and high is not None:
            for value in (low, high):
                axes.axvline(value, color=RED, linewidth=1.1, linestyle="--")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda count, _: f"1e{np.log10(count):.0f}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(PANEL_TICKS))
        axes.set_ylim(bottom=0.7)
        axes.set_xlabel("value of the float tensor")
        axes.set_ylabel("values per bin")
        return svg_text(figure)


def pair_plot(reference: NDArray[np.float32], quantized: NDArray[np.float32]) -> str:
    """Draw float against quantized values, and the diagonal on which equal ones lie."""
    low = float(min(reference.min(), quantized.min()))
    high = float(max(reference.max(), quantized.max()))
    with style():
        figure = Figure(figsize=PANEL)
        axes = figure.add_axes(FRAME)
        axes.axline((low, low), slope=1.0, color=RED, linewidth=0.9)
        axes.plot(
            reference, quantized, linestyle="none", marker="o", markersize=2.2, markeredgewidth=0, color=BLUE,
            alpha=0.35, rasterized=True,
        )  # fmt: skip
        margin = 0.03 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.locator_params(nbins=PANEL_TICKS)
        axes.set_xlabel("float value")
        axes.set_ylabel("quantized value")
        return svg_text(figure)


def channel_plot(low: ArrayLike, high: ArrayLike, code_low: ArrayLike, code_high: ArrayLike, what: str) -> str:
    """Draw the range of each channel as a bar, the widest first, and how far codes reach.

    Args:
        low: [C], smallest value of each channel.
        high: [C], largest.
        code_low: [C] or [1], smallest value that a code stands for; empty: none is drawn.
        code_high: likewise the largest.
        what: has these ranges, for the axis.
    """
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    order = np.argsort(low - high, kind="stable")
    depth = np.arange(len(order))
    with style():
        figure = Figure(figsize=PANEL)
        axes = figure.add_axes(FRAME)
        _bars(axes, depth, low[order], high[order], BLUE)
        for limit in (np.atleast_1d(code_low), np.atleast_1d(code_high)):
            if limit.size:
                reach = np.broadcast_to(limit, len(order))[order]
                steps = np.concatenate([depth - 0.5, [len(order) - 0.5]])
                axes.stairs(reach, steps, baseline=None, color=RED, linewidth=1.1, linestyle="--", rasterized=True)
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(PANEL_TICKS, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(PANEL_TICKS))
        axes.set_xlabel("channel, widest first")
        axes.set_ylabel(f"range of the {what}")
        return svg_text(figure)


def _over_depth(figure: Figure, heights: Sequence[int], above: float, between: float) -> list[Axes]:
    """Panels one below the other, of relative heights, with so many lines of text above and between them."""
    width, height = figure.get_size_inches()
    between *= LINE
    inside = height - BOTTOM - (above + 0.5) * LINE
    mean = (inside - between * (len(heights) - 1)) / len(heights)
    return list(
        figure.subplots(
            len(heights), sharex=True, squeeze=False,
            gridspec_kw={
                "height_ratios": heights, "left": LEFT / width, "right": 1 - RIGHT / width,
                "bottom": BOTTOM / height, "top": (BOTTOM + inside) / height, "hspace": between / mean,
            },
        )[:, 0]
    )  # fmt: skip


def _legend(axes: Axes, columns: int, narrow: bool) -> None:
    """Above the axes, where no curve is."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2, columnspacing=1.0,
        fontsize=7 if narrow else 8, handlelength=1.2 if narrow else 2.0,
    )  # fmt: skip


def _bars(axes: Axes, places: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
    """Bars as one path, with gaps while there is room for them; as pixels, since there may be thousands."""
    places, low, high = np.asarray(places), np.asarray(low), np.asarray(high)
    half = 0.38 if len(places) <= 100 else 0.5
    corners = np.stack([places - half, places - half, places + half, places + half], 1).reshape(-1)
    tops = np.stack([low, high, high, low], 1).reshape(-1)
    axes.fill_between(corners, np.repeat(low, 4), tops, color=colour, alpha=0.75, linewidth=0, rasterized=True)
