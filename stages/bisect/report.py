"""What bisect prints: the path that it took, its verdict, and the setting to type."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from stages.bisect.search import Found, Trial, Trials
from stages.core.base.console import counted
from stages.core.config.overrides import skip_override
from stages.core.config.schema import QuantConfig
from stages.trial import ACCURACY

__all__ = [
    "FULL_BITS",
    "command_line",
    "fine",
    "innocent",
    "metric_text",
    "narrow_sides",
    "path_table",
    "to_json",
    "too_many",
    "verdict",
    "width_verdict",
]

FULL_BITS = 8
"""At fewer the width itself may be what a network suffers from,"""
MANY = 0.25
"""namely if more than this part of the nodes have to stay in float."""
SHOWN = 4
"""Nodes that a row of the table names."""
ENDS = 10
"""Simulations that the table shows from either end; of a long search those between look alike."""


def metric_text(metric: str, value: float) -> str:
    """A value of the metric, as its users know it."""
    return f"{value:.1%}" if metric == ACCURACY else f"{value:.5f}"


def path_table(metric: str, trials: Sequence[Trial], of_float: float, below: float) -> Table:
    """Lay out the simulations in their order, the float network first; of many the first and the last ones."""
    table = Table(title=f"{counted(len(trials), 'simulation')}", title_justify="left", header_style="bold")
    table.add_column("#", justify="right")
    table.add_column("in float", overflow="fold")
    table.add_column("nodes", justify="right")
    table.add_column(metric, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    poor = any(not trial.restored for trial in trials[:1])
    table.add_row("-", "everything", "", metric_text(metric, of_float), _judgement(of_float >= below, poor))
    left_out = range(ENDS, len(trials) - ENDS)
    for number, trial in enumerate(trials, 1):
        if number - 1 in left_out:
            if number - 1 == left_out[0]:
                table.add_row("...", f"{len(left_out)} more in --json FILE", "", "", "")
            continue
        value = metric_text(metric, trial.value)
        count = str(len(trial.nodes))
        table.add_row(str(number), Text(_skipped(trial)), count, value, _judgement(trial.restored, poor))
    return table


def _judgement(good: bool, poor: bool) -> Text:
    """Nothing is restored where nothing was `poor`."""
    if not good:
        return Text("too low", style="red")
    return Text("restored" if poor else "good", style="green")


def _skipped(trial: Trial) -> str:
    if trial.kinds:
        return "all " + ", ".join(trial.kinds)
    more = len(trial.nodes) - SHOWN
    if more > 1:
        *first, last = trial.nodes
        return ", ".join(first[: SHOWN - 1]) + f", {more} more, {last}"
    return ", ".join(trial.nodes) or "nothing"


def command_line(nodes: Sequence[str]) -> str:
    """What to type in a shell to keep nodes in float."""
    return f"python -m stages.compose --keep {shlex.quote(skip_override(nodes))}"


def to_json(
    metric: str, below: float, of_float: float, trials: Sequence[Trial], result: Mapping[str, Any]
) -> dict[str, Any]:
    """The path and its result in plain form."""
    return {
        "metric": metric,
        "below": below,
        "float": of_float,
        "simulations": [
            {"types": list(trial.kinds), "nodes": list(trial.nodes), "value": trial.value, "restored": trial.restored}
            for trial in trials
        ],
        **result,
    }


def fine(metric: str, value: float, below: float) -> str:
    """Say that there is nothing to look for."""
    shown, least = metric_text(metric, value), metric_text(metric, below)
    return f"{metric} {shown} is not below {least}: nothing to look for (--below asks for more)"


def innocent(metric: str, of_float: float, below: float) -> str:
    """Say that quantization is not what makes the metric low."""
    shown, least = metric_text(metric, of_float), metric_text(metric, below)
    return (
        f"with everything in float {metric} is {shown}, not {least}: no node's quantization is to blame; look at the "
        "network itself, its input (mean, normal, colour order), model.preprocess and the labels"
    )


def narrow_sides(quant: QuantConfig) -> dict[str, int]:
    """Which of "feature" and "weight" the settings give fewer than 8 bits -> how many."""
    bit_widths = {"feature": quant.feature_bits, "weight": quant.weight_bits}
    return {side: bits for side, bits in bit_widths.items() if bits < FULL_BITS}


def too_many(found: Found, suspects: int) -> bool:
    """Whether what was found is no short list of culprits: then it is what all nodes have in common that costs."""
    return not found.nodes or len(found.nodes) > MANY * suspects


def width_verdict(metric: str, narrow: Mapping[str, int], found: Found, suspects: int, wide: float) -> str:
    """Say that few bits are to blame.

    Args:
        metric: its name.
        narrow: from `narrow_sides`.
        found: what the search ended with.
        suspects: how many nodes there were to choose from.
        wide: the metric with 8 bits in their place.
    """
    said = " and ".join(f"{bits}-bit {side}s" for side, bits in narrow.items())
    count = f"{len(found.nodes)} of {counted(suspects, 'node')} would have to stay in float" if found.nodes else ""
    count = count or f"the search found no set of the {counted(suspects, 'node')} that restores it"
    return (
        f"no few nodes are to blame but the width, {said}: {count}; with {FULL_BITS} bits in their place {metric} is "
        f"{metric_text(metric, wide)}"
    )


def verdict(metric: str, trials: Trials, found: Found, of_float: float) -> str:
    """Say what the search found."""
    before = metric_text(metric, trials.done[0].value)
    if not found.nodes:
        best = trials.best
        return (
            f"{counted(len(trials.done), 'simulation')} did not restore {metric}: {before}, at best "
            f"{metric_text(metric, best.value)} with {counted(len(best.nodes), 'node')} in float; --limit more"
        )
    same = (trial.value for trial in trials.done if set(trial.nodes) == set(found.nodes))
    after = metric_text(metric, next(same, of_float))  # all of them together are the float network
    least = "none of them can be left out" if found.complete else "fewer may do: the search ended early"
    return f"{metric} {before} -> {after} with {counted(len(found.nodes), 'node')} in float; {least}"
