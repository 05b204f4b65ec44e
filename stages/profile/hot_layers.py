"""Which layers take the time, and what bounds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from stages.core.base.console import new_table
from stages.core.cost import CostModel
from stages.profile.board_log import LayerRow, OperatorRow
from stages.profile.measured_layers import MeasuredLayer

__all__ = ["hot_layers", "hot_table", "operator_table"]


def hot_layers(
    rows: Sequence[LayerRow], measured: Sequence[MeasuredLayer], total: float, model: CostModel
) -> list[dict[str, Any]]:
    """List layers, the slowest first.

    Args:
        rows: of the log.
        measured: what each row does, in the same order.
        total: ms of the whole network; shares are of it.
        model: fitted to them; its largest part names what bounds a layer.

    Returns:
        A row a layer: `layer`, `node` (of the network, or None), `operator`, `ms`, `share`, `cumulative` (shares of the
        total, 0..1), `gops_per_s` (10^9 operations a second), `mb_per_s` (2^20 bytes a second), both None where the log
        says 0 ms, `bound` (compute, memory or overhead).
    """
    hot = []
    cumulative = 0.0
    pairs = sorted(zip(rows, measured, strict=True), key=lambda pair: -pair[0].average)
    for row, layer in pairs:
        share = row.average / total if total else 0.0
        cumulative += share
        gops = 2 * layer.work.macs / 1e9 if row.gops is None else row.gops
        megabytes = layer.megabytes if row.megabytes is None else row.megabytes
        bits = layer.feature_bits
        hot.append(
            {
                "layer": row.name,
                "node": layer.work.node if layer.known else None,
                "operator": row.operator,
                "ms": row.average,
                "share": share,
                "cumulative": cumulative,
                "gops_per_s": gops / row.average * 1000 if row.average else None,
                "mb_per_s": megabytes / row.average * 1000 if row.average else None,
                "bound": model.parts(layer.work, bits, bits, layer.weight_bits).bound if model.timed else None,
            }
        )
    return hot


def hot_table(rows: Sequence[Mapping[str, Any]], count: int, title: str) -> Table:
    """Lay out the first `count` of `hot_layers`."""
    table = new_table(title)
    table.add_column("layer", overflow="fold")
    table.add_column("operator", no_wrap=True)
    for heading in ("ms", "share", "sum", "GOPs/s", "MB/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for row in rows[:count]:
        rates = ("-" if row[key] is None else f"{row[key]:.0f}" for key in ("gops_per_s", "mb_per_s"))
        shares = (f"{row['share']:.1%}", f"{row['cumulative']:.1%}")
        table.add_row(
            Text(row["layer"]), Text(row["operator"]), f"{row['ms']:.3f}", *shares, *rates, row["bound"] or "-"
        )
    return table


def operator_table(rows: Sequence[OperatorRow], total: float) -> Table:
    """Lay out the log's second table, the slowest type first."""
    table = new_table("by operator")
    table.add_column("operator")
    for heading in ("layers", "ms", "share"):
        table.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: -row.average):
        share = f"{row.average / total:.1%}" if total else "-"
        table.add_row(Text(row.operator), str(row.called), f"{row.average:.3f}", share)
    return table
