"""Whether compare names planted faults and its cures mend them: `python -m benchmarks.diagnosis --data DIR`.

Plants one fault at a time in EfficientNet-Lite0 on the T40 at 8 bits, runs the pipeline, takes the line that compare
prints under its first finding, runs it as it is printed, and measures the network before and after.

DIR holds imagenet_sample/: 200 .jpg pictures or more, and labels.csv (columns file and index, the class).

Columns: the cosine of the quantized outputs with the sound float network's (with its own where the fault makes another
float network) and the share of pictures that are right, with the fault, with the cure, and without the fault.

A row passes if the first finding is of the fault's kind and names its node, the fault did harm, and the cure brings
the network back to what it is without the fault; the sound network passes if nothing is found, and so do sound ones of
other SOCs, widths and methods, whose outputs are not measured. Exit code 1 if a row fails.
"""

import argparse
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.bars import Verdict, bar_table
from benchmarks.common import PROJECT, alone
from benchmarks.faults import SOUND, Fault, plant
from benchmarks.networks import NETWORKS, find_data
from stages.core.base.artifacts import read_json, write_json, write_text
from stages.core.base.console import console, output
from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.paths import DIAGNOSIS, FLOAT_MODEL, INPUTS, INTEGER_MODEL, METRICS
from stages.core.command import guarded
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import cosine

Row = dict[str, Any]
Outputs = NDArray[np.float32]

COLUMNS = [
    "fault", "first_finding", "node", "cure", "before", "after", "sound", "top1_before", "top1_after", "top1_sound",
    "restored", "seconds",
]  # fmt: skip
COUNTS = {"calibration": 32, "debug": 12, "evaluation": 100}
"""Pictures of each kind, no picture of two kinds; 4 of the debug pictures are compared."""
NEAR = 0.005
"""A network is restored whose cosine is so near to the sound network's, and harmed if it is farther."""
AFTER = "cured:"
NEAR_TOP1 = 0.03  # the share of right pictures: of 100 pictures one or two change sides by rounding alone


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diagnosis",
        description=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder of pictures")
    parser.add_argument("--faults", metavar="A,B", help="these rows only, by the table's first column")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args()
    target = arguments.json.resolve() if arguments.json else None
    only = arguments.faults.split(",") if arguments.faults else None
    sys.exit(guarded(lambda: diagnosis(arguments.data.resolve(), only, target), arguments.debug))


def diagnosis(data: Path, only: Sequence[str] | None, target: Path | None) -> int:
    """Plant each fault, print the table, write the rows as they come.

    Args:
        data: DIR.
        only: names of faults; None: all.
        target: where rows go.

    Returns:
        1 if a row fails, else 0.

    Raises:
        UserError: if DIR lacks something, or the pipeline fails.
    """
    pictures, _ = find_data(NETWORKS["lite0"], data, least=200)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare(pictures)
        base = base_overrides(data / "imagenet_sample" / "labels.csv")
        console.print("sound")
        start = time.perf_counter()
        shell(composing(base), "dvc repro")
        sound = measure(None)
        for fault in chosen([Fault("sound", None, None, ()), *SOUND, *plant()], only):
            if fault.overrides:
                console.print(fault.name)
                start = time.perf_counter()
            rows.append(row(fault, base, sound, start) if fault.kind or not fault.overrides else silent(fault, base))
            if target:
                write_json(target, rows)
    held = [Verdict(**each) for found in rows for each in found["bars"]]
    output.print(table(rows))
    output.print(bar_table(held, "fault"))
    return int(not all(each.passed for each in held))


def chosen(faults: Sequence[Fault], names: Sequence[str] | None) -> list[Fault]:
    """Pick faults by name, in the order of the list.

    Raises:
        UserError: for a name that none of them has.
    """
    known = [fault.name for fault in faults]
    for name in names or []:
        if name not in known:
            raise UserError(f"--faults: no such fault {name!r}; {did_you_mean(name, known)}")
    return [fault for fault in faults if names is None or fault.name in names]


