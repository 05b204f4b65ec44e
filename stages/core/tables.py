"""Tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

__all__ = ["accuracy_line", "similarity_table"]

GOOD, FAIR = 0.99, 0.98  # the vendor's guide: 0.99 is usual, below 0.98 is poor


def similarity_table(rows: Sequence[Mapping[str, Any]], count: int | None = None) -> Table:
    """Lay out the vendor's similarity table.

    Args:
        rows: in graph order.
        count: show only this many, worst first; None: all, in graph order.
    """
    shown = list(rows) if count is None else sorted(rows, key=lambda row: row["cosine_avg"])[:count]
    title = f"the {len(shown)} least similar of {len(rows)} nodes" if count else f"similarity of {len(rows)} nodes"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("node", overflow="fold")
    table.add_column("type", no_wrap=True)
    for heading in ("cos avg", "min", "max", "euclid", "std", "max abs", "max norm"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in shown:
        average = row["cosine_avg"]
        style = "red" if average < FAIR else "yellow" if average < GOOD else None
        table.add_row(
            row["node"],
            row["op_type"],
            f"{average:.5f}",
            f"{row['cosine_min']:.5f}",
            f"{row['cosine_max']:.5f}",
            f"{row['euclidean']:.4f}",
            f"{row['standard_deviation']:.4g}",
            f"{row['max_absolute']:.4g}",
            f"{row['max_normalized']:.4f}",
            style=style,
        )
    return table


def accuracy_line(metrics: Mapping[str, Any]) -> str:
    """Say in one line how both networks did: accuracy where there are labels, else how far the outputs moved."""
    if "float" not in metrics:
        return f"outputs on {metrics['count']} pictures: cosine {metrics['cosine']:.4f} (no labels, no accuracy)"
    reference, quantized = metrics["float"], metrics["quantized"]
    return (
        f"accuracy on {metrics['count']} pictures: top-1 float {reference['top1']:.1%}, quantized "
        f"{quantized['top1']:.1%}; top-5 {reference['top5']:.1%}, {quantized['top5']:.1%}; "
        f"agreement {metrics['agreement']:.1%}, cosine of the logits {metrics['cosine']:.4f}"
    )
