"""Faults planted in EfficientNet-Lite0: a row each."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.bars import BarResult
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import evenly, link_under_own_names
from benchmarks.common.processes import call_in_fresh_process
from benchmarks.common.tables import Row
from benchmarks.diagnosis.faults import SOUND_EXPERIMENTS, Fault, plant_faults
from benchmarks.diagnosis.outputs import Outputs, float_outputs, mean_cosine, simulated_outputs
from benchmarks.diagnosis.project import compose_command, finding_bar, finding_columns, first_cure, shell
from stages.core.base.artifacts import read_json
from stages.core.base.console import console
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.paths import DIAGNOSIS, METRICS

__all__ = ["COLUMNS", "classifier_rows", "select_faults"]

COLUMNS = [
    "fault", "first_finding", "node", "cure", "before", "after", "sound", "top1_before", "top1_after", "top1_sound",
    "restored", "seconds",
]  # fmt: skip
PICTURES = {"calibration": 32, "debug": 12, "evaluation": 100}
"""Pictures of each kind; no picture is of two kinds. 4 of the debug pictures are compared."""
COSINE_MARGIN = 0.005
"""A network is restored if its cosine is within this of the sound network's, and harmed if it is lower."""
TOP1_MARGIN = 0.03
"""The same for the share of right pictures: of 100 pictures one or two change by rounding alone."""
CURED_PREFIX = "cured:"
"""Begins the bars that the cured network must reach."""


def classifier_rows(data: Path, names: Sequence[str] | None, others: Sequence[str]) -> Iterator[Row]:
    """Plant each fault in the project in the current folder; gives the rows as they come.

    Args:
        data: DIR.
        names: of faults; None: all.
        others: names of faults that are planted elsewhere.

    Raises:
        UserError: if DIR lacks something, a name is unknown, or the pipeline fails.
    """
    pictures, _ = find_data(NETWORKS["lite0"], data, least=200)
    link_pictures(pictures)
    base = base_overrides(data / "imagenet_sample" / "labels.csv")
    console.print("sound")
    start = time.perf_counter()
    shell(compose_command(base), "dvc repro")
    sound = measure(None)
    for fault in select_faults([Fault("sound", None, None, ()), *SOUND_EXPERIMENTS, *plant_faults()], names, others):
        if fault.overrides:
            console.print(fault.name)
            start = time.perf_counter()
        measured = fault.kind is not None or not fault.overrides
        yield measured_row(fault, base, sound, start) if measured else compared_row(fault, base)


def select_faults(faults: Sequence[Fault], names: Sequence[str] | None, others: Sequence[str] = ()) -> list[Fault]:
    """Select faults by name, in the order of the list.

    Args:
        faults: to select from.
        names: to select; None: all.
        others: names that are no mistake either.

    Raises:
        UserError: for any other name.
    """
    known = [*(fault.name for fault in faults), *others]
    for name in names or []:
        if name not in known:
            raise UserError(f"--faults: no such fault {name!r}; {did_you_mean(name, known)}")
    return [fault for fault in faults if names is None or fault.name in names]


def link_pictures(pictures: Sequence[Path]) -> None:
    """Link pictures of each kind into the current folder."""
    selected = evenly(pictures, sum(PICTURES.values()))
    shuffled = [selected[index] for index in np.random.default_rng(0).permutation(len(selected))]
    folders, first = {}, 0
    for kind, count in PICTURES.items():
        folders[kind] = shuffled[first : first + count]
        first += count
    link_under_own_names(folders)


def base_overrides(labels: Path) -> list[str]:
    """The sound experiment."""
    sources = [f"data.{kind}.source=file:{kind}" for kind in PICTURES]
    return ["data=folder", *sources, f'data.evaluation.labels="file:{labels}"']


@dataclass(frozen=True)
class Measured:
    """A run of the pipeline.

    Attributes:
        expected: the float network's outputs on the evaluation pictures: [pictures, classes].
        cosine: of those with the quantized network's outputs, averaged over the pictures.
        top1: the share of pictures that the quantized network gets right.
        findings: of diagnosis.json.
    """

    expected: Outputs
    cosine: float
    top1: float
    findings: Sequence[Mapping[str, Any]]


def measured_row(fault: Fault, base: Sequence[str], sound: Measured, start: float) -> Row:
    """Run the experiment with a fault, then its first cure.

    Args:
        fault: to plant.
        base: overrides of the sound experiment.
        sound: the sound experiment.
        start: when the row's work began.
    """
    reference = None if fault.own_reference else sound.expected
    before, cure_command = sound, None
    if fault.kind:
        text = shell(compose_command([*base, *fault.overrides]), "dvc repro compare evaluate")
        before, cure_command = measure(reference), first_cure(text)
    after = before
    if cure_command:
        shell(cure_command)
        after = measure(reference)
    row = finding_columns(fault.name, before.findings) | {
        "before": before.cosine,
        "after": after.cosine,
        "sound": sound.cosine,
        "top1_before": before.top1,
        "top1_after": after.top1,
        "top1_sound": sound.top1,
    }
    results = hold_bars(fault, row)
    cured = [result.passed for result in results if result.bar.startswith(CURED_PREFIX)]
    return row | {
        "restored": all(cured) if fault.kind else None,
        "left": [finding["kind"] for finding in after.findings],
        "seconds": time.perf_counter() - start,
        "printed": cure_command,
        "sentences": [finding["sentence"] for finding in before.findings],
        "bars": [asdict(result) for result in results],
    }


def compared_row(fault: Fault, base: Sequence[str]) -> Row:
    """Compare an experiment without a fault; only its findings are asked for."""
    start = time.perf_counter()
    shell(compose_command([*base, *fault.overrides]), "dvc repro compare")
    findings = read_json(DIAGNOSIS)["findings"]
    row: Row = dict.fromkeys(COLUMNS) | finding_columns(fault.name, findings)
    return row | {
        "seconds": time.perf_counter() - start,
        "sentences": [finding["sentence"] for finding in findings],
        "bars": [asdict(result) for result in hold_bars(fault, row)],
    }


def hold_bars(fault: Fault, row: Row) -> list[BarResult]:
    """Hold a row against its bars: the first finding's kind and node, that the fault harms, that the cure restores.

    The share of right pictures counts where the float network is the sound one.
    """
    results = [BarResult(fault.name, *finding_bar(fault.kind, fault.node, row))]
    if fault.kind:
        least, before, after = row["sound"] - COSINE_MARGIN, row["before"], row["after"]
        results.append(BarResult(fault.name, f"cosine before < {least:.4f}", before, before < least))
        results.append(BarResult(fault.name, f"{CURED_PREFIX} cosine >= {least:.4f}", after, after >= least))
    if fault.kind and not fault.own_reference:
        least, after = row["top1_sound"] - TOP1_MARGIN, row["top1_after"]
        results.append(BarResult(fault.name, f"{CURED_PREFIX} top-1 >= {least:.4g}", after, after >= least))
    return results


def measure(reference: Outputs | None) -> Measured:
    """Measure the experiment in the current folder; the float network runs only where there is no reference."""
    expected = call_in_fresh_process(float_outputs)[0] if reference is None else reference
    return Measured(
        expected,
        mean_cosine(expected, call_in_fresh_process(simulated_outputs)[0]),
        float(read_json(METRICS)["quantized"]["top1"]),
        read_json(DIAGNOSIS)["findings"],
    )
