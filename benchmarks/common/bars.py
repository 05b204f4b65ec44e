"""Bars that a benchmark's rows must reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.common.tables import cell

__all__ = ["BarResult", "bar_table"]


@dataclass(frozen=True)
class BarResult:
    """A bar held against a row.

    Attributes:
        subject: the network or fault that was measured.
        bar: what the row must reach.
        value: what it has.
        passed: whether it reaches the bar.
    """

    subject: str
    bar: str
    value: Any
    passed: bool


def bar_table(results: Sequence[BarResult], subject: str = "network") -> Table:
    """A row a result, green or red; `subject` heads its column."""
    table = Table(title="bars")
    for heading in (subject, "bar", "measured", ""):
        table.add_column(heading, justify="right" if heading == "measured" else "left")
    for result in results:
        cells = result.subject, result.bar, cell(result.value), "pass" if result.passed else "FAIL"
        table.add_row(*cells, style="green" if result.passed else "red")
    return table
