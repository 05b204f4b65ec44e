"""A benchmark's rows as a table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.table import Table

__all__ = ["Row", "cell", "results_table"]

Row = dict[str, Any]
"""One measurement: key -> value, as the JSON file has it."""


def results_table(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], left: Collection[str] = ()
) -> Table:
    """Lay out rows; keys that are no column are in the JSON file only.

    Args:
        title: above the table.
        rows: each with every column as a key.
        columns: keys, in order.
        left: columns that are aligned to the left.
    """
    table = Table(title=title)
    for key in columns:
        table.add_column(key.replace("_", " "), justify="left" if key in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(key)) for key in columns))
    return table


def cell(value: Any) -> str:
    """A value as a table shows it: a dash for nothing, four digits of a number."""
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
