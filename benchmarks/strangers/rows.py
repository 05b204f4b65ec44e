"""A row of the table: a network in a setting, what compare says of it, what its task says."""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.strangers.outputs import weighted_layers
from benchmarks.strangers.project import QUANTIZING, compose, measure, run_stage, run_stages
from benchmarks.strangers.stranger import NOT_QUANTIZED, Bounds, Samples, Stranger, Value
from benchmarks.strangers.verdicts import Cure, agreement, compare, measured_again
from stages.core.base.errors import UserError
from stages.core.config.overrides import split_overrides

__all__ = ["COLUMNS", "died_row", "kept", "measured_row", "mended"]

COLUMNS = [
    "network", "kind", "setting", "integers", "verdict", "truth", "measure", "value", "spread", "agree", "findings",
    "cure", "promised", "held", "kept", "got", "mended", "died",
]  # fmt: skip
MOST_MISSED = 0.1
"""Of a promised effect."""


def measured_row(
    stranger: Stranger, source: str, samples: Samples, setting: Sequence[str], most_cures: int
) -> dict[str, Any]:
    """Run the pipeline and compare in the current folder, take the task measure, then apply the first cures by hand.

    Args:
        stranger: the network.
        source: where its file is.
        samples: that lie in the project.
        setting: overrides of the SOC and the quantization.
        most_cures: how many cures are applied.
    """
    row = _beginning(stranger, setting)
    stage = "compose"
    try:
        compose(stranger, source, setting)
        for stage in QUANTIZING:
            run_stage(stage)
        stage = "task measure"
        value = measure(stranger, samples)
        integers, layers = weighted_layers()
        truth = stranger.bounds.levels(value) if integers else [NOT_QUANTIZED]
        row |= {"truth": " or ".join(truth), "integers": f"{integers}/{layers}"} | _written(value)
        stage = "compare"
        said = compare()
    except UserError as error:
        return row | {"died": stage, "error": str(error)}
    row |= {"verdict": said.level, "sentence": said.sentence, "findings": list(said.kinds)}
    row |= {"agree": agreement(said.level, truth)}
    if truth[0] != "good":
        tried = [_apply(stranger, samples, cure, value.value) for cure in said.cures[:most_cures]]
        row |= {"cures": tried} | (tried[0] if tried else {})
    return row


def _beginning(stranger: Stranger, setting: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    named = " ".join(override.partition("=")[2] for override in setting)
    return row | {"network": stranger.name, "kind": stranger.kind, "setting": named, "measure": stranger.measure_name}


def died_row(stranger: Stranger, setting: Sequence[str], stage: str, error: str) -> dict[str, Any]:
    """The row of a network that gives no samples."""
    return _beginning(stranger, setting) | {"died": stage, "error": error}


def _apply(stranger: Stranger, samples: Samples, cure: Cure, before: float) -> dict[str, Any]:
    """What a cure does to the task measure, in a copy of the project."""
    promised = f"{cure.metric}: {cure.before:.4g} -> {cure.after:.4g}" if cure.metric is not None else None
    applied: dict[str, Any] = {"cure": cure.override, "promised": promised, "held": None, "kept": None}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path.cwd(), folder, symlinks=True, dirs_exist_ok=True)
        with contextlib.chdir(folder):
            try:
                if cure.preparation:
                    run_stage(*cure.preparation)
                run_stage("compose", "--keep", *split_overrides(cure.override))
                run_stages()
                after = measure(stranger, samples).value
                if cure.metric is not None:
                    held = measured_again(cure)
                    applied |= {"held": held, "kept": kept(cure, held)}
            except UserError as error:
                return applied | {"mended": "refused", "error": str(error)}
    return applied | {"got": _number(after), "mended": mended(stranger.bounds, before, after)}


def kept(cure: Cure, held: float) -> str:
    """`yes` if a cure applied by hand has the promised effect, or a tenth of it more or less; else `no`."""
    if cure.before is None or cure.after is None:
        return "no"
    return "yes" if abs(held - cure.after) <= MOST_MISSED * abs(cure.after - cure.before) else "no"


def _written(value: Value) -> dict[str, Any]:
    """A measure and its spread for the row."""
    spread = f"{value.low:.3g} .. {value.high:.3g}" if value.high > value.low else None
    return {"value": _number(value.value), "spread": spread}


def _number(value: float) -> float | None:
    """A measure as JSON has it: nothing where it is no number."""
    return None if math.isnan(value) else value


def mended(bounds: Bounds, before: float, after: float) -> str:
    """`yes` if the task is done well now, `partly` if half of what was missing is there, else `no`."""
    if bounds.level(after) == "good":
        return "yes"
    missing = bounds.good - before
    return "partly" if missing and (after - before) / missing >= 0.5 - 1e-9 else "no"
