"""Sweeps, measured: `python -m benchmarks.sweep --json FILE`.

Everything runs in clones of this repository's last commit in a temporary folder, each with a cache of its own. `--tiny`
takes a network of four layers in place of the default project, for the parts that are about correctness.

| row | what | bound |
|---|---|---|
| cold | seconds of 8 points whose shared stages are cached, over one `dvc repro` of the whole pipeline | 4 |
| shared | times that calibrate ran for them | 1 |
| warm | the same 8 points again, seconds a point | 2 |
| executed | stages that ran for those | 0 |
| children | runs under the new parent | 8 |
| two | points completed by two sweeps at once, 8 each, 4 in common | 16 |
| twice | stages that both sweeps ran for the same point | 0 |
| bad width | points completed beside one point with bits that the SOC lacks | 7 |
| bad folder | points completed beside four points whose calibration folder does not exist | 4 |
| killed | of twelve kills (-9) at random moments, half of the sweep and half of a job, that left a difference | 0 |

After a kill the same command must complete, with an undisturbed sweep's bytes. Once more it must find all in the cache.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import onnx
from rich.table import Table

from benchmarks.common import PROJECT
from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.tables import Row
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.command import guarded
from stages.core.config.composition import compose
from stages.core.config.overrides import quoted

SEED = 1
KILLS = 12
EIGHT_POINTS = ("quant.feature_bits=4,8,10,12", "quant.weight_bits=4,8")
OTHER_EIGHT_POINTS = ("quant.feature_bits=8,10,14,16", "quant.weight_bits=4,8")
SHARED_STAGES_POINT = ("quant.feature_bits=32",)
TWO_POINTS = ("quant.feature_bits=4,8",)


@dataclass(frozen=True)
class Bench:
    """Where sweeps are measured.

    Attributes:
        root: temporary folder of the clones.
        base: overrides of every point.
        pictures: a calibration source to try beside one that does not exist.
        tiny: whether the network is the small one.
    """

    root: Path
    base: tuple[str, ...]
    pictures: str
    tiny: bool

    def clone(self, name: str) -> Path:
        """Clone the repository; the clone has an empty cache."""
        folder = self.root / name
        subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
        if self.tiny:
            tests: Any = import_module("tests.networks")  # mypy does not check tests
            experiment: str = import_module("tests.sweep.sweeps").TINY
            (folder / "conf/experiment/small.yaml").write_text(experiment)
            onnx.save(tests.tiny_classifier(), folder / "tiny.onnx")
            tests.write_pictures(folder / "pictures/calibration", 12, seed=1)
            for index, label in enumerate(("ant", "bee", "cat")):
                tests.write_pictures(folder / "pictures/evaluation" / label, 2, seed=10 + index)
        return folder

    def start(self, folder: Path, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a sweep in a clone."""
        line = [sys.executable, "-m", "stages.sweep", *self.base, *words, "--json", f"{os.urandom(4).hex()}.points"]
        with self._log(folder).open("ab") as log:
            return subprocess.Popen(
                line, cwd=folder, env=_environment(), stdout=log, stderr=log, start_new_session=True
            )

    def sweep(self, folder: Path, words: Sequence[str]) -> list[Row]:
        """Run a sweep to its end; gives its points."""
        with self.start(folder, words) as process:
            return self.points(process, folder)

    def pipeline(self, folder: Path) -> float:
        """Run `dvc repro` in a clone; gives its seconds."""
        environment = _environment()
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        compose = [sys.executable, "-m", "stages.compose", *(f"+{word}" for word in self.base)]
        subprocess.run(compose, cwd=folder, env=environment, check=True)
        start = time.perf_counter()
        with self._log(folder).open("ab") as log:
            subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=environment, stdout=log, check=True)
        return time.perf_counter() - start

    def points(self, process: "subprocess.Popen[bytes]", folder: Path) -> list[Row]:
        """Wait for a sweep; gives its points in the order tried.

        Raises:
            UserError: if it ends otherwise than with all points tried.
        """
        code = process.wait()
        arguments = process.args
        assert isinstance(arguments, list)
        file = folder / str(arguments[-1])
        if not file.exists():
            printed = self._log(folder).read_text().splitlines()
            raise UserError(f"a sweep in {folder} ended with exit code {code}: {' | '.join(printed[-5:])}")
        points = json.loads(file.read_text())["points"]
        return sorted(points, key=lambda point: int(point["point"]))

    def _log(self, folder: Path) -> Path:
        return self.root / f"{folder.name}.log"


def _environment() -> dict[str, str]:
    """A clone imports its own code and has its own store of runs."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}


def main() -> None:
    parser = benchmark_parser("benchmarks.sweep", __doc__, data=False)
    parser.add_argument("--tiny", action="store_true", help="a network of four layers in place of the default project")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts only")
    arguments = parser.parse_args()
    only = arguments.only or list(PARTS)
    sys.exit(guarded(partial(measure, arguments.tiny, only, resolved(arguments.json)), arguments.debug))


def measure(tiny: bool, only: Sequence[str], report: Path | None) -> int:
    """Measure the parts, print the table and write the rows; gives 1 if a bound is missed."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="sweeps-") as root:
        base = ("experiment=small",) if tiny else ()
        bench = Bench(Path(root), base, "file:pictures/calibration" if tiny else _photos(), tiny)
        for name, part in PARTS.items():
            if name in only:
                console.print(f"{name} ...", style="dim")
                rows += part(bench)
                if report:
                    write_json(report, rows)
    table = Table("", "measured", "bound", "")
    for row in rows:
        table.add_row(row["row"], f"{row['measured']:.3g}", f"{row['bound']:g}", "" if row["holds"] else "MISSED")
    output.print(table)
    return 0 if all(row["holds"] for row in rows) else 1


