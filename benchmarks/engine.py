"""The engine on two real networks: `python -m benchmarks.engine --data DIR --json FILE`.

Measures calibration, quantization and exact simulation as ratios to plain float inference beside them, the peak memory
of calibration, and whether the integer network is exact and its files reproducible. Every measurement runs in a
process of its own in a temporary folder. Exit code 1 if a bar is missed, 2 if something is missing.

DIR holds imagenet_sample/ (photos), coco_train128/images/ (photos) and models/yolox_nano_416.onnx. A row has:

calibrate_ratio     calibrating on 64 pictures / a float pass over them. Counted: parsing the network, making the
                    session, running, collecting all statistics, writing them; not counted: decoding, normalizing
ort_entropy_ratio   ONNX Runtime's entropy calibration on the same pictures / ours, run just before and just after
peak_mb_16, _256    peak memory of `python -m stages.calibrate` with 16 and with 256 pictures, the largest of a few runs
quantize_s          seconds of the quantize stage's function in a fresh process, imports not counted;
                    quantize_process_s counts the whole `python -m stages.quantize`
simulate_ratio      exact simulation of one picture / float inference; simulate_all_ratio with every layer as output
exact_8_8, ...      at these feature and weight bits, are all layers' codes those of the NumPy reference, on 2 pictures
qdq_codes           largest distance of the QDQ network's layers in plain ONNX Runtime from the integers, each on the
                    simulator's own input, in codes (8/8)
bytes_equal         are statistics.npz, quantized.onnx and integer.onnx the same on 1 and 2 threads, and run again
"""

import contextlib
import hashlib
import os
import statistics
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from benchmarks import measures
from benchmarks.bars import COLUMNS, Row, bar_table, row_table, verdicts
from benchmarks.common import alone, link_pictures, run
from benchmarks.networks import NETWORKS, find_data, networks_command
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output, warn
from stages.core.base.paths import INTEGER_MODEL, QUANTIZED_MODEL, STATISTICS

CALIBRATION = 64
PEAKS = {16: 5, 256: 2}  # pictures: runs
DEBUG = 2
WIDTHS = ((8, 8), (12, 8), (4, 4))
CALIBRATION_TURNS = 5
QUANTIZE_TURNS = 3
SIMULATION_TURNS, SIMULATION_RUNS = 9, 5


def main() -> None:
    networks_command("benchmarks.engine", __doc__ or "", engine)


def engine(names: Iterable[str], data: Path, report: Path | None) -> bool:
    """Measure networks, print the tables and write the rows; gives whether every bar is reached.

    Raises:
        UserError: if the data or a stage's input is missing.
    """
    os.environ.pop("SOCQUANT_THREADS", None)  # every session takes every core, as ONNX Runtime's own calibration does
    found = {name: find_data(NETWORKS[name], data.resolve(), CALIBRATION + DEBUG) for name in names}
    target = report.resolve() if report else None
    rows = []
    for name, (pictures, file) in found.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows.append(measure(name, pictures, file))
        if target:
            write_json(target, rows)
    output.print(row_table(rows))
    found_bars = verdicts(rows)
    output.print(bar_table(found_bars))
    return all(verdict.passed for verdict in found_bars)


def measure(name: str, pictures: list[Path], file: Path | None) -> Row:
    """Measure one network in the current (temporary) folder; gives its row."""
    prepare(pictures, file)

    def compose(*overrides: str, count: int = CALIBRATION) -> None:
        run("compose", *composition(name, count), *overrides)

    steps: dict[str, Callable[[], Row]] = {
        "export, calibrate and quantize once": lambda: first_run(compose),
        "calibration and a float pass, in turns": calibration,
        "ONNX Runtime's entropy calibration and ours": entropy,
        "quantize": quantization,
        "simulation and float inference, in turns": simulation,
        **{
            f"NumPy reference against simulator, {bits}-bit features, {weight_bits}-bit weights": partial(
                exactness, compose, bits, weight_bits
            )
            for bits, weight_bits in WIDTHS
        },
        "the QDQ network against the integers, layer by layer": lambda: standard_form(compose),
        "the same bytes on 1 and 2 threads": lambda: reproducibility(compose),
        "peak memory of calibrate": lambda: peaks(compose, pictures),
    }
    row: Row = {"network": name}
    for number, (label, step) in enumerate(steps.items(), 1):
        console.print(f"{name} [{number}/{len(steps)}] {label}")
        row |= step()
    return {key: row[key] for key in COLUMNS} | row


