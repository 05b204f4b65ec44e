"""Whether compare names planted faults and its cures remove them: `python -m benchmarks.diagnosis --data DIR`.

Plants one fault at a time in EfficientNet-Lite0 on the T40 at 8 bits, runs the pipeline, runs the command that compare
prints under its first finding, and measures the network before and after.

DIR holds imagenet_sample/: 200 .jpg pictures or more, and labels.csv (columns file and index, the class).

Columns: the cosine of the quantized outputs with the sound float network's (or with its own, if the fault changes the
float network) and the share of right pictures: with the fault (before), with the cure (after), without the fault
(sound).

A row passes if the first finding is of the fault's kind and names its node, the fault did harm, and the cure restores
the network. The sound network passes if nothing is found. So do sound experiments with other SOCs, bit widths and
methods, whose outputs are not measured. Exit code 1 if a row fails.
"""

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import PROJECT
from benchmarks.common.bars import BarResult, bar_table
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import evenly, link_under_own_names
from benchmarks.common.processes import call_in_fresh_process
from benchmarks.common.tables import Row, results_table
from benchmarks.diagnosis.faults import SOUND_EXPERIMENTS, Fault, plant_faults
from benchmarks.diagnosis.outputs import Outputs, float_outputs, mean_cosine, simulated_outputs
from stages.core.base.artifacts import read_json, write_json, write_text
from stages.core.base.console import console, output
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.paths import DIAGNOSIS, METRICS
from stages.core.command import guarded

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
NO_FINDING = {"kind": None, "node": None, "cure": None}


def main() -> None:
    parser = benchmark_parser("benchmarks.diagnosis", __doc__)
    parser.add_argument("--faults", metavar="A,B", help="these rows only, by the table's first column")
    arguments = parser.parse_args()
    report = resolved(arguments.json)
    names = arguments.faults.split(",") if arguments.faults else None
    sys.exit(guarded(lambda: diagnosis(arguments.data.resolve(), names, report), arguments.debug))


def diagnosis(data: Path, names: Sequence[str] | None, report: Path | None) -> int:
    """Plant each fault, print the table, write the rows as they come.

    Args:
        data: DIR.
        names: of faults; None: all.
        report: where the rows are written.

    Returns:
        1 if a row fails, else 0.

    Raises:
        UserError: if DIR lacks something, or the pipeline fails.
    """
    pictures, _ = find_data(NETWORKS["lite0"], data, least=200)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        create_project(pictures)
        base = base_overrides(data / "imagenet_sample" / "labels.csv")
        console.print("sound")
        start = time.perf_counter()
        shell(compose_command(base), "dvc repro")
        sound = measure(None)
        for fault in select_faults([Fault("sound", None, None, ()), *SOUND_EXPERIMENTS, *plant_faults()], names):
            if fault.overrides:
                console.print(fault.name)
                start = time.perf_counter()
            measured = fault.kind is not None or not fault.overrides
            rows.append(measured_row(fault, base, sound, start) if measured else compared_row(fault, base))
            if report:
                write_json(report, rows)
    results = [BarResult(**result) for row in rows for result in row["bars"]]
    output.print(results_table("planted faults", rows, COLUMNS, left=("fault", "first_finding", "node", "cure")))
    output.print(bar_table(results, "fault"))
    return int(not all(result.passed for result in results))


def select_faults(faults: Sequence[Fault], names: Sequence[str] | None) -> list[Fault]:
    """Select faults by name, in the order of the list.

    Raises:
        UserError: for a name that none of them has.
    """
    known = [fault.name for fault in faults]
    for name in names or []:
        if name not in known:
            raise UserError(f"--faults: no such fault {name!r}; {did_you_mean(name, known)}")
    return [fault for fault in faults if names is None or fault.name in names]


def create_project(pictures: Sequence[Path]) -> None:
    """Make the current folder a project of its own, with pictures of each kind."""
    for name in ("conf", "stages"):
        Path(name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "dvc.yaml", "dvc.yaml")
    settings = (PROJECT / ".dvc" / "config").read_text(encoding="utf-8")
    write_text(Path(".dvc/config"), settings.replace("[core]", "[core]\n    no_scm = True"))
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
    row = _finding_columns(fault, before.findings) | {
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
    row: Row = dict.fromkeys(COLUMNS) | _finding_columns(fault, findings)
    return row | {
        "seconds": time.perf_counter() - start,
        "sentences": [finding["sentence"] for finding in findings],
        "bars": [asdict(result) for result in hold_bars(fault, row)],
    }


def _finding_columns(fault: Fault, findings: Sequence[Mapping[str, Any]]) -> Row:
    first = findings[0] if findings else NO_FINDING
    return {"fault": fault.name, "first_finding": first["kind"], "node": first["node"], "cure": first["cure"]}


def hold_bars(fault: Fault, row: Row) -> list[BarResult]:
    """Hold a row against its bars: the first finding's kind and node, that the fault harms, that the cure restores.

    The share of right pictures counts where the float network is the sound one.
    """
    expected = " ".join(filter(None, (fault.kind or "none", fault.node)))
    finding = " ".join(filter(None, (row["first_finding"] or "none", row["node"])))
    results = [BarResult(fault.name, f"first finding: {expected}", finding, finding == expected)]
    if fault.kind:
        least, before, after = row["sound"] - COSINE_MARGIN, row["before"], row["after"]
        results.append(BarResult(fault.name, f"cosine before < {least:.4f}", before, before < least))
        results.append(BarResult(fault.name, f"{CURED_PREFIX} cosine >= {least:.4f}", after, after >= least))
    if fault.kind and not fault.own_reference:
        least, after = row["top1_sound"] - TOP1_MARGIN, row["top1_after"]
        results.append(BarResult(fault.name, f"{CURED_PREFIX} top-1 >= {least:.4g}", after, after >= least))
    return results


def compose_command(overrides: Sequence[str]) -> str:
    """The command line that composes an experiment."""
    return shlex.join(["python", "-m", "stages.compose", *overrides])


def first_cure(printed: str) -> str | None:
    """The command under compare's first finding; None if there is none."""
    match = re.search(r"^finding 1: .*\n  try: (.*)$", printed, re.MULTILINE)
    return match[1] if match else None


def shell(*lines: str) -> str:
    """Run command lines in the current folder; gives what they print.

    Raises:
        UserError: if one fails, with the end of what it printed.
    """
    text = ""
    for line in lines:
        finished = subprocess.run(line, shell=True, env=environment(), capture_output=True, text=True, check=False)
        if finished.returncode:
            printed = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
            raise UserError(f"`{line}` ended with exit code {finished.returncode}: {' '.join(printed[-3:])}")
        text += finished.stdout
    return text


def environment() -> dict[str, str]:
    """This interpreter and its tools first, this project's packages, a store of runs of its own."""
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return kept | {"PATH": path, "PYTHONPATH": str(PROJECT), "COLUMNS": "400"}


def measure(reference: Outputs | None) -> Measured:
    """Measure the experiment in the current folder; the float network runs only where there is no reference."""
    expected = call_in_fresh_process(float_outputs)[0] if reference is None else reference
    return Measured(
        expected,
        mean_cosine(expected, call_in_fresh_process(simulated_outputs)[0]),
        float(read_json(METRICS)["quantized"]["top1"]),
        read_json(DIAGNOSIS)["findings"],
    )


if __name__ == "__main__":
    main()
