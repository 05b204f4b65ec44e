"""A sweep when it is over, as rows: for the terminal, MLflow and other tools."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from stages.core.base.console import counted
from stages.sweep.cost import COSTS
from stages.sweep.ranking import metric_of, pareto, ranked
from stages.sweep.session import Result, Session, label

__all__ = ["as_csv", "as_rows", "markdown", "metrics_shown", "results_table", "settings", "settings_of"]

WIDE = 120  # columns of a terminal that takes all
STAR = "★"  # on the Pareto front
SHOWN = ("quantized.top1", "agreement", "cosine", "similarity.cosine_min")
"""Metrics that a table and the coordinates show where a sweep has them, beside the one to rank by."""


def as_rows(results: Sequence[Result], session: Session) -> list[dict[str, Any]]:
    """The points as plain data, best first, then those that failed."""
    done = ranked(results, session)
    front = {result.number for result in pareto(results, session)}
    failed = [result for result in results if result.value is None]
    return [
        {
            "rank": rank if result.value is not None else None,
            "point": result.number,
            "overrides": list(result.overrides),
            "value": result.value,
            "pareto": result.number in front,
            "metrics": dict(sorted(result.metrics.items())),
            "error": result.error,
            "run_id": result.run,
            "executed": list(result.executed),
            "seconds": round(result.seconds, 3),
        }
        for rank, result in enumerate([*done, *failed], start=1)
    ]


def results_table(results: Sequence[Result], session: Session, width: int) -> Table:
    """Lay out the points, best first; those on the Pareto front have a star.

    Args:
        results: the points.
        session: the sweep.
        width: columns of the terminal; a narrow one gets the metric to rank by and the chosen cost alone.
    """
    metrics, costs = metrics_shown(results, session), COSTS
    if width < WIDE:
        metrics, costs = metrics[:1], {session.cost: COSTS[session.cost]}
    name = metric_of(results, session)
    front = {result.number for result in pareto(results, session)}
    table = Table(
        title=f"{counted(len(results), 'point')} by {name}" if name else None, title_justify="left", header_style="bold"
    )
    table.add_column("")
    for heading in settings(session):
        table.add_column(heading, overflow="fold")
    for heading in metrics:
        table.add_column(heading, justify="right")
    for unit, _ in costs.values():
        table.add_column(unit, justify="right")
    table.add_column("s", justify="right", no_wrap=True)
    done = ranked(results, session)
    for result in [*done, *(result for result in results if result.value is None)]:
        found = result.metrics
        cells = [f"{found[key]:.4f}" if key in found else "-" for key in metrics]
        cells += [f"{found[f'cost.{key}'] / by:.3g}" if found else "-" for key, (_, by) in costs.items()]
        mark = "failed" if result.value is None else STAR if result.number in front else ""
        style = "red" if result.value is None else "bold" if result is done[0] else None
        row = (mark, *settings_of(result, session), *cells, f"{result.seconds:.1f}")
        table.add_row(*map(Text, row), style=style)
    return table


def markdown(results: Sequence[Result], session: Session) -> str:
    """The sweep's description in MLflow."""
    done, name = ranked(results, session), metric_of(results, session)
    front = {result.number for result in pareto(results, session)}
    failed = [result for result in results if result.value is None]
    lines = [f"`python -m stages.sweep {session.command}`", ""]
    if done:
        lines += [f"Best by {name}: **{label(done[0].overrides, session.varied)}**, {done[0].value:.4g}.", ""]
        headings = ["", *(settings(session)), *metrics_shown(results, session), *(u for u, _ in COSTS.values())]
        lines += [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
        for result in done:
            costs = [f"{result.metrics[f'cost.{key}'] / by:.3g}" for key, (_, by) in COSTS.items()]
            cells = [*settings_of(result, session), *_shown(result, results, session), *costs]
            lines.append(f"| {STAR if result.number in front else ''} | {' | '.join(map(_escaped, cells))} |")
        lines += ["", f"{STAR} no other point is better for as few {COSTS[session.cost][0]}"]
    lines += [f"- failed: {label(entry.overrides, session.varied)}: {_escaped(entry.error or '')}" for entry in failed]
    return "\n".join(lines)


# --- what is shown ----------------------------------------------------------------------------------------------


def settings(session: Session) -> list[str]:
    """Headings of what varies: a key's last part, whole where two would be the same; "point" if nothing does."""
    short = [key.rpartition(".")[2] for key in session.varied]
    return [part if short.count(part) == 1 else key for part, key in zip(short, session.varied, strict=True)] or [
        "point"
    ]


def settings_of(result: Result, session: Session) -> list[str]:
    """What a point was given for each of `settings`; a sweep of one point its name."""
    return [result.setting(key) for key in session.varied] or [label(result.overrides, session.varied)]


def metrics_shown(results: Sequence[Result], session: Session) -> list[str]:
    """The metric to rank by, then others that the points have."""
    known = {key for result in results for key in result.metrics}
    chosen = metric_of(results, session)
    return [key for key in dict.fromkeys((chosen, *SHOWN)) if key in known]


def _shown(result: Result, results: Sequence[Result], session: Session) -> list[str]:
    return [f"{result.metrics[key]:.4f}" for key in metrics_shown(results, session)]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def as_csv(results: Sequence[Result], session: Session) -> str:
    """All points and all their metrics, best first."""
    metrics = sorted({key for result in results for key in result.metrics})
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["rank", "point", *session.varied, *metrics, "error", "run_id"])
    by_number = {result.number: result for result in results}
    for row in as_rows(results, session):
        result = by_number[row["point"]]
        given = [result.setting(key) for key in session.varied]
        values = [result.metrics.get(key, "") for key in metrics]
        rows.writerow([row["rank"], result.number, *given, *values, result.error, result.run])
    return text.getvalue()
