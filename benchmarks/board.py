"""The board's runtime against the PC: `python -m benchmarks.board --data DIR --json FILE`.

Quantizes two networks at several bit widths for a T41, builds their reference runtime for this machine and for MIPS
(emulated by QEMU), runs it on some pictures, and compares every layer with the simulator, by md5 as one compares a
board's dumps. Exit code 1 if a layer differs or a bar is missed, 2 if something is missing.

Needs g++, and for MIPS mipsel-linux-gnu-g++ and qemu-mipsel-static (without them those columns are empty); DIR as for
benchmarks.engine. A row has:

layers                      layers that are compared, on every picture
equal_native, equal_mips    whether all have the same md5
ratio                       a frame natively on one thread / ONNX Runtime's float inference on one thread beside it
seconds_mips                a frame under QEMU, of the processor's time
bytes                       of the model file
load_ms                     reading the model file, natively
peak_kb, arena_kb           peak memory, and the features' part of it
"""

import contextlib
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.common.command import networks_command
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.processes import call_in_fresh_process, run_stage
from benchmarks.common.project import folder_overrides, link_data
from benchmarks.common.tables import Row, results_table
from benchmarks.common.timing import alternating_medians, warm_seconds_of
from stages.build.runtime.folder import SOURCES
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, counted, output
from stages.core.base.errors import UserError
from stages.core.base.paths import BUILD, FLOAT_MODEL, INPUTS
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner

CALIBRATION_PICTURES, DEBUG_PICTURES = 16, 4
BIT_WIDTHS = ((8, 8), (12, 8), (4, 4))
"""Feature bits, weight bits."""
TURNS, FRAMES = 5, 5
MAX_RATIO, MAX_SECONDS = 5.0, 5.0
MIPS_VARIABLES = ["CROSS_COMPILE=mipsel-linux-gnu-", "NAN=legacy"]
QEMU = "qemu-mipsel-static"
Programs = dict[str, Path]
"""Build type -> program."""


def main() -> None:
    networks_command("benchmarks.board", __doc__, board)


def board(names: Iterable[str], data: Path, report: Path | None) -> bool:
    """Measure networks, print the table and write the rows; gives whether every bar is reached.

    Raises:
        UserError: if the data or a compiler is missing.
    """
    if not shutil.which("g++") or not shutil.which("make"):
        raise UserError("g++ or make is missing: install them, for instance `apt-get install g++ make`")
    least = CALIBRATION_PICTURES + DEBUG_PICTURES
    data_of = {name: find_data(NETWORKS[name], data, least) for name in names}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        programs = {"native": build(Path(folder) / "native", [])}
        if shutil.which("mipsel-linux-gnu-g++") and shutil.which(QEMU):
            programs["mips"] = build(Path(folder) / "mips", MIPS_VARIABLES)
        for name, (pictures, file) in data_of.items():
            rows += measure_network(name, pictures, file, programs)
            if report:
                write_json(report, rows)
    output.print(table(rows))
    return all(map(passes, rows))


