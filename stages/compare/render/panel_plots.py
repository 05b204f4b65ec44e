"""Plots of one tensor, side by side on the page: SVG text, the same for the same numbers."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from stages.compare.render.plot_bars import draw_bars
from stages.core.render.page import BLUE, RED
from stages.core.render.svg import style, svg_text
from stages.core.statistics.tensor_statistics import TensorStatistics

__all__ = ["channel_plot", "histogram_plot", "pair_plot"]

PANEL_INCHES = (3.3, 2.5)
AXES_FRAME = (0.25, 0.2, 0.72, 0.77)
"""Of a panel, in its parts: fixed, since fitting it to its labels takes longer than drawing it."""
MAX_TICKS = 4  # along an axis: ticks are most of what a panel costs
DRAWN_BINS = 120


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
        figure = Figure(figsize=PANEL_INCHES)
        axes = figure.add_axes(AXES_FRAME)
        axes.stairs(counts, (statistics.first + edges) * statistics.width, fill=True, color=BLUE, alpha=0.75)
        if low is not None and high is not None:
            for value in (low, high):
                axes.axvline(value, color=RED, linewidth=1.1, linestyle="--")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda count, _: f"1e{np.log10(count):.0f}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS))
        axes.set_ylim(bottom=0.7)
        axes.set_xlabel("value of the float tensor")
        axes.set_ylabel("values per bin")
        return svg_text(figure)


def pair_plot(reference: NDArray[np.float32], quantized: NDArray[np.float32]) -> str:
    """Draw float against quantized values, as far as these are finite, and the diagonal on which equal ones lie."""
    finite = quantized[np.isfinite(quantized)]
    low = float(min(reference.min(), finite.min(initial=np.inf)))
    high = float(max(reference.max(), finite.max(initial=-np.inf)))
    with style():
        figure = Figure(figsize=PANEL_INCHES)
        axes = figure.add_axes(AXES_FRAME)
        axes.axline((low, low), slope=1.0, color=RED, linewidth=0.9)
        axes.plot(
            reference, quantized, linestyle="none", marker="o", markersize=2.2, markeredgewidth=0, color=BLUE,
            alpha=0.35, rasterized=True,
        )  # fmt: skip
        margin = 0.03 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.locator_params(nbins=MAX_TICKS)
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
        figure = Figure(figsize=PANEL_INCHES)
        axes = figure.add_axes(AXES_FRAME)
        draw_bars(axes, depth, low[order], high[order], BLUE)
        for limit in (np.atleast_1d(code_low), np.atleast_1d(code_high)):
            if limit.size:
                reach = np.broadcast_to(limit, len(order))[order]
                steps = np.concatenate([depth - 0.5, [len(order) - 0.5]])
                axes.stairs(reach, steps, baseline=None, color=RED, linewidth=1.1, linestyle="--", rasterized=True)
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(MAX_TICKS))
        axes.set_xlabel("channel, widest first")
        axes.set_ylabel(f"range of the {what}")
        return svg_text(figure)