def prepare(pictures: list[Path], file: Path | None) -> None:
    """Link what the config names into the current folder; the debug pictures are none that calibrate."""
    taken = link_pictures(Path(f"calibration{CALIBRATION}"), pictures, CALIBRATION)
    link_pictures(Path("debug"), [picture for picture in pictures if picture not in taken], DEBUG)
    if file:
        Path("network.onnx").symlink_to(file)


def composition(name: str, count: int) -> list[str]:
    """The overrides for a network and a count of calibration pictures."""
    return [
        *NETWORKS[name].overrides,
        "data=folder",
        f"data.calibration.source=file:calibration{count}",
        "data.calibration.size=null",
        "data.debug.source=file:debug",
        "data.evaluation.source=file:debug",
        "data.evaluation.labels=null",
        "data.evaluation.task=none",
        "quant.feature_method=MAX_ABS",
        "quant.weight_method=MAX_ABS",
    ]


# --- the measurements: each runs stages in the current folder and gives its part of the row ---


def first_run(compose: Callable[..., None]) -> Row:
    """Make every artifact; numba compiles what is not in its cache."""
    compose()
    for stage in ("export", "calibset", "calibrate", "quantize"):
        run(stage)
    return {"pictures": CALIBRATION}


def calibration() -> Row:
    (plain, calibrating), _ = alone(measures.calibration_turns, CALIBRATION_TURNS)
    return {"calibrate_ratio": calibrating / plain, "calibrate_s": calibrating, "float_pass_s": plain}


def entropy() -> Row:
    """ONNX Runtime's calibration between two of ours, so that both see the same machine."""
    before, _ = alone(measures.calibration_seconds)
    theirs, peak = alone(measures.entropy_seconds)
    after, _ = alone(measures.calibration_seconds)
    return {
        "ort_entropy_ratio": theirs / statistics.mean((before, after)),
        "ort_entropy_s": theirs,
        "ort_entropy_peak_mb": peak,
    }


def quantization() -> Row:
    calls = [alone(measures.quantize_seconds)[0] for _ in range(QUANTIZE_TURNS)]
    processes = [run("quantize").seconds for _ in range(QUANTIZE_TURNS)]
    return {"quantize_s": statistics.median(calls), "quantize_process_s": statistics.median(processes)}


def simulation() -> Row:
    (plain, simulated, every_layer), _ = alone(measures.simulation_turns, SIMULATION_TURNS, SIMULATION_RUNS)
    return {
        "simulate_ratio": simulated / plain,
        "simulate_all_ratio": every_layer / plain,
        "float_ms": plain * 1000,
        "simulate_ms": simulated * 1000,
        "simulate_all_ms": every_layer * 1000,
    }


def exactness(compose: Callable[..., None], bits: int, weight_bits: int) -> Row:
    compose(f"quant.feature_bits={bits}", f"quant.weight_bits={weight_bits}")
    run("quantize")
    (differing, layers), _ = alone(measures.differing_layers)
    if differing:
        shown = ", ".join(differing[:4]) + (", ..." if len(differing) > 4 else "")
        warn(f"{len(differing)} of {layers} layers differ between simulator and reference: {shown}")
    return {f"exact_{bits}_{weight_bits}": {"equal": not differing and layers > 0, "layers": layers}}


def standard_form(compose: Callable[..., None]) -> Row:
    compose()
    run("quantize")
    (distance, layers), _ = alone(measures.qdq_distance)
    return {"qdq_codes": distance, "qdq_layers": layers}


def reproducibility(compose: Callable[..., None]) -> Row:
    """Calibrate and quantize on 1 thread, on 2, and on 2 again."""
    compose()
    found = []
    for threads in (1, 2, 2):
        run("calibrate", threads=threads)
        run("quantize", threads=threads)
        files = (STATISTICS, QUANTIZED_MODEL, INTEGER_MODEL)
        found.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    differing = [name for name in found[0] if len({digests[name] for digests in found}) > 1]
    if differing:
        warn(f"not the same bytes each time: {', '.join(differing)}")
    return {"bytes_equal": not differing}


def peaks(compose: Callable[..., None], pictures: list[Path]) -> Row:
    """The largest peak of some runs each: it varies by a twentieth with how counting and the next run overlap."""
    row: Row = {}
    for count, runs in PEAKS.items():
        link_pictures(Path(f"calibration{count}"), pictures, count)
        compose(count=count)
        run("calibset")
        row[f"peak_mb_{count}"] = max(run("calibrate").peak_mb for _ in range(runs))
    return row


if __name__ == "__main__":
    main()