def measure_network(name: str, pictures: list[Path], file: Path | None, programs: dict[str, Programs]) -> list[Row]:
    """Measure one network in a folder of its own; gives its rows."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        link_data(pictures, file, CALIBRATION_PICTURES, DEBUG_PICTURES)
        return [measure(name, *bit_widths, programs) for bit_widths in BIT_WIDTHS]


def measure(name: str, bits: int, weight_bits: int, programs: dict[str, Programs]) -> Row:
    """Build and run one network at one pair of bit widths in the current folder; gives its row."""
    console.print(f"{name}, {bits}-bit features, {weight_bits}-bit weights")
    compose(name, bits, weight_bits)
    shared_stages = () if FLOAT_MODEL.is_file() else ("export", "calibset", "calibrate")
    for stage in (*shared_stages, "quantize", "build"):
        run_stage(stage)
    model = next(BUILD.glob("*/runtime/*.sqm")).resolve()
    inputs, expected = call_in_fresh_process(write_inputs_and_dumps)[0]
    native = programs["native"]
    equal, layers = compare_layers(native, [], model, inputs, expected)
    ratio, printed = call_in_fresh_process(frame_ratio, str(native["release"]), str(model))[0]
    row: Row = {
        "network": name, "bits": f"{bits}/{weight_bits}", "layers": layers, "equal_native": equal, "equal_mips": None,
        "ratio": ratio, "seconds_mips": None, "bytes": model.stat().st_size, "load_ms": printed["load"],
        "peak_kb": printed["peak"] / 1024, "arena_kb": printed["arena"] / 1024,
    }  # fmt: skip
    if "mips" in programs:
        mips = programs["mips"]
        row["equal_mips"], _ = compare_layers(mips, [QEMU], model, inputs, expected)
        row["seconds_mips"] = run_program([QEMU, mips["release"], model, inputs[0], "-n", "2"])["processor"] / 1000
    return row


def compose(name: str, bits: int, weight_bits: int) -> None:
    run_stage(
        "compose",
        *NETWORKS[name].overrides,
        "soc=t41",
        *folder_overrides(),
        "data.calibration.size=null",
        f"quant.feature_bits={bits}",
        f"quant.weight_bits={weight_bits}",
    )


# --- in a process of their own ---


def write_inputs_and_dumps() -> tuple[list[str], list[dict[str, str]]]:
    """Write the debug pictures' pixels and run the simulator on them.

    Returns:
        The files, and for each the md5 of every layer's dump by the name that a board gives it.
    """
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)
    files = []
    debug_files = select(config.data.debug, inputs, "data.debug")
    for index, picture in enumerate(read_samples(debug_files, inputs, config.model.preprocess, "data.debug")):
        files.append(Path(f"{index}.bin").resolve())
        files[-1].write_bytes(picture.sample[inputs[0].name].tobytes())
    run_stage("infer", *map(str, files), "--dump", "dump")
    digests = []
    for file in files:
        dumps = Path("dump", file.stem).glob("*.bin")
        layers = (path for path in dumps if not path.name.startswith("input_data_shape_"))
        digests.append({path.name.removesuffix(".bin") + "_out.bin": md5(path) for path in layers})
    return [str(file) for file in files], digests


def frame_ratio(program: str, model: str) -> tuple[float, dict[str, float]]:
    """Seconds of a native frame over ONNX Runtime's on one thread, in turns; and the program's last printed numbers."""
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)
    files = select(config.data.debug, inputs, "data.debug")
    picture = feeds(next(read_samples(files, inputs, config.model.preprocess, "data.debug")).sample, inputs)
    float_runner = Runner(FLOAT_MODEL)
    printed: list[dict[str, float]] = []

    def native_seconds() -> float:
        printed.append(run_program([program, model, "0.bin", "-n", str(FRAMES)]))
        return printed[-1]["run"] / 1000

    clocks = [native_seconds, lambda: warm_seconds_of(lambda: float_runner.run(picture), FRAMES)]
    native, onnx_runtime = alternating_medians(clocks, TURNS)
    return native / onnx_runtime, printed[-1]


# --- programs ---


def build(folder: Path, variables: list[str]) -> Programs:
    """Build release and debug in a folder that is created here."""
    folder.mkdir()
    programs = {}
    for build_type in ("release", "debug"):
        line = ["make", "-s", "-f", str(SOURCES / "Makefile"), f"TOPDIR={SOURCES}", f"build_type={build_type}"]
        finished = subprocess.run([*line, *variables], cwd=folder, capture_output=True, text=True, check=False)
        if finished.returncode:
            raise UserError(f"the runtime does not build ({folder.name}): {finished.stderr.strip().splitlines()[:1]}")
        programs[build_type] = (folder / f"runtime_{build_type}").resolve()
    return programs


def compare_layers(
    programs: Programs, emulator: list[str], model: Path, inputs: list[str], expected: list[dict[str, str]]
) -> tuple[bool, int]:
    """Whether every layer of every picture has the expected md5, and the number of layers."""
    differing: set[str] = set()
    for file, digests in zip(inputs, expected, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            run_program([*emulator, programs["debug"], model, file, "-o", folder])
            dumps = {path.name: md5(path) for path in Path(folder).iterdir()}
            differing |= {name for name, digest in digests.items() if dumps.get(name) != digest}
    if differing:
        console.print(f"{counted(len(differing), 'layer')} differ: {', '.join(sorted(differing)[:4])}")
    return not differing and bool(expected[0]), len(expected[0])


def run_program(line: list[Any]) -> dict[str, float]:
    """Run the program; gives the milliseconds and bytes that it prints."""
    finished = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise UserError(f"{line[0]} ended with exit code {finished.returncode}: {finished.stderr.strip()}")
    patterns = {
        "load": r"load: ([\d.]+) ms", "run": r"run: ([\d.]+) ms", "processor": r"([\d.]+) of them on the processor",
        "peak": r"memory: (\d+) bytes",
        "arena": r"(\d+) of them for features",
    }  # fmt: skip
    matches = {name: re.search(pattern, finished.stdout) for name, pattern in patterns.items()}
    return {name: float(match[1]) for name, match in matches.items() if match}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


# --- the result ---


def passes(row: Row) -> bool:
    """Whether a row reaches its bars; what could not be measured does not count."""
    slow_on_mips = row["network"] == "lite0" and row["seconds_mips"] is not None and row["seconds_mips"] > MAX_SECONDS
    slow = row["bits"] == "8/8" and row["ratio"] > MAX_RATIO
    return bool(row["equal_native"] and row["equal_mips"] is not False and not slow_on_mips and not slow)


def table(rows: list[Row]) -> Table:
    return results_table("The board's runtime against the simulator", rows, list(rows[0]), left=("network", "bits"))


if __name__ == "__main__":
    main()
