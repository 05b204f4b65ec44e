"""The board's runtime against the PC: `python -m benchmarks.board --data DIR --json FILE`.

Quantizes two networks at several widths for a T41, builds their reference runtime for this machine and for MIPS (which
QEMU emulates), runs it on some pictures, and compares every layer with the simulator, by md5 as one compares a board's
dumps. Exit code 1 if a layer differs or a bar is missed, 2 if something is missing.

Needs g++, and for MIPS mipsel-linux-gnu-g++ and qemu-mipsel-static (without them those columns are empty); DIR as for
benchmarks.engine. A row has:

layers                      layers that are compared, on every picture
equal_native, equal_mips    do all have the same md5
ratio                       a frame natively on one thread / ONNX Runtime's float inference on one thread beside it
seconds_mips                a frame under QEMU, of the processor's time
bytes                       of the model file
load_ms                     reading the model file, natively
peak_kb, arena_kb           memory at most, and what of it features take
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

from benchmarks.common import alone, alternated, link_pictures, run, steady
from benchmarks.networks import NETWORKS, find_data, networks_command
from stages.build.runtime.folder import SOURCES
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, counted, output
from stages.core.base.errors import UserError
from stages.core.base.paths import BUILD, FLOAT_MODEL, INPUTS
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner

CALIBRATION, PICTURES = 16, 4
WIDTHS = ((8, 8), (12, 8), (4, 4))
TURNS, FRAMES = 5, 5
MOST_RATIO, MOST_SECONDS = 5.0, 5.0
CROSS = ["CROSS_COMPILE=mipsel-linux-gnu-", "NAN=legacy"]
QEMU = "qemu-mipsel-static"
Row = dict[str, Any]
Programs = dict[str, Path]


def main() -> None:
    networks_command("benchmarks.board", __doc__ or "", board)


def board(names: Iterable[str], data: Path, report: Path | None) -> bool:
    """Measure networks, print the table and write the rows; gives whether every bar is reached.

    Raises:
        UserError: if the data or a compiler is missing.
    """
    if not shutil.which("g++") or not shutil.which("make"):
        raise UserError("g++ or make is missing: install them, for instance `apt-get install g++ make`")
    found = {name: find_data(NETWORKS[name], data.resolve(), CALIBRATION + PICTURES) for name in names}
    target = report.resolve() if report else None
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        programs = {"native": compiled(Path(place) / "native", [])}
        if shutil.which("mipsel-linux-gnu-g++") and shutil.which(QEMU):
            programs["mips"] = compiled(Path(place) / "mips", CROSS)
        for name, (pictures, file) in found.items():
            rows += measured(name, pictures, file, programs)
            if target:
                write_json(target, rows)
    output.print(table(rows))
    return all(map(passes, rows))


def measured(name: str, pictures: list[Path], file: Path | None, programs: dict[str, Programs]) -> list[Row]:
    """The rows of one network, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        taken = link_pictures(Path("calibration"), pictures, CALIBRATION)
        link_pictures(Path("debug"), [picture for picture in pictures if picture not in taken], PICTURES)
        if file:
            Path("network.onnx").symlink_to(file)
        return [measure(name, *bit_widths, programs) for bit_widths in WIDTHS]


def measure(name: str, bits: int, weight_bits: int, programs: dict[str, Programs]) -> Row:
    """Build and run one network at one pair of widths in the current folder; gives its row."""
    console.print(f"{name}, {bits}-bit features, {weight_bits}-bit weights")
    compose(name, bits, weight_bits)
    before = () if FLOAT_MODEL.is_file() else ("export", "calibset", "calibrate")
    for stage in (*before, "quantize", "build"):
        run(stage)
    model = next(BUILD.glob("*/runtime/*.sqm")).resolve()
    inputs, expected = alone(simulated)[0]
    native = programs["native"]
    equal, layers = compared(native, [], model, inputs, expected)
    (ratio, said) = alone(timed, str(native["release"]), str(model))[0]
    row: Row = {
        "network": name, "bits": f"{bits}/{weight_bits}", "layers": layers, "equal_native": equal, "equal_mips": None,
        "ratio": ratio, "seconds_mips": None, "bytes": model.stat().st_size, "load_ms": said["load"],
        "peak_kb": said["peak"] / 1024, "arena_kb": said["arena"] / 1024,
    }  # fmt: skip
    if "mips" in programs:
        mips = programs["mips"]
        row["equal_mips"], _ = compared(mips, [QEMU], model, inputs, expected)
        row["seconds_mips"] = executed([QEMU, mips["release"], model, inputs[0], "-n", "2"])["processor"] / 1000
    return row


