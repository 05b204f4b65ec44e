"""The curve over depth."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stages.compare.similarity import POOR

__all__ = ["similarity_plot"]

STYLE: Any = {"svg.hashsalt": "socquant", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}


def similarity_plot(rows: Sequence[Mapping[str, Any]], title: str, name_worst: int = 3) -> str:
    """Draw cosine similarity over depth: average as a line, least to greatest as a band, the worst nodes named.

    Args:
        rows: the similarity table, in graph order.
        title: above the plot.
        name_worst: how many nodes to name.

    Returns:
        SVG text, the same for the same rows.
    """
    depth = range(len(rows))
    average = [row["cosine_avg"] for row in rows]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        low, high = [row["cosine_min"] for row in rows], [row["cosine_max"] for row in rows]
        axes.fill_between(depth, low, high, color="#1f6feb", alpha=0.18, linewidth=0, label="least to greatest picture")
        axes.plot(depth, average, color="#1f6feb", linewidth=1.5, marker=".", markersize=4, label="average")
        axes.axhline(POOR, color="#c93c37", linewidth=0.9, linestyle="--", label=f"poor below {POOR}")
        floor = min(*low, POOR - 0.01)
        for index in sorted(depth, key=lambda i: average[i])[:name_worst]:
            axes.annotate(
                rows[index]["node"],
                (index, average[index]),
                xytext=(-6, -10),
                textcoords="offset points",
                ha="right",
                fontsize=7,
                color="#57606a",
                parse_math=False,
            )
        axes.set_ylim(floor - 0.15 * (1.0 - floor), 1.0 + 0.03 * (1.0 - floor))
        axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.set_xlabel("depth (node in graph order)")
        axes.set_ylabel("cosine similarity")
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        axes.grid(visible=True, alpha=0.25)
        axes.legend(loc="lower left", fontsize=8, frameon=False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
