"""What compare costs: `python -m benchmarks.compare --data DIR --json FILE`.

Compares 16 debug pictures of each network (T40, 8 bits, 64 pictures that calibrate), beside one float and one exact
pass over the same pictures, in turns. Exit code 1 if the bar is missed, 2 if something is missing.

DIR holds imagenet_sample/ (photos, labels.csv), coco_train128/images/ (photos) and models/yolox_nano_416.onnx. Medians:

compare_s      seconds of `python -m stages.compare` with compare.isolated=false, from start to end: imports, tables,
               diagnosis with the search of the input's alternatives (EfficientNet-Lite0 has labels for it), report
passes_s       seconds of `python -m benchmarks.passes`, from start to end: imports, reading both networks and the
               pictures, one float and one exact run a picture that return the outputs only
every_s        the same with --every: the runs return every tensor, as compare needs them
isolated_s     compare_s with compare.isolated=true: three more networks on each picture
compare_ratio  compare_s / passes_s: the bar is 4; every_ratio: compare_s / every_s
isolated_ratio isolated_s / compare_s
work_ratio     compare without its start and imports (work_s) / the passes without theirs, outputs only (passes_work_s)
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import PROJECT
from benchmarks.common.bars import BarResult, bar_table
from benchmarks.common.command import networks_command
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import evenly, link_under_own_names
from benchmarks.common.processes import call_in_fresh_process, run_stage
from benchmarks.common.project import link_network
from benchmarks.common.tables import Row, results_table
from benchmarks.common.timing import seconds_of
from benchmarks.passes import run_passes
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.config.load import load_params

PICTURES = {"calibration": 64, "debug": 16, "evaluation": 32}
"""Pictures of each kind; no picture is of two kinds."""
TURNS = 5
MAX_COMPARE_RATIO = 4.0
COLUMNS = [
    "network", "compare_s", "passes_s", "every_s", "isolated_s", "compare_ratio", "every_ratio", "isolated_ratio",
    "work_ratio",
]  # fmt: skip


def main() -> None:
    networks_command("benchmarks.compare", __doc__, compare)


def compare(names: Sequence[str], data: Path, report: Path | None) -> bool:
    """Measure networks, print the table and write the rows; gives whether the bar is reached.

    Raises:
        UserError: if the data or a stage's input is missing.
    """
    os.environ.pop("SOCQUANT_THREADS", None)
    data_of = {name: find_data(NETWORKS[name], data, sum(PICTURES.values())) for name in names}
    rows: list[Row] = []
    for name, (pictures, file) in data_of.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows.append(measure(name, pictures, file))
        if report:
            write_json(report, rows)
    output.print(results_table("compare", rows, COLUMNS, left=("network",)))
    bar = f"compare_ratio <= {MAX_COMPARE_RATIO:g}"
    ratios = [(row["network"], row["compare_ratio"]) for row in rows]
    results = [BarResult(network, bar, ratio, ratio <= MAX_COMPARE_RATIO) for network, ratio in ratios]
    output.print(bar_table(results))
    return all(result.passed for result in results)


def measure(name: str, pictures: Sequence[Path], file: Path | None) -> Row:
    """Measure one network in the current (temporary) folder; gives its row."""
    link_data(pictures, file)
    overrides = composition(name, pictures[0].parent / "labels.csv")
    run_stage("compose", *overrides)
    for stage in ("export", "calibset", "calibrate", "quantize", "compare"):
        console.print(f"{name}: {stage}")
        run_stage(stage)
    turns: dict[str, list[float]] = {}
    for turn in range(TURNS):
        console.print(f"{name}: turn {turn + 1} of {TURNS}")
        run_stage("compose", *overrides)
        clocks: dict[str, Callable[[], float]] = {
            "compare_s": lambda: run_stage("compare").seconds,
            "passes_s": lambda: seconds_of(lambda: run_module("benchmarks.passes")),
            "every_s": lambda: seconds_of(lambda: run_module("benchmarks.passes", "--every")),
            "work_s": lambda: call_in_fresh_process(compare_seconds)[0],
            "passes_work_s": lambda: call_in_fresh_process(passes_seconds)[0],
        }
        for key, clock in clocks.items():
            turns.setdefault(key, []).append(clock())
        run_stage("compose", *overrides, "compare.isolated=true")
        turns.setdefault("isolated_s", []).append(run_stage("compare").seconds)
    row: Row = {"network": name} | {key: statistics.median(values) for key, values in turns.items()}
    return row | {
        "pictures": PICTURES["debug"],
        "compare_ratio": row["compare_s"] / row["passes_s"],
        "every_ratio": row["compare_s"] / row["every_s"],
        "isolated_ratio": row["isolated_s"] / row["compare_s"],
        "work_ratio": row["work_s"] / row["passes_work_s"],
    }


def link_data(pictures: Sequence[Path], file: Path | None) -> None:
    """Link the config's pictures and network into the current folder, pictures under their own names."""
    folders, rest = {}, list(pictures)
    for kind, count in PICTURES.items():
        folders[kind] = evenly(rest, count)
        rest = [picture for picture in rest if picture not in folders[kind]]
    link_under_own_names(folders)
    link_network(file)


def composition(name: str, labels: Path) -> list[str]:
    """The overrides for a network; with labels if the file exists."""
    sources = [f"data.{kind}.source=file:{kind}" for kind in PICTURES]
    if labels.is_file():
        evaluation = [f'data.evaluation.labels="file:{labels}"']
    else:
        evaluation = ["data.evaluation.labels=null", "data.evaluation.task=none"]
    return [*NETWORKS[name].overrides, "data=folder", *sources, *evaluation, "compare.isolated=false"]


def run_module(module: str, *arguments: str) -> None:
    """Run a module of this project in the current folder.

    Raises:
        UserError: if it fails.
    """
    line = [sys.executable, "-m", module, *arguments]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    if subprocess.run(line, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
        raise UserError(f"`python -m {module}` failed")


def compare_seconds() -> float:
    """Seconds of the stage's function in this fresh process, imports not counted."""
    from stages.compare.__main__ import compare as stage  # noqa: PLC0415  not counted, and not for the parent to load

    with contextlib.redirect_stdout(io.StringIO()):
        return seconds_of(lambda: stage(load_params(Path("params.yaml"))))


def passes_seconds() -> float:
    """Seconds of the passes in this fresh process, imports not counted; the networks return their outputs only."""
    return seconds_of(lambda: run_passes(every_tensor=False))


if __name__ == "__main__":
    main()