def compose(name: str, bits: int, weight_bits: int) -> None:
    run(
        "compose",
        *NETWORKS[name].overrides,
        "soc=t41",
        "data=folder",
        "data.calibration.source=file:calibration",
        "data.calibration.size=null",
        "data.debug.source=file:debug",
        "data.evaluation.source=file:debug",
        "data.evaluation.labels=null",
        "data.evaluation.task=none",
        f"quant.feature_bits={bits}",
        f"quant.weight_bits={weight_bits}",
    )


# --- in a process of their own ---


def simulated() -> tuple[list[str], list[dict[str, str]]]:
    """Write the debug pictures' pixels and run the simulator on them.

    Returns:
        The files, and of each the md5 of every layer's dump by the name that a board gives it.
    """
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)
    files = []
    chosen = select(config.data.debug, inputs, "data.debug")
    for index, read in enumerate(read_samples(chosen, inputs, config.model.preprocess, "data.debug")):
        files.append(Path(f"{index}.bin").resolve())
        files[-1].write_bytes(read.sample[inputs[0].name].tobytes())
    run("infer", *map(str, files), "--dump", "dump")
    digests = []
    for file in files:
        dumped = Path("dump", file.stem).glob("*.bin")
        layers = (path for path in dumped if not path.name.startswith("input_data_shape_"))
        digests.append({path.name.removesuffix(".bin") + "_out.bin": md5(path) for path in layers})
    return [str(file) for file in files], digests


def timed(program: str, model: str) -> tuple[float, dict[str, float]]:
    """A native frame over ONNX Runtime's on one thread, in turns; and what the program said at last."""
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)
    files = select(config.data.debug, inputs, "data.debug")
    fed = feeds(next(read_samples(files, inputs, config.model.preprocess, "data.debug")).sample, inputs)
    reference = Runner(FLOAT_MODEL, threads=1)
    said: list[dict[str, float]] = []

    def ours() -> float:
        said.append(executed([program, model, "0.bin", "-n", str(FRAMES)]))
        return said[-1]["run"] / 1000

    frame, plain = alternated([ours, lambda: steady(lambda: reference.run(fed), FRAMES)], TURNS)
    return frame / plain, said[-1]


# --- programs ---


def compiled(place: Path, variables: list[str]) -> Programs:
    """Build release and debug in a folder that is made for it."""
    place.mkdir()
    programs = {}
    for build_type in ("release", "debug"):
        line = ["make", "-s", "-f", str(SOURCES / "Makefile"), f"TOPDIR={SOURCES}", f"build_type={build_type}"]
        done = subprocess.run([*line, *variables], cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"the runtime does not build ({place.name}): {done.stderr.strip().splitlines()[:1]}")
        programs[build_type] = (place / f"runtime_{build_type}").resolve()
    return programs


def compared(
    programs: Programs, before: list[str], model: Path, inputs: list[str], expected: list[dict[str, str]]
) -> tuple[bool, int]:
    """Whether every layer of every picture has the md5 that is expected, and how many layers there are."""
    differing: set[str] = set()
    for file, digests in zip(inputs, expected, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            executed([*before, programs["debug"], model, file, "-o", folder])
            found = {path.name: md5(path) for path in Path(folder).iterdir()}
            differing |= {name for name, digest in digests.items() if found.get(name) != digest}
    if differing:
        console.print(f"{counted(len(differing), 'layer')} differ: {', '.join(sorted(differing)[:4])}")
    return not differing and bool(expected[0]), len(expected[0])


def executed(line: list[Any]) -> dict[str, float]:
    """Run the program; gives the milliseconds and bytes that it prints."""
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{line[0]} ended with exit code {done.returncode}: {done.stderr.strip()}")
    patterns = {
        "load": r"load: ([\d.]+) ms", "run": r"run: ([\d.]+) ms", "processor": r"([\d.]+) of them on the processor",
        "peak": r"memory: (\d+) bytes",
        "arena": r"(\d+) of them for features",
    }  # fmt: skip
    found = {name: re.search(pattern, done.stdout) for name, pattern in patterns.items()}
    return {name: float(match[1]) for name, match in found.items() if match}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


# --- the result ---


def passes(row: Row) -> bool:
    """Whether a row is as it should be; what could not be measured counts for nothing."""
    slow = row["network"] == "lite0" and row["seconds_mips"] is not None and row["seconds_mips"] > MOST_SECONDS
    late = row["bits"] == "8/8" and row["ratio"] > MOST_RATIO
    return bool(row["equal_native"] and row["equal_mips"] is not False and not slow and not late)


def table(rows: list[Row]) -> Table:
    forms = {
        "ratio": "{:.2f}",
        "seconds_mips": "{:.2f}",
        "load_ms": "{:.0f}",
        "peak_kb": "{:.0f}",
        "arena_kb": "{:.0f}",
    }
    shown = Table(*rows[0], title="The board's runtime against the simulator")
    for row in rows:
        cells = ("-" if value is None else forms.get(key, "{}").format(value) for key, value in row.items())
        shown.add_row(*cells)
    return shown


if __name__ == "__main__":
    main()
