"""Calibration against plain inference: `python -m benchmarks.calibrate --data FOLDER`.

Runs export once, then calibset and calibrate on 16 and on 256 pictures (the folder's pictures repeated under other
names where it holds fewer), each in a process of its own, as dvc.yaml does. Gives the peak memory of calibrate, and its
time as a ratio to a plain float pass over the same samples. Run it in the project's folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from stages.calibrate.__main__ import calibrate
from stages.core.console import output
from stages.core.inputs import load_inputs, normalize
from stages.core.paths import CALIBSET, FLOAT_MODEL, INPUTS
from stages.core.samples import SampleReader
from stages.core.session import Runner
from stages.core.settings import load_params

COUNTS = (16, 256)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibrate", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument("--data", type=Path, required=True, help="a folder of pictures")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    project = Path.cwd()
    pictures = sorted(p.resolve() for p in arguments.data.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not pictures:
        sys.exit(f"error: {arguments.data} holds no .jpg or .png")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = [measure(project, pictures, count) for count in COUNTS]
        os.chdir(project)
    table = Table(title="calibrate")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    output.print(table)
    growth = rows[-1]["peak_mb"] / rows[0]["peak_mb"] - 1
    output.print(f"peak memory, {COUNTS[1]} against {COUNTS[0]} pictures: {growth:+.1%}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(project: Path, pictures: list[Path], count: int) -> dict[str, float]:
    """Calibrate on `count` pictures in this (temporary) folder; gives one row."""
    data = Path(f"pictures{count}")
    data.mkdir()
    for index in range(count):
        source = pictures[index % len(pictures)]
        (data / f"{index:05d}{source.suffix}").symlink_to(source)
    overrides = [f"data.calibration.source=file:{data.resolve()}", "data.calibration.size=null"]
    environment = os.environ | {"PYTHONPATH": str(project)}
    stages = [["compose", "--conf", str(project / "conf"), *overrides], ["export"], ["calibset"]]
    for stage in stages if not FLOAT_MODEL.exists() else [stages[0], stages[2]]:
        subprocess.run([sys.executable, "-m", f"stages.{stage[0]}", *stage[1:]], env=environment, check=True)
    plain_seconds, _ = _alone(_float_pass)
    seconds, peak = _alone(_calibrate)
    return {"pictures": count, "peak_mb": peak, "ratio_to_float_pass": seconds / plain_seconds}


def _alone(work: Callable[[], float]) -> tuple[float, float]:
    """Run in a fresh process; gives the seconds that `work` counts and the process's peak memory in MB."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_with_peak, work).result()


def _with_peak(work: Callable[[], float]) -> tuple[float, float]:
    return work(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _float_pass() -> float:
    (network_input,) = load_inputs(INPUTS)
    runner = Runner(FLOAT_MODEL)
    feeds = [{network_input.name: normalize(sample, network_input)} for sample in SampleReader.open(CALIBSET)]
    runner.run(feeds[0])
    start = time.perf_counter()
    for feed in feeds:
        runner.run(feed)
    return time.perf_counter() - start


def _calibrate() -> float:
    config = load_params(Path("params.yaml"))
    start = time.perf_counter()
    calibrate(config)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
