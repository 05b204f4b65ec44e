"""The curve of error against cost, as a picture and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.autotune.allocation.cost_tables import LATENCY, MEAN_BITS
from stages.autotune.options import COST_UNITS
from stages.autotune.pareto import Point
from stages.core.render.page import BLUE, RED, SOFT
from stages.core.render.svg import style, svg_text

__all__ = ["Measured", "curve_csv", "curve_plot"]

AXIS_LABELS = COST_UNITS | {LATENCY: "latency in ms", MEAN_BITS: "mean of feature and weight bits"}
LABEL_PIXELS = (32.0, 12.0)
"""Width and height of the name of uniform bit widths in the plot."""
LEAST_ERROR = 1e-12
"""What stands for 0 on the logarithmic axis: an allocation of float alone has no error."""


@dataclass(frozen=True)
class Measured:
    """An allocation in the plot: its name, its cost and its measured error."""

    name: str
    cost: float
    error: float

    @property
    def xy(self) -> tuple[float, float]:
        """Cost and error, as they are drawn."""
        return self.cost, max(self.error, LEAST_ERROR)


def curve_csv(points: Sequence[Point], cost: str) -> str:
    """The curve as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cost, "predicted_error", "layers_in_float"])
    writer.writerows([point.cost, point.predicted, point.in_float] for point in points)
    return text.getvalue()


def curve_plot(points: Sequence[Point], uniform: Sequence[Measured], chosen: Measured, cost: str, title: str) -> str:
    """Draw predicted error over cost, uniform bit widths and the chosen allocation as they were measured.

    Args:
        points: the curve.
        uniform: uniform bit widths.
        chosen: the chosen allocation.
        cost: on the horizontal axis.
        title: above the plot.

    Returns:
        SVG text, the same for the same numbers.
    """
    with style():
        figure = Figure(figsize=(8.0, 4.2), layout="constrained")
        axes = figure.add_subplot()
        costs, errors = [point.cost for point in points], [max(point.predicted, LEAST_ERROR) for point in points]
        axes.plot(costs, errors, color=BLUE, linewidth=1.3, marker=".", label="mixed precision, predicted")
        _plot_measured(axes, uniform, "uniform (features/weights), measured", SOFT, "x")
        _plot_measured(axes, [chosen], "chosen, measured", RED, "o")
        axes.set_yscale("log")
        axes.set_xlabel(AXIS_LABELS[cost])
        axes.set_ylabel("relative squared error of the outputs")
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        axes.grid(visible=True, alpha=0.6)
        axes.legend(loc="upper right")
        figure.draw_without_rendering()  # pixels are known after the layout
        _name(axes, uniform)
        return svg_text(figure)


def _plot_measured(axes: Axes, measured: Sequence[Measured], label: str, color: str, marker: str) -> None:
    costs, errors = [each.xy[0] for each in measured], [each.xy[1] for each in measured]
    axes.plot(costs, errors, color=color, marker=marker, linestyle="none", label=label)


def _name(axes: Axes, measured: Sequence[Measured]) -> None:
    """Write names beside their markers, inside the plot; those that would overlap stand together."""
    pixels = [axes.transData.transform(each.xy).tolist() for each in measured]
    form: Any = {"textcoords": "offset points", "fontsize": 7, "va": "center"}
    for group in _overlapping(pixels):
        text = ", ".join(measured[index].name for index in group)
        fits = pixels[group[0]][0] + LABEL_PIXELS[0] * len(group) < axes.bbox.x1
        side: Any = {"xytext": (5, 0), "ha": "left"} if fits else {"xytext": (-5, 0), "ha": "right"}
        axes.annotate(text, measured[group[0]].xy, color=SOFT, parse_math=False, **form, **side)


def _overlapping(pixels: Sequence[Sequence[float]]) -> list[list[int]]:
    """Indices of places [x, y], those together whose names would overlap: the leftmost first, then the uppermost."""
    groups: list[list[int]] = []
    for index in sorted(range(len(pixels)), key=lambda index: (pixels[index][0], -pixels[index][1])):
        near = (
            group
            for group in groups
            if all(abs(pixels[index][axis] - pixels[group[-1]][axis]) < LABEL_PIXELS[axis] for axis in (0, 1))
        )
        if group := next(near, None):
            group.append(index)
        else:
            groups.append([index])
    return groups