def _photos() -> str:
    """The default project's evaluation photos; here they calibrate."""
    source = compose((), PROJECT / "conf")[0].data.evaluation.source
    assert isinstance(source, str)
    return source


def _row(name: str, value: float, bound: float, exact: bool = True, **more: Any) -> Row:
    holds = value == bound if exact else value <= bound
    return {"row": name, "measured": value, "bound": bound, "holds": holds, **more}


def speed(bench: Bench) -> list[Row]:
    """Eight points cold and warm."""
    whole_folder, folder = bench.clone("whole"), bench.clone("speed")
    bench.sweep(folder, SHARED_STAGES_POINT)
    start = time.perf_counter()
    cold = bench.sweep(folder, EIGHT_POINTS)
    cold_seconds = time.perf_counter() - start
    whole = bench.pipeline(whole_folder)
    start = time.perf_counter()
    warm = bench.sweep(folder, EIGHT_POINTS)
    warm_seconds = time.perf_counter() - start
    calibrated = 1 + sum("calibrate" in point["executed"] for point in cold)
    return [
        _row("cold", cold_seconds / whole, 4, exact=False, seconds=cold_seconds, whole=whole),
        _row("shared", calibrated, 1),
        _row("warm", warm_seconds / len(warm), 2, exact=False, points=[point["seconds"] for point in warm]),
        _row("executed", sum(len(point["executed"]) for point in warm), 0),
        _row("children", _children(folder, warm), 8),
    ]


def _children(folder: Path, points: Sequence[Row]) -> int:
    """Finished runs of these points under their parent; -1 if it has other runs too."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    first = client.get_run(points[0]["run_id"])
    condition = f"tags.`mlflow.parentRunId` = '{first.data.tags['mlflow.parentRunId']}'"
    runs = client.search_runs([first.info.experiment_id], condition)
    expected = {point["run_id"] for point in points}
    if len(runs) != len(expected):
        return -1
    return sum(run.info.status == "FINISHED" and run.info.run_id in expected for run in runs)


def two_at_once(bench: Bench) -> list[Row]:
    """Two sweeps in two processes, on an empty cache and without a store."""
    folder = bench.clone("two")
    with bench.start(folder, EIGHT_POINTS) as one, bench.start(folder, OTHER_EIGHT_POINTS) as other:
        both = [bench.points(one, folder), bench.points(other, folder)]
    points = [point for points in both for point in points]
    ran = Counter(
        (stage, *point["overrides"]) for point in points for stage in point["executed"] if stage != "calibrate"
    )
    return [
        _row("two", sum(point["error"] is None for point in points), 16),
        _row("twice", sum(count > 1 for count in ran.values()), 0),
        _row("calibrated", sum("calibrate" in point["executed"] for point in points), 1),
    ]


def bad_points(bench: Bench) -> list[Row]:
    """One point with bits that the SOC lacks; a calibration folder that does not exist."""
    folder = bench.clone("bad")
    bit_widths = bench.sweep(folder, ("quant.feature_bits=4,8,9,10,12,14,16,32",))
    sources = bench.sweep(folder, (f"data.calibration.source={quoted(bench.pictures)},file:nowhere", EIGHT_POINTS[0]))
    return [
        _row("bad width", sum(point["error"] is None for point in bit_widths), 7),
        _row("bad folder", sum(point["error"] is None for point in sources), 4),
    ]


def killed(bench: Bench) -> list[Row]:
    """Kill a sweep, or a job of one, and give the same command again."""
    folder = bench.clone("undisturbed")
    start = time.perf_counter()
    expected = [_digests(Path(point)) for point in _folders(folder, bench.sweep(folder, TWO_POINTS))]
    length = time.perf_counter() - start
    random_moment, broken, moments = random.Random(SEED), 0, []
    for turn in range(KILLS):
        folder = bench.clone(f"killed{turn}")
        moments.append(random_moment.uniform(0, length))
        _kill(bench, folder, moments[-1], whole_sweep=turn % 2 == 0)
        digests = [_digests(Path(point)) for point in _folders(folder, bench.sweep(folder, TWO_POINTS))]
        again = bench.sweep(folder, TWO_POINTS)
        sound = digests == expected and not any(point["executed"] or point["error"] for point in again)
        broken += not sound
        console.print(
            f"  kill {turn + 1} at {moments[-1]:.1f} s: {'as undisturbed' if sound else 'BROKEN'}", style="dim"
        )
        if sound:
            shutil.rmtree(folder, ignore_errors=True)
    return [_row("killed", broken, 0, moments=moments)]


def _kill(bench: Bench, folder: Path, moment: float, whole_sweep: bool) -> None:
    """Start a sweep and kill it, or only the jobs that work for it, after some seconds."""
    with bench.start(folder, TWO_POINTS) as process:
        time.sleep(moment)
        for pid in [process.pid] if whole_sweep else list(_jobs(folder)):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _jobs(folder: Path) -> Iterator[int]:
    """Processes that work in a point's folder: `dvc repro` and the stage that it runs."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder / "sweeps"):
                yield int(process.name)
        except OSError:
            continue


def _folders(folder: Path, points: Sequence[Row]) -> list[str]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return [client.get_run(point["run_id"]).data.tags["folder"] for point in points]


def _digests(folder: Path) -> dict[str, str]:
    """Path -> sha256 of every file below out/ in a point's folder."""
    files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "speed": speed,
    "two": two_at_once,
    "bad": bad_points,
    "killed": killed,
}


if __name__ == "__main__":
    main()
