"""What the user sees: the table, the curve, the files."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table as Grid

from stages.autotune.options import COSTS
from stages.autotune.pareto import BITS, Point, spent
from stages.autotune.problem import FEATURE_BITS, WEIGHT_BITS, Problem
from stages.autotune.sensitivity import Sensitivities
from stages.autotune.solve import Allotment
from stages.core.config.schema import FLOAT_BITS
from stages.core.render.page import BLUE, RED, SOFT
from stages.core.render.svg import style, svg_text

__all__ = ["Row", "comparison", "curve_csv", "curve_plot", "described", "notes", "row", "sensitivity_rows"]

FORMS = {
    "latency": ("ms", "{:.3g}"),
    "size": ("bytes", "{:.0f}"),
    "bitops": ("bit ops", "{:.3g}"),
    FEATURE_BITS: ("features", "{:.2f}"),
    WEIGHT_BITS: ("weights", "{:.2f}"),
}
MEAN_DIGITS = 0.005  # what the table shows of a mean
AXES = COSTS | {"latency": "latency in ms", BITS: "mean of feature and weight bits"}

NAME = (32.0, 12.0)
"""Width and height of a uniform width's name in the plot, in pixels."""


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
        name: of the allotment.
        error: measured in the exact simulator.
        costs: kind -> what it costs.
        within: whether it keeps the bounds that were asked for; None if none were.
    """

    name: str
    error: float
    costs: Mapping[str, float]
    within: bool | None

    def content(self) -> dict[str, Any]:
        """For the JSON report."""
        return {"name": self.name, "error": self.error, "within": self.within, **self.costs}


def row(problem: Problem, name: str, allotment: Allotment, error: float, within: bool | None) -> Row:
    """Work an allotment's costs out; latency where times are known."""
    kinds = [kind for kind in FORMS if kind != "latency" or problem.cost.timed]
    return Row(name, error, {kind: spent(problem, kind, allotment) for kind in kinds}, within)


def comparison(rows: Sequence[Row]) -> Grid:
    """Lay the rows out, the last one, the chosen, in bold; those beyond the bounds are dim."""
    grid = Grid(
        title="error of the outputs, costs, mean bits of features and of weights",
        title_justify="left",
        header_style="bold",
    )
    grid.add_column("widths", no_wrap=True)
    grid.add_column("error", justify="right", no_wrap=True)
    kinds = list(rows[-1].costs)
    for kind in kinds:
        grid.add_column(FORMS[kind][0], justify="right", no_wrap=True)
    for index, entry in enumerate(rows):
        style = "bold" if index == len(rows) - 1 else "dim" if entry.within is False else None
        costs = (FORMS[kind][1].format(entry.costs[kind]) for kind in kinds)
        grid.add_row(entry.name, f"{entry.error:.3g}", *costs, style=style)
    return grid


def notes(rows: Sequence[Row]) -> list[str]:
    """What the table does not say itself: the error's measure, and why a mean is not the width of its row."""
    lines = ["error: squared difference to the float network's outputs, relative to their variance; 0.01 is 20 dB"]
    wider = []
    for entry in rows[:-1]:
        bit_widths = map(int, entry.name.removeprefix("uniform ").split("/"))
        means = (entry.costs[FEATURE_BITS], entry.costs[WEIGHT_BITS])
        if any(mean and abs(mean - width) > MEAN_DIGITS for mean, width in zip(means, bit_widths, strict=True)):
            wider.append(entry.name)
    if wider:
        lines.append(f"{', '.join(wider)}: what has no such width takes the next wider one it has, else its widest")
    return lines


def described(problem: Problem, allotment: Allotment) -> str:
    """Say how many features and weights got which width."""
    parts = []
    for kind in ("feature", "weight"):
        counts = Counter(allotment[entry.name] for entry in problem.variables if entry.kind == kind)
        listed = ", ".join(
            f"{count} {'in float' if bits == FLOAT_BITS else f'at {bits}'}" for bits, count in sorted(counts.items())
        )
        if counts:
            parts.append(f"{kind}s: {listed}")
    return "; ".join(parts)


def sensitivity_rows(problem: Problem, found: Sensitivities, allotment: Allotment) -> list[dict[str, Any]]:
    """Every variable with its errors and the width it got, for the JSON report."""
    return [
        {
            "kind": entry.kind,
            "node": entry.node,
            "elements": entry.elements,
            "bits": allotment[entry.name],
            "errors": {str(width): found[entry.name].get(width, 0.0) for width in entry.bit_widths},
        }
        for entry in problem.variables
    ]


def curve_csv(points: Sequence[Point], kind: str) -> str:
    """The curve as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([kind, "predicted_error"])
    writer.writerows([point.cost, point.predicted] for point in points)
    return text.getvalue()


def curve_plot(
    points: Sequence[Point],
    uniform: Sequence[tuple[str, float, float]],
    chosen: tuple[float, float],
    kind: str,
    title: str,
) -> str:
    """Draw predicted error over cost, uniform widths and the chosen allotment as they were measured.

    Args:
        points: the curve.
        uniform: name, cost and measured error of uniform widths.
        chosen: cost and measured error.
        kind: of cost.
        title: above the plot.

    Returns:
        SVG text, the same for the same numbers.
    """
    least = 1e-12  # a logarithmic axis has no 0, which an allotment of float alone has
    with style():
        figure = Figure(figsize=(8.0, 4.2), layout="constrained")
        axes = figure.add_subplot()
        costs, errors = [point.cost for point in points], [max(point.predicted, least) for point in points]
        axes.plot(costs, errors, color=BLUE, linewidth=1.3, marker=".", label="allotted, predicted")
        named: Any = {"color": SOFT, "linestyle": "none"}
        axes.plot(
            [cost for _, cost, _ in uniform],
            [max(error, least) for *_, error in uniform],
            marker="x",
            label="uniform (features/weights), measured",
            **named,
        )
        axes.plot(
            [chosen[0]],
            [max(chosen[1], least)],
            color=RED,
            marker="o",
            linestyle="none",
            label="chosen, measured",
        )
        axes.set_yscale("log")
        axes.set_xlabel(AXES[kind])
        axes.set_ylabel("relative squared error of the outputs")
        axes.set_title(title, loc="left", fontsize=10, parse_math=False)
        axes.grid(visible=True, alpha=0.6)
        axes.legend(loc="upper right")
        figure.draw_without_rendering()  # places are known after the layout
        spots = [axes.transData.transform((cost, max(error, least))).tolist() for _, cost, error in uniform]
        for members in _together(spots):
            where: Any = {"xytext": (3, 6), "textcoords": "offset points", "fontsize": 7}
            _, cost, error = uniform[members[0]]
            text = ", ".join(uniform[member][0] for member in members)
            axes.annotate(text, (cost, max(error, least)), color=SOFT, parse_math=False, **where)
        return svg_text(figure)


def _together(spots: Sequence[Sequence[float]]) -> list[list[int]]:
    """Indices of places [x, y] in pixels, those together whose labels would overlap: the leftmost first."""
    groups: list[list[int]] = []
    for index in sorted(range(len(spots)), key=lambda index: tuple(spots[index])):
        near = (g for g in groups if all(abs(spots[index][i] - spots[g[-1]][i]) < NAME[i] for i in (0, 1)))
        if group := next(near, None):
            group.append(index)
        else:
            groups.append([index])
    return groups
