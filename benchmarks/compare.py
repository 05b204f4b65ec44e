"""What compare costs: `python -m benchmarks.compare --data DIR --json FILE`.

Compares 16 debug pictures of each network (T40, 8 bits, 64 pictures calibrated), beside one float and one exact pass
over the same pictures, in turns. Exit code 1 if the bar is missed, 2 if something is missing.

DIR holds imagenet_sample/ (photos, labels.csv), coco_train128/images/ (photos) and models/yolox_nano_416.onnx. Medians:

compare_s      seconds of `python -m stages.compare` with compare.isolated=false, from start to end: imports, tables,
               diagnosis with the search of the input's alternatives (EfficientNet-Lite0 has labels for it), report
passes_s       seconds of `python -m benchmarks.passes`, from start to end: imports, reading both networks and the
               pictures, one float and one exact run a picture that return the outputs only
every_s        the same with --every: the runs return every tensor, as compare needs them
isolated_s     compare_s with compare.isolated=true: three more networks on each picture
compare_ratio  compare_s / passes_s: the bar is 4; every_ratio: compare_s / every_s
isolated_ratio isolated_s / compare_s
work_ratio     compare without its start and imports (work_s) / the same of the passes, outputs only (passes_work_s)
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

from rich.table import Table

from benchmarks.bars import Row, Verdict, bar_table
from benchmarks.common import PROJECT, alone, clock, run
from benchmarks.networks import NETWORKS, find_data, networks_command
from benchmarks.passes import passes
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.config.load import load_params

COUNTS = {"calibration": 64, "debug": 16, "evaluation": 32}
"""Pictures of each kind, no picture of two kinds."""
TURNS = 5
MOST = 4.0
COLUMNS = [
    "network", "compare_s", "passes_s", "every_s", "isolated_s", "compare_ratio", "every_ratio", "isolated_ratio",
    "work_ratio",
]  # fmt: skip


def main() -> None:
    networks_command("benchmarks.compare", __doc__ or "", compare)


def compare(names: Sequence[str], data: Path, report: Path | None) -> bool:
    """Measure networks, print the table and write the rows; gives whether the bar is reached.

    Raises:
        UserError: if the data or a stage's input is missing.
    """
    os.environ.pop("SOCQUANT_THREADS", None)
    found = {name: find_data(NETWORKS[name], data.resolve(), sum(COUNTS.values())) for name in names}
    target, rows = report.resolve() if report else None, list[Row]()
    for name, (pictures, file) in found.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows.append(measure(name, pictures, file))
        if target:
            write_json(target, rows)
    shown = Table(title="compare")
    for key in COLUMNS:
        shown.add_column(key.replace("_", " "), justify="left" if key == "network" else "right")
    for row in rows:
        shown.add_row(*(row[key] if key == "network" else f"{row[key]:.3g}" for key in COLUMNS))
    output.print(shown)
    key = "compare_ratio"
    held = [Verdict(row["network"], f"{key} <= {MOST:g}", row[key], row[key] <= MOST) for row in rows]
    output.print(bar_table(held))
    return all(verdict.passed for verdict in held)


def measure(name: str, pictures: Sequence[Path], file: Path | None) -> Row:
    """Measure one network in the current (temporary) folder; gives its row."""
    prepare(pictures, file)
    overrides = composition(name, pictures[0].parent / "labels.csv")
    run("compose", *overrides)
    for stage in ("export", "calibset", "calibrate", "quantize", "compare"):
        console.print(f"{name}: {stage}")
        run(stage)
    turns: dict[str, list[float]] = {}
    for turn in range(TURNS):
        console.print(f"{name}: turn {turn + 1} of {TURNS}")
        run("compose", *overrides)
        clocks: dict[str, Callable[[], float]] = {
            "compare_s": lambda: run("compare").seconds,
            "passes_s": lambda: clock(lambda: process("benchmarks.passes")),
            "every_s": lambda: clock(lambda: process("benchmarks.passes", "--every")),
            "work_s": lambda: alone(compare_seconds)[0],
            "passes_work_s": lambda: alone(passes_seconds)[0],
        }
        for key, clocked in clocks.items():
            turns.setdefault(key, []).append(clocked())
        run("compose", *overrides, "compare.isolated=true")
        turns.setdefault("isolated_s", []).append(run("compare").seconds)
    row: Row = {"network": name} | {key: statistics.median(values) for key, values in turns.items()}
    return row | {
        "pictures": COUNTS["debug"],
        "compare_ratio": row["compare_s"] / row["passes_s"],
        "every_ratio": row["compare_s"] / row["every_s"],
        "isolated_ratio": row["isolated_s"] / row["compare_s"],
        "work_ratio": row["work_s"] / row["passes_work_s"],
    }


def prepare(pictures: Sequence[Path], file: Path | None) -> None:
    """Link what the config names into the current folder, under the pictures' own names."""
    rest = list(pictures)
    for kind, count in COUNTS.items():
        Path(kind).mkdir()
        taken = [rest[index * len(rest) // count] for index in range(count)]
        for picture in taken:
            (Path(kind) / picture.name).symlink_to(picture)
        rest = [picture for picture in rest if picture not in taken]
    if file:
        Path("network.onnx").symlink_to(file)


def composition(name: str, labels: Path) -> list[str]:
    """The overrides for a network; labels where there are some."""
    sources = [f"data.{kind}.source=file:{kind}" for kind in COUNTS]
    scored = [f'data.evaluation.labels="file:{labels}"'] if labels.is_file() else ["data.evaluation.task=none"]
    if not labels.is_file():
        scored.append("data.evaluation.labels=null")
    return [*NETWORKS[name].overrides, "data=folder", *sources, *scored, "compare.isolated=false"]


def process(module: str, *arguments: str) -> None:
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
        return clock(lambda: stage(load_params(Path("params.yaml"))))


def passes_seconds() -> float:
    """Seconds of the passes in this fresh process, imports not counted; the networks return their outputs only."""
    return clock(lambda: passes(every=False))


if __name__ == "__main__":
    main()
