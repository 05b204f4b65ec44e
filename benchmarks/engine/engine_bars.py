"""The bars of `benchmarks.engine`, and the table of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.common.bars import BarResult
from benchmarks.common.tables import Row, cell, results_table

__all__ = ["COLUMNS", "engine_table", "hold_bars"]

COLUMNS = [
    "network", "calibrate_ratio", "ort_entropy_ratio", "peak_mb_16", "peak_mb_256", "quantize_s", "simulate_ratio",
    "simulate_all_ratio", "exact_8_8", "exact_12_8", "exact_4_4", "qdq_codes", "bytes_equal",
]  # fmt: skip
"""The keys that the bars are about; they come first in a row and are the table's columns."""


@dataclass(frozen=True)
class Bar:
    """What a row must reach.

    Attributes:
        text: how it is shown.
        value: what of the row it is about.
        holds: whether a value reaches it.
        network: the only network that it is for; None: every one.
    """

    text: str
    value: Callable[[Row], Any]
    holds: Callable[[Any], bool]
    network: str | None = None


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


def hold_bars(rows: Sequence[Row]) -> list[BarResult]:
    """Hold every bar against every row that it is for."""
    return [
        BarResult(row["network"], bar.text, value, bar.holds(value))
        for row in rows
        for bar in BARS
        if bar.network in (None, row["network"])
        for value in (bar.value(row),)
    ]


def engine_table(rows: Sequence[Row]) -> Table:
    """A row a network; exactness with the number of layers compared."""
    shown = [{key: _with_layers(row[key]) for key in COLUMNS} for row in rows]
    return results_table("engine", shown, COLUMNS, left=("network",))


def _with_layers(value: Any) -> Any:
    return f"{cell(value['equal'])} ({value['layers']})" if isinstance(value, dict) else value
