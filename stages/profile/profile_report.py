"""What profile prints: tables of a log, the memory report, the cost model."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from stages.core.base.console import counted, output, warn
from stages.core.base.paths import FLOAT_MODEL
from stages.core.cost import CostModel
from stages.profile.cost_fit import CostFit
from stages.profile.hot_layers import hot_layers, hot_table, operator_table
from stages.profile.measured_layers import MeasuredLog
from stages.profile.nmem import NmemReport

__all__ = ["TRUSTED_ROWS", "memory_line", "show_fit", "show_log"]

TRUSTED_ROWS = 10
"""Enough for the three prices of one pair of bit widths, and some to tell a fit from chance."""


def show_log(log: MeasuredLog, model: CostModel, count: int | None) -> dict[str, Any]:
    """Print a log's tables; gives its part of the JSON."""
    run, bits = log.run, log.bits
    hot = hot_layers(run.layers, log.layers, run.total, model)
    number = len(hot) if count is None else min(count, len(hot))
    slowest = f"the {number} slowest of {counted(len(hot), 'layer')}"
    title = f"{log.path}, {bits[0]}/{bits[1]} bits: {run.total:.3f} ms; {slowest}"
    output.print(hot_table(hot, number, title))
    if run.operators:
        output.print(operator_table(run.operators, run.total))
    return {
        "log": str(log.path),
        "feature_bits": bits[0],
        "weight_bits": bits[1],
        "total_ms": run.total,
        "layers": hot,
        "operators": [asdict(row) for row in run.operators],
    }


def memory_line(memory: NmemReport) -> str:
    """A memory report in a line."""
    share = f", {memory.peak / memory.total:.1%}" if memory.total else ""
    return f"memory: {memory.peak} KB at most of {memory.total} KB{share}; {memory.used} KB at the end"


def show_fit(fit: CostFit, logs: Sequence[MeasuredLog], named: bool) -> None:
    """Print the cost model in a few lines."""
    rows, known = sum(len(log.layers) for log in logs), sum(layer.known for log in logs for layer in log.layers)
    if rows < TRUSTED_ROWS:
        warn(f"{counted(rows, 'row')} fix no cost model: give logs of whole networks")
    model = fit.model
    prices = ", ".join(
        f"{key} {price:.3g} ms" + (" (scaled, not measured)" if key in fit.unseen else "")
        for key, price in model.ms_per_gmac.items()
    )
    output.print(
        f"cost model: per GMAC {prices or 'nothing'}; per MB {model.ms_per_mbyte:.3g} ms; "
        f"per layer {model.ms_per_layer:.3g} ms"
    )
    output.print(f"it is off by {fit.error:.3f} ms a layer, {fit.share:.0%} of the time")
    if named:
        output.print(f"{known} of {counted(rows, 'row')} named as a layer of {FLOAT_MODEL}")
