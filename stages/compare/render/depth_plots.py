"""Plots over a network's depth: SVG text, the same for the same numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import POOR
from stages.compare.render.plot_bars import draw_bars
from stages.core.render.page import BLUE, GREEN, INK, ORANGE, PAPER, RED, SOFT
from stages.core.render.svg import style, svg_text
from stages.core.statistics.metrics import SQNR_CAP

__all__ = ["bits_plot", "similarity_plot"]

SCREEN_INCHES, PHONE_INCHES = 9.6, 4.2
LEFT_INCHES, RIGHT_INCHES, BOTTOM_INCHES = 0.68, 0.1, 0.5
"""Around the axes: fixed, since fitting them to their labels takes longer than drawing them."""
LINE_INCHES = 0.19  # height of a line of a legend or a title above them
NAME_HEIGHT = 0.065  # of the axes' height for the line of a name
DEPTH_LABEL = "depth (node in graph order)"


def similarity_plot(
    rows: Sequence[Row], title: str, named: Sequence[str] = (), marked: Sequence[str] = (), narrow: bool = False
) -> str:
    """Draw cosine similarity over depth: average as a line, least to greatest sample as a band, some nodes named.

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
        figure = Figure(figsize=(PHONE_INCHES if narrow else SCREEN_INCHES, 5.6 if sources else 3.4))
        legend = 2 if narrow else 1
        panels = _over_depth(figure, [3, 2][: 1 + sources], legend + 1.5 * bool(title), legend + 0.5)
        _cosines(panels[0], rows, named, marked, narrow)
        if sources:
            _noise(panels[1], rows, narrow)
        panels[-1].set_xlabel(DEPTH_LABEL)
        panels[-1].set_xlim(-0.5, len(rows) - 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10, parse_math=False)
        return svg_text(figure)


def _cosines(axes: Axes, rows: Sequence[Row], named: Sequence[str], marked: Sequence[str], narrow: bool) -> None:
    depth = np.arange(len(rows))
    average, low, high = (np.array([row[f"cosine_{key}"] for row in rows]) for key in ("avg", "min", "max"))
    axes.fill_between(depth, low, high, color=BLUE, alpha=0.18, linewidth=0, label="min to max over the samples")
    axes.plot(depth, average, color=BLUE, linewidth=1.4, marker=".", markersize=4, label="average")
    axes.axhline(POOR, color=RED, linewidth=0.9, linestyle="--", label=f"poor below {POOR}")
    guilty = [index for index, row in enumerate(rows) if row["node"] in marked]
    if guilty:
        axes.plot(guilty, average[guilty], "v", color=ORANGE, markersize=7, label="named by a finding", zorder=5)
    chosen = [index for index, row in enumerate(rows) if row["node"] in named]
    floor = min(*low, POOR - 0.01)
    span = (1.0 - floor) / (1.0 - NAME_HEIGHT * (len(chosen) + 0.6))  # the names stand below the curve
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
        foot = floor - span * NAME_HEIGHT * (line + 0.8)
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
    """Draw the bit widths over depth, features above weights.

    Args:
        features: bits of each node's output, in graph order; None where it has no codes.
        weights: bits of each node's weight; None where it has none.
        in_float: which nodes run in float.
        narrow: for a phone.
    """
    depth = np.arange(len(features))
    with style():
        figure = Figure(figsize=(PHONE_INCHES if narrow else SCREEN_INCHES, 2.6))
        panels = _over_depth(figure, [1, 1], int(any(in_float)), 0.5)
        for axes, bits, colour, name in zip(
            panels, (features, weights), (BLUE, GREEN), ("feature bits", "weight bits"), strict=True
        ):
            heights = np.array([width or 0 for width in bits])
            levels = sorted({int(width) for width in heights if width})
            draw_bars(axes, depth, np.zeros(len(depth)), heights, colour)
            top = max(8, *levels) if levels else 8
            if any(in_float):
                crosses = depth[np.array(in_float)]
                axes.plot(crosses, np.full(len(crosses), top * 0.12), "x", color=ORANGE, markersize=5, label="in float")
            axes.set_ylim(0, top * 1.1)
            axes.set_yticks(levels or [8])
            axes.set_ylabel(name)
            axes.grid(visible=True, axis="y", alpha=0.6)
        if any(in_float):
            _legend(panels[0], 1, narrow)
        panels[-1].set_xlabel(DEPTH_LABEL)
        panels[-1].set_xlim(-0.5, len(depth) - 0.5)
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        return svg_text(figure)


def _over_depth(figure: Figure, heights: Sequence[int], above: float, between: float) -> list[Axes]:
    """Panels one below the other, of relative heights, with so many lines of text above and between them."""
    width, height = figure.get_size_inches()
    between *= LINE_INCHES
    inside = height - BOTTOM_INCHES - (above + 0.5) * LINE_INCHES
    mean = (inside - between * (len(heights) - 1)) / len(heights)
    return list(
        figure.subplots(
            len(heights), sharex=True, squeeze=False,
            gridspec_kw={
                "height_ratios": heights, "left": LEFT_INCHES / width, "right": 1 - RIGHT_INCHES / width,
                "bottom": BOTTOM_INCHES / height, "top": (BOTTOM_INCHES + inside) / height, "hspace": between / mean,
            },
        )[:, 0]
    )  # fmt: skip


def _legend(axes: Axes, columns: int, narrow: bool) -> None:
    """Above the axes, where no curve is."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2, columnspacing=1.0,
        fontsize=7 if narrow else 8, handlelength=1.2 if narrow else 2.0,
    )  # fmt: skip
