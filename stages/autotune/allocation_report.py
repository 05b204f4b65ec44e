"""What the user sees of an allocation: the comparison with uniform bit widths, and the content of autotune.json."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from stages.autotune.allocation.cost_tables import BITOPS, FEATURE_BITS, LATENCY, SIZE, WEIGHT_BITS
from stages.autotune.allocation.integer_program import BitAllocation
from stages.autotune.allocation.predicted_error import PredictedError
from stages.autotune.allocation.problem import AllocationProblem
from stages.autotune.allocation.variables import FEATURE, WEIGHT
from stages.autotune.pareto import Point
from stages.autotune.verifier import Verified
from stages.core.base.console import new_table
from stages.core.config.schema import FLOAT_BITS

__all__ = [
    "Outcome",
    "Row",
    "allocation_text",
    "comparison_row",
    "comparison_table",
    "float_text",
    "notes",
    "report_content",
]

COLUMNS = {
    LATENCY: ("ms", "{:.3g}"),
    SIZE: ("bytes", "{:.0f}"),
    BITOPS: ("bit ops", "{:.3g}"),
    FEATURE_BITS: ("features", "{:.2f}"),
    WEIGHT_BITS: ("weights", "{:.2f}"),
}
"""Cost -> heading of its column, and form of its numbers."""
SHOWN_LAYERS = 20
"""Names of layers that one line has."""
SHOWN_MEAN_DIFFERENCE = 0.005
"""Bits: what the table shows of a mean."""


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
        name: of the allocation.
        error: measured in the exact simulator.
        costs: cost -> how much of it the allocation takes.
        within: whether it keeps the bounds that were asked for; None if none were.
    """

    name: str
    error: float
    costs: Mapping[str, float]
    within: bool | None

    def content(self) -> dict[str, Any]:
        """For the JSON report."""
        return {"name": self.name, "error": self.error, "within": self.within, **self.costs}


@dataclass(frozen=True)
class Outcome:
    """What a call ended with.

    Attributes:
        chosen: the allocation.
        tried: all that were tried, for the JSON report.
        curve_cost: the cost that the curve is drawn over.
        unseen: for a target on `data.evaluation` the metric of "float" and "chosen" on the pictures that it was not
            tuned on, with the interval of the difference where it is known.
        doubts: why the allocation may not be what was asked for.
    """

    chosen: Verified
    tried: Sequence[Mapping[str, Any]]
    curve_cost: str
    unseen: Mapping[str, float] | None = None
    doubts: Sequence[str] = ()


def comparison_row(
    problem: AllocationProblem, name: str, allocation: BitAllocation, error: float, within: bool | None
) -> Row:
    """Work an allocation's costs out; latency where times are known."""
    costs = [cost for cost in COLUMNS if cost != LATENCY or problem.cost_model.timed]
    return Row(name, error, {cost: problem.costs.total(cost, allocation) for cost in costs}, within)


def comparison_table(rows: Sequence[Row]) -> Table:
    """Lay the rows out, the last one, the chosen, in bold; those beyond the bounds are dim."""
    table = new_table("error of the outputs, costs, mean bits of features and of weights")
    table.add_column("bit widths", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    costs = list(rows[-1].costs)
    for cost in costs:
        table.add_column(COLUMNS[cost][0], justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        style = "bold" if index == len(rows) - 1 else "dim" if row.within is False else None
        cells = (COLUMNS[cost][1].format(row.costs[cost]) for cost in costs)
        table.add_row(row.name, f"{row.error:.3g}", *cells, style=style)
    return table


def notes(rows: Sequence[Row]) -> list[str]:
    """What the table does not say itself: the error's measure, and why a mean is not the bit width of its row."""
    lines = ["error: squared difference to the float network's outputs, relative to their variance; 0.01 is 20 dB"]
    wider = []
    for row in rows[:-1]:
        bit_widths = map(int, row.name.removeprefix("uniform ").split("/"))
        means = (row.costs[FEATURE_BITS], row.costs[WEIGHT_BITS])
        if any(mean and abs(mean - bits) > SHOWN_MEAN_DIFFERENCE for mean, bits in zip(means, bit_widths, strict=True)):
            wider.append(row.name)
    if wider:
        lines.append(f"{', '.join(wider)}: what has no such bit width takes the next wider one it has, else its widest")
    return lines


def allocation_text(problem: AllocationProblem, allocation: BitAllocation) -> str:
    """Say how many features and weights got which bit width."""
    parts = []
    for kind in (FEATURE, WEIGHT):
        counts = Counter[int]()
        for variable in problem.of_kind(kind):
            counts[allocation[variable.name]] += max(len(variable.members), 1)
        listed = ", ".join(
            f"{count} {'in float' if bits == FLOAT_BITS else f'at {bits}'}" for bits, count in sorted(counts.items())
        )
        if counts:
            parts.append(f"{kind}s: {listed}")
    return "; ".join(parts)


def float_text(problem: AllocationProblem, allocation: BitAllocation) -> str | None:
    """Name the weighted layers that an allocation keeps in float; None if none is."""
    names = problem.layers_in_float(allocation)
    if not names:
        return None
    count = sum(layer.weighted(problem.graph) for layer in problem.setup.layers)
    more = f", ... ({len(names) - SHOWN_LAYERS} more)" if len(names) > SHOWN_LAYERS else ""
    shown = ", ".join(names[:SHOWN_LAYERS])
    return f"in float: {len(names)} of {count} convolutions and fully connected layers: {shown}{more}"


def report_content(
    predicted_error: PredictedError, outcome: Outcome, rows: Sequence[Row], points: Sequence[Point]
) -> dict[str, Any]:
    """The JSON report's part on what came out.

    Args:
        predicted_error: with the sensitivities of all variables.
        outcome: what the call ended with.
        rows: the comparison.
        points: the curve.
    """
    curve = [{"cost": point.cost, "predicted": point.predicted, "in_float": point.in_float} for point in points]
    return {
        "predicted": outcome.chosen.predicted,
        "unseen": outcome.unseen,
        "rows": [row.content() for row in rows],
        "tried": list(outcome.tried),
        "curve": {"cost": outcome.curve_cost, "points": curve},
        "variables": _variable_rows(predicted_error, outcome.chosen.allocation),
    }


def _variable_rows(predicted_error: PredictedError, allocation: BitAllocation) -> list[dict[str, Any]]:
    """Every variable with its errors and the bit width it got."""
    return [
        {
            "kind": variable.kind,
            "node": variable.node,
            "elements": variable.elements,
            "bits": allocation[variable.name],
            "errors": {
                str(bits): predicted_error.sensitivities[variable.name].get(bits, 0.0) for bits in variable.bit_widths
            },
        }
        for variable in predicted_error.problem.variables
    ]
