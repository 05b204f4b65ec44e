"""A sweep when it is over, as rows: for the terminal, MLflow and other tools."""

import csv
import html
import io
import re
from typing import Any

from rich.table import Table
from rich.text import Text

from stages.core.base.console import counted, new_table
from stages.sweep.network_cost import COST_UNITS
from stages.sweep.ranking import SHOWN_DECIMALS, Ranking
from stages.sweep.sweep_state import PointResult, Sweep, label

__all__ = [
    "as_csv",
    "as_rows",
    "escaped",
    "front_line",
    "markdown",
    "results_table",
    "setting_headings",
    "setting_texts",
    "shown_metrics",
    "swept",
]

WIDE_TERMINAL_COLUMNS = 120  # so many take all of the table
FRONT_MARK = "★"  # of a point on the Pareto front
SHOWN_METRICS = ("quantized.top1", "quantized.map", "agreement", "fidelity", "cosine", "similarity.cosine_min")
"""Metrics that a table and the coordinates show where a sweep has them, beside the one to rank by."""


def as_rows(ranking: Ranking) -> list[dict[str, Any]]:
    """The points as plain data, best first, then those that failed."""
    return [
        {
            "rank": rank if result.value is not None else None,
            "point": result.number,
            "overrides": list(result.overrides),
            "value": result.value,
            "verdict": result.verdict or None,
            "pareto": ranking.on_front(result),
            "metrics": dict(sorted(result.metrics.items())),
            "error": result.error,
            "run_id": result.run,
            "executed": list(result.executed),
            "seconds": round(result.seconds, 3),
        }
        for rank, result in enumerate([*ranking.ranked, *ranking.failed], start=1)
    ]


def results_table(ranking: Ranking, width: int) -> Table:
    """Lay out the points, best first; those on the Pareto front have a star; compare's verdicts if the best is broken.

    Args:
        ranking: the points.
        width: columns of the terminal; a narrow one gets the metric to rank by and the chosen cost alone.
    """
    sweep, metrics, costs = ranking.sweep, shown_metrics(ranking), COST_UNITS
    if width < WIDE_TERMINAL_COLUMNS:
        metrics, costs = metrics[:1], {sweep.cost: COST_UNITS[sweep.cost]}
    title = f"{swept(len(ranking.results), sweep.subject)} by {ranking.metric}" if ranking.metric else None
    table = new_table(title)
    table.add_column("")
    for heading in setting_headings(sweep):
        table.add_column(heading, overflow="fold")
    for heading in metrics:
        table.add_column(heading, justify="right")
    for unit, _ in costs.values():
        table.add_column(unit, justify="right")
    if ranking.best_is_broken:
        table.add_column("verdict")
    table.add_column("s", justify="right", no_wrap=True)
    for result in [*ranking.ranked, *ranking.failed]:
        values = result.metrics
        cells = [f"{values[key]:.{SHOWN_DECIMALS}f}" if key in values else "-" for key in metrics]
        cells += [f"{values[f'cost.{key}'] / by:.3g}" if values else "-" for key, (_, by) in costs.items()]
        cells += [result.verdict or "-"] if ranking.best_is_broken else []
        failed, best = result.value is None, result in ranking.ranked[:1]
        mark = "failed" if failed else FRONT_MARK if ranking.on_front(result) else ""
        row = (mark, *setting_texts(result, sweep), *cells, f"{result.seconds:.1f}")
        table.add_row(*map(Text, row), style="red" if failed else "bold" if best else None)
    return table


def swept(count: int | None, subject: str) -> str:
    """Say what a sweep tries, as in "4 points of yolov8n on the T41"; a count of None: the sweeper does not say."""
    return " ".join(filter(None, ["points" if count is None else counted(count, "point"), subject]))


def front_line(ranking: Ranking) -> str:
    """Say what the star is."""
    return f"{FRONT_MARK} no other point is better for as few {COST_UNITS[ranking.sweep.cost][0]}"


def markdown(ranking: Ranking) -> str:
    """The sweep's description in MLflow."""
    sweep, ranked = ranking.sweep, ranking.ranked
    command = " ".join(sweep.command.replace("`", "'").split())
    lines = [f"`python -m stages.sweep {command}`", ""]
    if ranked:
        best = escaped(label(ranked[0].overrides, sweep.varied))
        lines += [f"Best by {ranking.metric}: **{best}**, {ranked[0].value:.4g}.", ""]
        units = [unit for unit, _ in COST_UNITS.values()]
        headings = ["", *setting_headings(sweep), *shown_metrics(ranking), *units]
        lines += [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
        lines += [_markdown_row(result, ranking) for result in ranked]
        lines += ["", front_line(ranking)]
    lines += [
        f"- failed: {escaped(label(result.overrides, sweep.varied))}: {escaped(result.error or '')}"
        for result in ranking.failed
    ]
    return "\n".join(lines)


def _markdown_row(result: PointResult, ranking: Ranking) -> str:
    values = [f"{result.metrics[key]:.{SHOWN_DECIMALS}f}" for key in shown_metrics(ranking)]
    costs = [f"{result.metrics[f'cost.{key}'] / by:.3g}" for key, (_, by) in COST_UNITS.items()]
    cells = [*setting_texts(result, ranking.sweep), *values, *costs]
    return f"| {FRONT_MARK if ranking.on_front(result) else ''} | {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """A text as Markdown shows it, in one line: no HTML, link, code or cell of a table begins in it."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|])", r"\\\1", plain)


def as_csv(ranking: Ranking) -> str:
    """All points and all their metrics, best first."""
    metrics = sorted({key for result in ranking.results for key in result.metrics})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "point", *ranking.sweep.varied, *metrics, "verdict", "error", "run_id"])
    by_number = {result.number: result for result in ranking.results}
    for row in as_rows(ranking):
        result = by_number[row["point"]]
        settings = [result.setting(key) for key in ranking.sweep.varied]
        values = [result.metrics.get(key, "") for key in metrics]
        writer.writerow([row["rank"], result.number, *settings, *values, result.verdict, result.error, result.run])
    return text.getvalue()


# --- what is shown ----------------------------------------------------------------------------------------------


def setting_headings(sweep: Sweep) -> list[str]:
    """Headings of what varies: a key's last part, whole where two would be the same; "point" if nothing does."""
    short = [key.rpartition(".")[2] for key in sweep.varied]
    return [part if short.count(part) == 1 else key for part, key in zip(short, sweep.varied, strict=True)] or ["point"]


def setting_texts(result: PointResult, sweep: Sweep) -> list[str]:
    """What a point was given for each of `setting_headings`; a sweep of one point its name."""
    return [result.setting(key) for key in sweep.varied] or [label(result.overrides, sweep.varied)]


def shown_metrics(ranking: Ranking) -> list[str]:
    """The metric to rank by, then others that all points have which did not fail."""
    return [key for key in dict.fromkeys((ranking.metric, *SHOWN_METRICS)) if key in ranking.shared_metrics]
