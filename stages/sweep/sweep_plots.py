"""A sweep when it is over, as plots: metric against cost, and parallel coordinates of all that was tried."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stages.core.base.artifacts import write_text
from stages.sweep.network_cost import COST_UNITS
from stages.sweep.ranking import Ranking, is_share
from stages.sweep.sweep_report import setting_headings, setting_texts, shown_metrics
from stages.sweep.sweep_state import PointResult

__all__ = ["draw", "interactive"]

PLOT_STYLE: Any = {"svg.hashsalt": "socquant", "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif"}
COLOUR_MAP = "viridis"
TOP_MARGIN = 0.04  # of the axis, above a share of 1


def draw(ranking: Ranking, files: Sequence[Path]) -> None:
    """Write the summary's plots: above metric against cost, below parallel coordinates. A point must have succeeded.

    Args:
        ranking: the points.
        files: .png or .svg.
    """
    with mpl.rc_context(PLOT_STYLE):
        figure = Figure(figsize=(12, 9.5), layout="constrained")
        above, below = figure.subplots(2, 1)
        _front(above, ranking)
        _coordinates(below, ranking)
        for file in files:
            metadata = {"Date": None, "Creator": None} if file.suffix == ".svg" else {"Software": None}
            figure.savefig(file, dpi=110, metadata=metadata)


def interactive(ranking: Ranking, file: Path) -> None:
    """Write parallel coordinates as a page: axes can be moved, and ranges on them chosen. Needs plotly, no network."""
    from plotly import graph_objects  # noqa: PLC0415 - an extra, and slow to import

    dimensions = []
    for axis in _axes(ranking):
        named: dict[str, Any] = {"tickvals": list(range(len(axis.names))), "ticktext": axis.names} if axis.names else {}
        dimensions.append({"label": axis.heading, "values": axis.values, **named})
    colours = {
        "color": [point.value for point in ranking.ranked],
        "colorscale": COLOUR_MAP.title(),
        "showscale": True,
    }
    figure = graph_objects.Figure(graph_objects.Parcoords(dimensions=dimensions, line=colours))
    figure.update_layout(title=f"colour: {ranking.metric}", margin={"l": 110, "r": 80, "t": 110, "b": 40})
    write_text(file, figure.to_html(include_plotlyjs=True, div_id="points"))


@dataclass(frozen=True)
class _Axis:
    """A coordinate.

    Attributes:
        heading: above it.
        values: of the points on it.
        names: of the values 0, 1, ...; empty where they are numbers that speak for themselves.
    """

    heading: str
    values: list[float]
    names: list[str]

    def height(self, value: float) -> float:
        """Where a value lies, 0 at the bottom to 1 at the top."""
        low, high = self._ends()
        return (value - low) / (high - low)

    def ticks(self) -> dict[float, str]:
        """Values on the axis and what to write at them; one value is written once."""
        if self.names:
            return {float(value): name for value, name in enumerate(self.names)}
        low, high = self._ends()
        alone = min(self.values) == max(self.values)
        return {value: f"{value:.4g}" for value in ((low + high) / 2, *(() if alone else (low, high)))}

    def _ends(self) -> tuple[float, float]:
        """The least and the greatest value; one value lies in the middle."""
        low, high = min(self.values), max(self.values)
        return (low, high) if high > low else (low - 0.5, low + 0.5)


def _axes(ranking: Ranking) -> list[_Axis]:
    """What was set, what came of it, what it costs."""
    points, axes = ranking.ranked, []
    for index, heading in enumerate(setting_headings(ranking.sweep)):
        texts = [setting_texts(point, ranking.sweep)[index] for point in points]
        names = sorted(set(texts), key=_natural)
        axes.append(_Axis(heading, [float(names.index(text)) for text in texts], names))
    for key in shown_metrics(ranking):
        axes.append(_Axis(key, [point.metrics[key] for point in points], []))
    for key, (unit, by) in COST_UNITS.items():
        axes.append(_Axis(unit, [point.metrics[f"cost.{key}"] / by for point in points], []))
    return axes


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers by size, before texts by letter."""
    try:
        return (False, float(text), "")
    except ValueError:
        return (True, 0.0, text)


def _front(axes: Axes, ranking: Ranking) -> None:
    """Metric against cost, the Pareto front joined and named."""
    unit, by = COST_UNITS[ranking.sweep.cost]
    name, front = ranking.metric, ranking.pareto

    def at(points: Sequence[PointResult]) -> tuple[list[float], list[float]]:
        return [ranking.cost(point) / by for point in points], [point.metrics[name] for point in points]

    axes.plot(*at(ranking.ranked), "o", color="#9aa4ad", markersize=6, label="points")
    axes.plot(*at(front), "o-", color="#1f6feb", markersize=8, label="Pareto front: none is better for as little")
    for point, x, y in zip(front, *at(front), strict=True):
        text = " / ".join(setting_texts(point, ranking.sweep))
        axes.annotate(text, (x, y), xytext=(7, -13), textcoords="offset points", fontsize=9, parse_math=False)
    axes.set_xlabel(unit)
    axes.set_ylabel(name)
    names = " / ".join(setting_headings(ranking.sweep))
    axes.set_title(f"{name} against {unit} (names: {names})", loc="left", parse_math=False)
    axes.margins(0.12)
    if is_share(name):
        low, high = axes.get_ylim()
        axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= min(high, 1.0)])
        axes.set_ylim(low, min(high, 1.0 + TOP_MARGIN * (1.0 - low)))  # a point at 1 is not cut
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="lower right", frameon=False)


def _coordinates(axes: Axes, ranking: Ranking) -> None:
    """A line a point, over axes of their own scale from bottom to top, coloured by the metric."""
    coordinates = _axes(ranking)
    heights = np.array([[axis.height(value) for value in axis.values] for axis in coordinates])
    values = [point.value or 0.0 for point in ranking.ranked]
    middle = (min(values) + max(values)) / 2
    colours = ScalarMappable(
        Normalize(*(min(values), max(values)) if max(values) > min(values) else (middle - 1, middle)), COLOUR_MAP
    )
    for column, value in reversed(list(zip(heights.T, values, strict=True))):  # the best on top
        axes.plot(column, color=colours.to_rgba(value), linewidth=1.6, alpha=0.85)
    for index, axis in enumerate(coordinates):
        axes.axvline(index, color="#57606a", linewidth=0.8)
        for value, text in axis.ticks().items():
            axes.annotate(
                text,
                (index, axis.height(value)),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                parse_math=False,
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
    axes.set_xticks(range(len(coordinates)), [axis.heading.replace(".", ".\n") for axis in coordinates])
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(coordinates) - 0.5)
    axes.set_title(f"all points, coloured by {ranking.metric}", loc="left", parse_math=False)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(colours, ax=axes, fraction=0.02, pad=0.01)
