"""What `benchmarks.engine` must reach, and its two tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

__all__ = ["COLUMNS", "Row", "Verdict", "bar_table", "row_table", "verdicts"]

Row = dict[str, Any]

COLUMNS = [
    "network", "calibrate_ratio", "ort_entropy_ratio", "peak_mb_16", "peak_mb_256", "quantize_s", "simulate_ratio",
    "simulate_all_ratio", "exact_8_8", "exact_12_8", "exact_4_4", "qdq_codes", "bytes_equal",
]  # fmt: skip
"""The keys that the bars are about; they come first in a row and are what the table shows."""


@dataclass(frozen=True)
class Bar:
    """What a row must reach.

    Attributes:
        text: how it is shown.
        value: what of the row it is about.
        holds: whether the value will do.
        network: the only network that it is for; None: every one.
    """

    text: str
    value: Callable[[Row], Any]
    holds: Callable[[Any], bool]
    network: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A bar held against a row."""

    network: str
    bar: str
    value: Any
    passed: bool


BARS = [
    Bar("calibrate_ratio <= 8", lambda row: row["calibrate_ratio"], lambda value: value <= 8),
    Bar("ort_entropy_ratio >= 8", lambda row: row["ort_entropy_ratio"], lambda value: value >= 8),
    Bar(
        "peak_mb_256 within 5 % of peak_mb_16",
        lambda row: row["peak_mb_256"] / row["peak_mb_16"],
        lambda value: abs(value - 1) <= 0.05,
    ),
    Bar("peak_mb < 700", lambda row: max(row["peak_mb_16"], row["peak_mb_256"]), lambda value: value < 700, "lite0"),
    Bar("quantize_s <= 3", lambda row: row["quantize_s"], lambda value: value <= 3),
    Bar("simulate_ratio <= 5", lambda row: row["simulate_ratio"], lambda value: value <= 5),
    Bar("simulate_all_ratio <= 8", lambda row: row["simulate_all_ratio"], lambda value: value <= 8),
    Bar("exact_8_8", lambda row: row["exact_8_8"]["equal"], bool),
    Bar("exact_12_8", lambda row: row["exact_12_8"]["equal"], bool),
    Bar("exact_4_4", lambda row: row["exact_4_4"]["equal"], bool),
    Bar("qdq_codes <= 1", lambda row: row["qdq_codes"], lambda value: value <= 1),
    Bar("bytes_equal", lambda row: row["bytes_equal"], bool),
]


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Hold every bar against every row that it is for."""
    held = [(row["network"], bar, bar.value(row)) for row in rows for bar in BARS]
    return [
        Verdict(network, bar.text, value, bar.holds(value))
        for network, bar, value in held
        if bar.network in (None, network)
    ]


def row_table(rows: Sequence[Row]) -> Table:
    """A row a network; the rest of its keys are in the file only."""
    table = Table(title="engine")
    for key in COLUMNS:
        table.add_column(key.replace("_", " "), justify="left" if key == "network" else "right")
    for row in rows:
        table.add_row(*(_shown(row[key]) for key in COLUMNS))
    return table


def bar_table(found: Sequence[Verdict], of: str = "network") -> Table:
    """A row a verdict, green or red; `of` heads the column of what the bars are about."""
    table = Table(title="bars")
    for heading in (of, "bar", "found", ""):
        table.add_column(heading, justify="right" if heading == "found" else "left")
    for verdict in found:
        cells = verdict.network, verdict.bar, _shown(verdict.value), "pass" if verdict.passed else "FAIL"
        table.add_row(*cells, style="green" if verdict.passed else "red")
    return table


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_shown(value['equal'])} ({value['layers']})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
