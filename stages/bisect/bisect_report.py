"""What bisect prints: the simulations that it ran, its verdict, and the setting to type."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from stages.bisect.node_search import FloatNodes
from stages.bisect.trials import Trial, Trials
from stages.core.base.console import counted, new_table
from stages.core.config.overrides import skip_override
from stages.core.config.schema import QuantConfig
from stages.search.candidate_metric import metric_text

__all__ = [
    "FULL_BITS",
    "WantedMetric",
    "bit_width_verdict",
    "command_line",
    "float_verdict",
    "good_verdict",
    "narrow_sides",
    "node_verdict",
    "path_table",
    "to_json",
    "too_many",
]

FULL_BITS = 8
"""At fewer the bit width itself may be what a network suffers from,"""
MAX_NODE_SHARE = 0.25
"""namely if more than this part of the nodes have to stay in float."""
MAX_SHOWN_NODES = 4
"""Nodes that a row of the table names."""
SHOWN_ENDS = 10
"""Simulations that the table shows from either end; of a long search those between look alike."""


@dataclass(frozen=True)
class WantedMetric:
    """The metric that is to be restored.

    Attributes:
        name: of the metric.
        below: worse than this is too low.
        of_float: the float network's.
        greater_is_better: of the metric.
    """

    name: str
    below: float
    of_float: float
    greater_is_better: bool = True

    def text(self, value: float) -> str:
        """A value of the metric, as its users know it."""
        return metric_text(self.name, value)

    def good(self, value: float) -> bool:
        """Whether a value is not too low; of a metric that is better the less there is of it, too high."""
        return value >= self.below if self.greater_is_better else value <= self.below


def path_table(wanted: WantedMetric, trials: Sequence[Trial]) -> Table:
    """Lay out the simulations in their order, the float network first; of many the first and the last ones."""
    table = new_table(counted(len(trials), "simulation"))
    table.add_column("#", justify="right")
    table.add_column("in float", overflow="fold")
    table.add_column("nodes", justify="right")
    table.add_column(wanted.name, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    poor = any(not trial.restored for trial in trials[:1])
    of_float = wanted.of_float
    table.add_row("-", "everything", "", wanted.text(of_float), _result(wanted.good(of_float), poor))
    left_out = range(SHOWN_ENDS, len(trials) - SHOWN_ENDS)
    for index, trial in enumerate(trials):
        if index in left_out:
            if index == left_out[0]:
                table.add_row("...", f"{len(left_out)} more in --json FILE", "", "", "")
            continue
        cells = (Text(_skipped(trial)), str(len(trial.nodes)), wanted.text(trial.value))
        table.add_row(str(index + 1), *cells, _result(trial.restored, poor))
    return table


def _result(good: bool, poor: bool) -> Text:
    """Nothing is restored where nothing was `poor`."""
    if not good:
        return Text("too low", style="red")
    return Text("restored" if poor else "good", style="green")


def _skipped(trial: Trial) -> str:
    if trial.kinds:
        return "all " + ", ".join(trial.kinds)
    more = len(trial.nodes) - MAX_SHOWN_NODES
    if more > 1:
        *first, last = trial.nodes
        return ", ".join(first[: MAX_SHOWN_NODES - 1]) + f", {more} more, {last}"
    return ", ".join(trial.nodes) or "nothing"


def command_line(nodes: Sequence[str]) -> str:
    """What to type in a shell to keep nodes in float."""
    return f"python -m stages.compose --keep {shlex.quote(skip_override(nodes))}"


def to_json(wanted: WantedMetric, trials: Sequence[Trial], result: Mapping[str, Any]) -> dict[str, Any]:
    """The simulations and their result in plain form."""
    return {
        "metric": wanted.name,
        "below": wanted.below,
        "float": wanted.of_float,
        "simulations": [
            {"types": list(trial.kinds), "nodes": list(trial.nodes), "value": trial.value, "restored": trial.restored}
            for trial in trials
        ],
        **result,
    }


# --- verdicts ---------------------------------------------------------------------------------------------------


def good_verdict(wanted: WantedMetric, value: float) -> str:
    """Say that there is nothing to look for."""
    side = "below" if wanted.greater_is_better else "above"
    return (
        f"{wanted.name} {wanted.text(value)} is not {side} {wanted.text(wanted.below)}: nothing to look for "
        "(--below asks for more)"
    )


def float_verdict(wanted: WantedMetric) -> str:
    """Say that quantization is not what makes the metric low."""
    return (
        f"with everything in float {wanted.name} is {wanted.text(wanted.of_float)}, not {wanted.text(wanted.below)}: "
        "no node's quantization is to blame; look at the network itself, its input (mean, normal, colour order), "
        "model.preprocess and the labels"
    )


def node_verdict(wanted: WantedMetric, trials: Trials, nodes: FloatNodes) -> str:
    """Say what the search found."""
    before = wanted.text(trials.done[0].value)
    if not nodes.names:
        best = trials.best
        return (
            f"{counted(len(trials.done), 'simulation')} did not restore {wanted.name}: {before}, at best "
            f"{wanted.text(best.value)} with {counted(len(best.nodes), 'node')} in float; --limit more"
        )
    same = (trial.value for trial in trials.done if set(trial.nodes) == set(nodes.names))
    after = wanted.text(next(same, wanted.of_float))  # all of them together are the float network
    least = "none of them can be left out" if nodes.minimal else "fewer may do: the search ended early"
    return f"{wanted.name} {before} -> {after} with {counted(len(nodes.names), 'node')} in float; {least}"


def narrow_sides(quant: QuantConfig) -> dict[str, int]:
    """Which of "feature" and "weight" the settings give fewer than 8 bits -> how many."""
    bit_widths = {"feature": quant.feature_bits, "weight": quant.weight_bits}
    return {side: bits for side, bits in bit_widths.items() if bits < FULL_BITS}


def too_many(nodes: FloatNodes, suspects: int) -> bool:
    """Whether the nodes are no short list of culprits: then it is what all nodes have in common that costs."""
    return not nodes.names or len(nodes.names) > MAX_NODE_SHARE * suspects


def bit_width_verdict(
    wanted: WantedMetric, narrow: Mapping[str, int], nodes: FloatNodes, suspects: int, value: float
) -> str:
    """Say that few bits are to blame.

    Args:
        wanted: the metric.
        narrow: from `narrow_sides`.
        nodes: what the search ended with.
        suspects: how many nodes there were to choose from.
        value: the metric with 8 bits in their place.
    """
    sides = " and ".join(f"{bits}-bit {side}s" for side, bits in narrow.items())
    if nodes.names:
        count = f"{len(nodes.names)} of {counted(suspects, 'node')} would have to stay in float"
    else:
        count = f"the search found no set of the {counted(suspects, 'node')} that restores it"
    return (
        f"not a few nodes are to blame, but {sides}: {count}; with {FULL_BITS} bits "
        f"{wanted.name} is {wanted.text(value)}"
    )
