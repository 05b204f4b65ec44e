"""A sweep when it is over, as pictures: metric against cost, and parallel coordinates of all that was tried."""

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
from stages.sweep.cost import COSTS
from stages.sweep.metrics import is_share
from stages.sweep.ranking import metric_of, pareto, ranked
from stages.sweep.report import metrics_shown, settings, settings_of
from stages.sweep.session import Result, Session

__all__ = ["draw", "interactive"]

STYLE: Any = {"svg.hashsalt": "socquant", "svg.fonttype": "none", "font.size": 10, "font.family": "sans-serif"}
COLOURS = "viridis"
MARGIN = 0.04  # of the axis, above a share of 1


def draw(results: Sequence[Result], session: Session, files: Sequence[Path]) -> None:
    """Write the summary's picture: above metric against cost, below parallel coordinates. A point must have succeeded.

    Args:
        results: the points.
        session: the sweep.
        files: .png or .svg.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 9.5), layout="constrained")
        above, below = figure.subplots(2, 1)
        _front(above, results, session)
        _coordinates(below, results, session)
        for file in files:
            metadata = {"Date": None, "Creator": None} if file.suffix == ".svg" else {"Software": None}
            figure.savefig(file, dpi=110, metadata=metadata)


def interactive(results: Sequence[Result], session: Session, file: Path) -> None:
    """Write parallel coordinates as a page: axes can be moved, and ranges on them chosen. Needs plotly, no network."""
    from plotly import graph_objects  # noqa: PLC0415 - an extra, and slow to import

    points = ranked(results, session)
    dimensions = []
    for axis in _axes(points, results, session):
        named: dict[str, Any] = {"tickvals": list(range(len(axis.names))), "ticktext": axis.names} if axis.names else {}
        dimensions.append({"label": axis.heading, "values": axis.places, **named})
    name = metric_of(results, session)
    colours = {"color": [point.value for point in points], "colorscale": COLOURS.title(), "showscale": True}
    figure = graph_objects.Figure(graph_objects.Parcoords(dimensions=dimensions, line=colours))
    figure.update_layout(title=f"colour: {name}", margin={"l": 110, "r": 80, "t": 110, "b": 40})
    write_text(file, figure.to_html(include_plotlyjs=True, div_id="points"))


@dataclass(frozen=True)
class _Axis:
    """A coordinate.

    Attributes:
        heading: above it.
        places: of the points on it.
        names: of the places 0, 1, ...; empty where they are numbers that speak for themselves.
    """

    heading: str
    places: list[float]
    names: list[str]


def _axes(points: Sequence[Result], results: Sequence[Result], session: Session) -> list[_Axis]:
    """What was set, what came of it, what it costs."""
    found = []
    for index, heading in enumerate(settings(session)):
        texts = [settings_of(point, session)[index] for point in points]
        names = sorted(set(texts), key=_natural)
        found.append(_Axis(heading, [float(names.index(text)) for text in texts], names))
    for key in metrics_shown(results, session):
        found.append(_Axis(key, [point.metrics[key] for point in points], []))
    for key, (unit, by) in COSTS.items():
        found.append(_Axis(unit, [point.metrics[f"cost.{key}"] / by for point in points], []))
    return found


def _natural(text: str) -> tuple[bool, float, str]:
    """Numbers by size, before texts by letter."""
    try:
        return (False, float(text), "")
    except ValueError:
        return (True, 0.0, text)


def _front(axes: Axes, results: Sequence[Result], session: Session) -> None:
    """Metric against cost, the Pareto front joined and named."""
    unit, by = COSTS[session.cost]
    name, front = metric_of(results, session), pareto(results, session)

    def at(points: Sequence[Result]) -> tuple[list[float], list[float]]:
        return [point.metrics[f"cost.{session.cost}"] / by for point in points], [
            point.metrics[name] for point in points
        ]

    axes.plot(*at(ranked(results, session)), "o", color="#9aa4ad", markersize=6, label="points")
    axes.plot(*at(front), "o-", color="#1f6feb", markersize=8, label="Pareto front: none is better for as little")
    for point, x, y in zip(front, *at(front), strict=True):
        text = " / ".join(settings_of(point, session))
        axes.annotate(text, (x, y), xytext=(7, -13), textcoords="offset points", fontsize=9, parse_math=False)
    axes.set_xlabel(unit)
    axes.set_ylabel(name)
    axes.set_title(f"{name} against {unit} (names: {' / '.join(settings(session))})", loc="left", parse_math=False)
    axes.margins(0.12)
    if is_share(name):
        low, high = axes.get_ylim()
        axes.set_yticks([place for place in axes.get_yticks() if low <= place <= min(high, 1.0)])
        axes.set_ylim(low, min(high, 1.0 + MARGIN * (1.0 - low)))  # a point at 1 is not cut
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="lower right", frameon=False)


def _coordinates(axes: Axes, results: Sequence[Result], session: Session) -> None:
    """A line a point, over axes of their own scale from bottom to top, coloured by the metric."""
    points = ranked(results, session)
    coordinates = _axes(points, results, session)
    scales = [_span(axis) for axis in coordinates]
    heights = np.array(
        [
            [(place - low) / (high - low) for place in axis.places]
            for axis, (low, high) in zip(coordinates, scales, strict=True)
        ]
    )
    values = [point.value or 0.0 for point in points]
    middle = (min(values) + max(values)) / 2
    colours = ScalarMappable(
        Normalize(*(min(values), max(values)) if max(values) > min(values) else (middle - 1, middle)), COLOURS
    )
    for column, value in reversed(list(zip(heights.T, values, strict=True))):  # the best on top
        axes.plot(column, color=colours.to_rgba(value), linewidth=1.6, alpha=0.85)
    for index, (axis, (low, high)) in enumerate(zip(coordinates, scales, strict=True)):
        axes.axvline(index, color="#57606a", linewidth=0.8)
        for place, text in _ticks(axis, low, high).items():
            axes.annotate(
                text,
                (index, (place - low) / (high - low)),
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
    axes.set_title(f"all points, coloured by {metric_of(results, session)}", loc="left", parse_math=False)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(colours, ax=axes, fraction=0.02, pad=0.01)


def _ticks(axis: _Axis, low: float, high: float) -> dict[float, str]:
    """Places on an axis and what to write at them; one value is written once."""
    if axis.names:
        return {float(place): name for place, name in enumerate(axis.names)}
    alone = min(axis.places) == max(axis.places)
    return {place: f"{place:.4g}" for place in ((low + high) / 2, *(() if alone else (low, high)))}


def _span(axis: _Axis) -> tuple[float, float]:
    """The ends of an axis; one value lies in the middle."""
    low, high = min(axis.places), max(axis.places)
    return (low, high) if high > low else (low - 0.5, low + 0.5)