def prepare(pictures: Sequence[Path]) -> None:
    """Make the current folder a project of its own, with pictures of each kind."""
    for name in ("conf", "stages"):
        Path(name).symlink_to(PROJECT / name)
    shutil.copy(PROJECT / "dvc.yaml", "dvc.yaml")
    settings = (PROJECT / ".dvc" / "config").read_text(encoding="utf-8")
    write_text(Path(".dvc/config"), settings.replace("[core]", "[core]\n    no_scm = True"))
    count, first = sum(COUNTS.values()), 0
    chosen = [pictures[index * len(pictures) // count] for index in np.random.default_rng(0).permutation(count)]
    for kind, wanted in COUNTS.items():
        Path(kind).mkdir()
        for picture in chosen[first : first + wanted]:
            (Path(kind) / picture.name).symlink_to(picture)
        first += wanted


def base_overrides(labels: Path) -> list[str]:
    """The sound experiment."""
    sources = [f"data.{kind}.source=file:{kind}" for kind in COUNTS]
    return ["data=folder", *sources, f'data.evaluation.labels="file:{labels}"']


@dataclass(frozen=True)
class Measured:
    """A run of the pipeline.

    Attributes:
        expected: what the float network gives on the evaluation pictures: [P, classes].
        cosine: of that with what the quantized network gives, averaged over the pictures.
        top1: the share of pictures that the quantized network gets right.
        findings: of diagnosis.json.
    """

    expected: Outputs
    cosine: float
    top1: float
    findings: Sequence[Mapping[str, Any]]


def row(fault: Fault, base: Sequence[str], sound: Measured, start: float) -> Row:
    """Run the experiment with a fault, then its first cure; `start` is when that began."""
    reference = None if fault.own_reference else sound.expected
    before, printed = sound, None
    if fault.kind:
        text = shell(composing([*base, *fault.overrides]), "dvc repro compare evaluate")
        before, printed = measure(reference), first_cure(text)
    after = before
    if printed:
        shell(printed)
        after = measure(reference)
    first = before.findings[0] if before.findings else {"kind": None, "node": None, "cure": None}
    found: Row = {
        "fault": fault.name,
        "first_finding": first["kind"],
        "node": first["node"],
        "cure": first["cure"],
        "before": before.cosine,
        "after": after.cosine,
        "sound": sound.cosine,
        "top1_before": before.top1,
        "top1_after": after.top1,
        "top1_sound": sound.top1,
    }
    held = verdicts(fault, found)
    return found | {
        "restored": all(each.passed for each in held if each.bar.startswith(AFTER)) if fault.kind else None,
        "left": [each["kind"] for each in after.findings],
        "seconds": time.perf_counter() - start,
        "printed": printed,
        "sentences": [each["sentence"] for each in before.findings],
        "bars": [asdict(each) for each in held],
    }


def silent(fault: Fault, base: Sequence[str]) -> Row:
    """Compare an experiment that nothing is wrong with: whether anything is found is all that is asked."""
    start = time.perf_counter()
    shell(composing([*base, *fault.overrides]), "dvc repro compare")
    findings = read_json(DIAGNOSIS)["findings"]
    first = findings[0] if findings else {"kind": None, "node": None, "cure": None}
    found: Row = dict.fromkeys(COLUMNS) | {
        "fault": fault.name,
        "first_finding": first["kind"],
        "node": first["node"],
        "cure": first["cure"],
        "seconds": time.perf_counter() - start,
        "sentences": [each["sentence"] for each in findings],
    }
    return found | {"bars": [asdict(each) for each in verdicts(fault, found)]}


def verdicts(fault: Fault, found: Row) -> list[Verdict]:
    """Hold a row against what is asked: the first finding's kind and node, that the fault harms, that the cure mends.

    The share of right pictures counts where the float network is the sound one.
    """
    named = " ".join(filter(None, (fault.kind or "none", fault.node)))
    said = " ".join(filter(None, (found["first_finding"] or "none", found["node"])))
    held = [Verdict(fault.name, f"first finding: {named}", said, said == named)]
    if fault.kind:
        near = found["sound"] - NEAR
        held.append(Verdict(fault.name, f"cosine before < {near:.4f}", found["before"], found["before"] < near))
        held.append(Verdict(fault.name, f"{AFTER} cosine >= {near:.4f}", found["after"], found["after"] >= near))
    if fault.kind and not fault.own_reference:
        near = found["top1_sound"] - NEAR_TOP1
        held.append(
            Verdict(fault.name, f"{AFTER} top-1 >= {near:.4g}", found["top1_after"], found["top1_after"] >= near)
        )
    return held


def composing(overrides: Sequence[str]) -> str:
    """The command line that composes an experiment."""
    return shlex.join(["python", "-m", "stages.compose", *overrides])


def first_cure(printed: str) -> str | None:
    """The line to type under compare's first finding; None if there is none."""
    found = re.search(r"^finding 1: .*\n  try: (.*)$", printed, re.MULTILINE)
    return found[1] if found else None


def shell(*lines: str) -> str:
    """Run command lines in the current folder; gives what they print.

    Raises:
        UserError: if one fails, with the end of what it printed.
    """
    text = ""
    for line in lines:
        done = subprocess.run(line, shell=True, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise UserError(f"`{line}` ended with exit code {done.returncode}: {' '.join(said[-3:])}")
        text += done.stdout
    return text


def environment() -> dict[str, str]:
    """This interpreter and its tools first, this project's packages, a store of runs of its own."""
    found = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return found | {"PATH": path, "PYTHONPATH": str(PROJECT), "COLUMNS": "400"}


def measure(reference: Outputs | None) -> Measured:
    """What the experiment in the current folder gives; the float network is asked only where there is no reference."""
    expected = alone(float_outputs)[0] if reference is None else reference
    return Measured(
        expected,
        mean_cosine(expected, alone(simulated_outputs)[0]),
        float(read_json(METRICS)["quantized"]["top1"]),
        read_json(DIAGNOSIS)["findings"],
    )


def float_outputs() -> Outputs:
    """What the float network gives on the evaluation pictures: [P, classes]."""
    return _outputs(Runner(FLOAT_MODEL))


def simulated_outputs() -> Outputs:
    """What the integer network gives, exactly."""
    (name,) = Runner(FLOAT_MODEL).outputs
    return _outputs(Runner(simulator_model(load_integer_model(INTEGER_MODEL), [name]), optimize="safe"))


def _outputs(runner: Runner) -> Outputs:
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)

    def made() -> Iterator[Outputs]:
        files = select(config.data.evaluation, inputs, "data.evaluation")
        for read in read_samples(files, inputs, config.model.preprocess, "data.evaluation"):
            (values,) = runner.run(feeds(read.sample, inputs)).values()
            yield values.reshape(-1)

    return np.stack(list(made()))


def mean_cosine(expected: Outputs, actual: Outputs) -> float:
    """The cosine of each picture's outputs, averaged."""
    return float(np.mean([cosine(*pair) for pair in zip(expected, actual, strict=True)]))


def table(rows: Sequence[Row]) -> Table:
    """A row a fault."""
    shown = Table(title="planted faults")
    for key in COLUMNS:
        shown.add_column(key.replace("_", " "), overflow="fold")
    for each in rows:
        shown.add_row(*(_cell(each[key]) for key in COLUMNS))
    return shown


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
