"""Large inputs, measured: `python -m benchmarks.load`.

Everything is made in a temporary folder. Each part runs the stages at a size and at a part of it, and shows seconds of
CPU time and peak memory of both.

| part | small | large | bound |
|---|---|---|---|
| pictures | 500 calibration pictures | 5,000 | memory as with 500, time in proportion |
| nodes | a network of 750 nodes | 3,000 | time less than 8-fold: not quadratic |
| pixels | an input of 960 x 540 | 3840 x 2160 | memory in proportion |
| points | | a sweep of 64 points, 8 at the same time | all complete, each with a run of its own |
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.table import Table

from benchmarks.common.command import benchmark_parser, resolved
from benchmarks.common.processes import run_stage
from benchmarks.common.tables import cell
from benchmarks.docs.workspace import fresh_clone
from benchmarks.hostile.project import OVERRIDES, make_files
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output
from stages.core.base.errors import UserError
from stages.core.command import guarded

CHANNELS = 8
STAGES = ("export", "calibset", "calibrate", "quantize", "evaluate", "compare", "build")
MOST_MEMORY_GROWTH = 1.1
"""Of ten times the pictures."""
MOST_TIME_GROWTH = 8
"""Of four times the nodes: in proportion is 4, quadratic 16."""
POINTS = ("quant.feature_bits=4,8,10,12", "quant.weight_bits=2,4,6,8", "quant.feature_method=MAX_ABS,KL,MSE,PERCENTILE")


@dataclass(frozen=True)
class Row:
    """What was measured of a stage.

    Attributes:
        part: of the benchmark.
        what: the stage, or what was counted.
        small, large: CPU seconds at the two sizes; None of what is counted.
        small_mb, large_mb: peak memory.
        holds: whether the part's bound is kept.
    """

    part: str
    what: str
    small: float | None
    large: float | None
    small_mb: float | None
    large_mb: float | None
    holds: bool


def chain(nodes: int, height: int, width: int) -> onnx.ModelProto:
    """Convolutions of 3 x 3, each with an activation, then a mean: `images` [1, 3, height, width]."""
    rng = np.random.default_rng(0)
    made, constants, last, channels = [], [], "images", 3
    for index in range(nodes // 2):
        weight = rng.normal(0, (2 / (9 * channels)) ** 0.5, (CHANNELS, channels, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"w{index}"))
        made.append(helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], f"conv{index}", pads=[1] * 4))
        made.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu{index}"))
        last, channels = f"r{index}", CHANNELS
    made.append(helper.make_node("GlobalAveragePool", [last], ["pooled"], "pool"))
    made.append(helper.make_node("Flatten", ["pooled"], ["logits"], "flatten"))
    graph = helper.make_graph(
        made,
        "chain",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CHANNELS])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _usages(pictures: int, model: onnx.ModelProto | None, stages: Sequence[str]) -> dict[str, tuple[float, float]]:
    """CPU seconds and peak MB of stages on the small project, with more pictures or another network."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        make_files(Path(name))
        rng = np.random.default_rng(2)
        for index in range(pictures):
            cv2.imwrite(f"calibration/more{index}.png", rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        if model is not None:
            onnx.save(model, "net.onnx")
        run_stage(
            "compose",
            *OVERRIDES,
            "compare.isolated=false",
            "data.calibration.size=null",
            "data.evaluation.labels=null",
            "data.evaluation.task=none",
        )
        used = {}
        for stage in stages:
            usage = run_stage(stage)
            used[stage] = usage.cpu, usage.peak_mb
            console.print(f"  {stage}: {usage.cpu:.1f} s, {usage.peak_mb:.0f} MB", style="dim")
        return used


def _rows(
    part: str, small: dict[str, tuple[float, float]], large: dict[str, tuple[float, float]], holds: Callable[..., bool]
) -> list[Row]:
    return [
        Row(part, stage, used[0], large[stage][0], used[1], large[stage][1], holds(used, large[stage]))
        for stage, used in small.items()
    ]


def pictures() -> list[Row]:
    """5,000 calibration pictures beside 500."""
    stages = ("export", "calibset", "calibrate", "quantize")
    small, large = (_usages(count, None, stages) for count in (500, 5000))
    return _rows(
        "pictures", small, large, lambda one, ten: ten[1] < MOST_MEMORY_GROWTH * one[1] and ten[0] < 10 * one[0]
    )


def nodes() -> list[Row]:
    """A network of 3,000 nodes beside one of 750."""
    small, large = (_usages(0, chain(count, 16, 16), STAGES) for count in (750, 3000))
    return _rows("nodes", small, large, lambda one, four: four[0] < MOST_TIME_GROWTH * one[0])


def pixels() -> list[Row]:
    """An input of 4K beside one of a sixteenth."""
    small, large = (_usages(0, chain(8, height, width), STAGES) for height, width in ((540, 960), (2160, 3840)))
    return _rows("pixels", small, large, lambda one, sixteen: sixteen[1] < 16 * one[1])


def points() -> list[Row]:
    """A sweep of 64 points, 8 at the same time."""
    with fresh_clone() as folder:
        make_files(folder)
        line = [sys.executable, "-m", "stages.sweep", "--multirun", *OVERRIDES, *POINTS, "hydra.launcher.n_jobs=8"]
        begun, most = time.perf_counter(), _Watch()
        with (
            subprocess.Popen(
                [*line, "--json", "points.json"], cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True
            ) as process,
            most.of(process.pid),
        ):
            code = process.wait()
        if not (folder / "points.json").exists():
            raise UserError(f"the sweep ended with exit code {code}")
        complete = json.loads((folder / "points.json").read_text(encoding="utf-8"))["points"]
        sound = sum(point["error"] is None for point in complete)
        runs = len({point["run_id"] for point in complete})
    console.print(f"  {time.perf_counter() - begun:.0f} s, {most.files} files open at most", style="dim")
    return [
        Row("points", "complete", None, sound, None, None, sound == 64),
        Row("points", "runs of MLflow", None, runs, None, None, runs == 64),
        Row("points", "all processes: seconds, MB", None, time.perf_counter() - begun, None, most.megabytes, True),
        Row("points", "open files of a process", None, most.files, None, None, most.files < 256),
    ]


class _Watch:
    """Memory of all processes of a session together, and open files of one, at most."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self.files = 0

    @contextlib.contextmanager
    def of(self, session: int) -> Iterator[None]:
        """Watch a session while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(session, ended))
        thread.start()
        yield
        ended.set()
        thread.join()

    def _watch(self, session: int, ended: threading.Event) -> None:
        while not ended.wait(1):
            total = 0.0
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, StopIteration, ValueError):
                    if (process / "environ").read_bytes() and _session(process) == session:
                        lines = (process / "smaps_rollup").read_text(encoding="utf-8").splitlines()
                        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
                        self.files = max(self.files, sum(1 for _ in (process / "fd").iterdir()))
            self.megabytes = max(self.megabytes, total)


def _session(process: Path) -> int:
    return int((process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[3])


PARTS: dict[str, Callable[[], list[Row]]] = {"pictures": pictures, "nodes": nodes, "pixels": pixels, "points": points}


def measure(names: Sequence[str], report: Path | None) -> int:
    """Measure some parts; gives 1 if a bound is missed."""
    rows: list[Row] = []
    for name in names:
        console.print(f"{name} ...", style="dim")
        rows += PARTS[name]()
        if report is not None:
            write_json(report, [vars(row) for row in rows])
    table = Table("part", "what", "small, CPU s", "large", "small, MB", "large", "")
    for row in rows:
        *cells, holds = vars(row).values()
        table.add_row(*map(cell, cells), "" if holds else "MISSED")
    output.print(table)
    return int(not all(row.holds for row in rows))


def main() -> None:
    """Run the command; exits."""
    parser = benchmark_parser("benchmarks.load", __doc__, data=False)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part only; may be repeated")
    arguments = parser.parse_args()
    names, report = arguments.only or list(PARTS), resolved(arguments.json)
    sys.exit(guarded(lambda: measure(names, report), arguments.debug))


if __name__ == "__main__":
    main()
