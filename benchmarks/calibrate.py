"""Calibration against plain inference: `python -m benchmarks.calibrate --data FOLDER`.

Runs export once, then calibset and calibrate on 16 and on 256 pictures (the folder's pictures repeated under other
names where it holds fewer), each in a process of its own, as dvc.yaml does. Gives the peak memory of calibrate, and its
time as a ratio to a plain float pass over the same samples.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from rich.table import Table

from benchmarks.common import alone, clock, link_pictures, pictures_in, run
from stages.calibrate.__main__ import calibrate
from stages.core.artifacts import write_json
from stages.core.command import guarded
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
    sys.exit(guarded(lambda: compare(arguments.data, arguments.json), debug=False))


def compare(data: Path, report: Path | None) -> None:
    """Measure with each count of pictures; print the table and write the rows."""
    pictures = pictures_in(data)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        rows = [measure(pictures, count) for count in COUNTS]
    table = Table(title="calibrate")
    for heading in rows[0]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    output.print(table)
    growth = rows[-1]["peak_mb"] / rows[0]["peak_mb"] - 1
    output.print(f"peak memory, {COUNTS[1]} against {COUNTS[0]} pictures: {growth:+.1%}")
    if report:
        write_json(report, rows)


def measure(pictures: list[Path], count: int) -> dict[str, float]:
    """Calibrate on `count` pictures in this (temporary) folder; gives one row."""
    data = f"pictures{count}"
    link_pictures(Path(data), pictures, count)
    run("compose", f"data.calibration.source=file:{data}", "data.calibration.size=null")
    if not FLOAT_MODEL.exists():
        run("export")
    run("calibset")
    plain_seconds, _ = alone(_float_pass)
    seconds, peak = alone(_calibrate)
    return {"pictures": count, "peak_mb": peak, "ratio_to_float_pass": seconds / plain_seconds}


def _float_pass() -> float:
    (network_input,) = load_inputs(INPUTS)
    runner = Runner(FLOAT_MODEL)
    feeds = [{network_input.name: normalize(sample, network_input)} for sample in SampleReader.open(CALIBSET)]
    runner.run(feeds[0])
    return clock(lambda: [runner.run(feed) for feed in feeds])


def _calibrate() -> float:
    config = load_params(Path("params.yaml"))
    return clock(lambda: calibrate(config))


if __name__ == "__main__":
    main()
