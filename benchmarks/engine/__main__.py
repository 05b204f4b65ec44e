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

from benchmarks.common.bars import bar_table
from benchmarks.common.command import networks_command
from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import link_pictures
from benchmarks.common.processes import call_in_fresh_process, run_stage
from benchmarks.common.project import folder_overrides, link_data
from benchmarks.common.tables import Row
from benchmarks.engine import measurements
from benchmarks.engine.engine_bars import COLUMNS, engine_table, hold_bars
from stages.core.base.artifacts import write_json
from stages.core.base.console import console, output, warn
from stages.core.base.paths import INTEGER_MODEL, QUANTIZED_MODEL, STATISTICS

CALIBRATION_PICTURES, DEBUG_PICTURES = 64, 2
RUNS_BY_PICTURES = {16: 5, 256: 2}
"""For the peak memory: number of calibration pictures -> how often calibrate runs."""
BIT_WIDTHS = ((8, 8), (12, 8), (4, 4))
"""Feature bits, weight bits."""
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
    least = CALIBRATION_PICTURES + DEBUG_PICTURES
    data_of = {name: find_data(NETWORKS[name], data, least) for name in names}
    rows = []
    for name, (pictures, file) in data_of.items():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            rows.append(measure(name, pictures, file))
        if report:
            write_json(report, rows)
    results = hold_bars(rows)
    output.print(engine_table(rows))
    output.print(bar_table(results))
    return all(result.passed for result in results)


def measure(name: str, pictures: list[Path], file: Path | None) -> Row:
    """Measure one network in the current (temporary) folder; gives its row."""
    folder = _calibration_folder(CALIBRATION_PICTURES)
    link_data(pictures, file, CALIBRATION_PICTURES, DEBUG_PICTURES, folder)

    def compose(*overrides: str, count: int = CALIBRATION_PICTURES) -> None:
        run_stage("compose", *composition(name, count), *overrides)

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
            for bits, weight_bits in BIT_WIDTHS
        },
        "the QDQ network against the integers, layer by layer": lambda: standard_form(compose),
        "the same bytes on 1 and 2 threads": lambda: reproducibility(compose),
        "peak memory of calibrate": lambda: peak_memory(compose, pictures),
    }
    row: Row = {"network": name}
    for number, (label, step) in enumerate(steps.items(), 1):
        console.print(f"{name} [{number}/{len(steps)}] {label}")
        row |= step()
    return {key: row[key] for key in COLUMNS} | row


def composition(name: str, count: int) -> list[str]:
    """The overrides for a network and a count of calibration pictures."""
    return [
        *NETWORKS[name].overrides,
        *folder_overrides(_calibration_folder(count)),
        "data.calibration.size=null",
        "quant.feature_method=MAX_ABS",
        "quant.weight_method=MAX_ABS",
    ]


def _calibration_folder(count: int) -> str:
    return f"calibration{count}"


# --- the measurements: each runs stages in the current folder and gives its part of the row ---


def first_run(compose: Callable[..., None]) -> Row:
    """Make every artifact; numba compiles what is not in its cache."""
    compose()
    for stage in ("export", "calibset", "calibrate", "quantize"):
        run_stage(stage)
    return {"pictures": CALIBRATION_PICTURES}


def calibration() -> Row:
    (float_pass, calibrating), _ = call_in_fresh_process(measurements.calibration_turns, CALIBRATION_TURNS)
    return {"calibrate_ratio": calibrating / float_pass, "calibrate_s": calibrating, "float_pass_s": float_pass}


def entropy() -> Row:
    """ONNX Runtime's calibration between two of ours, so that both see the same machine."""
    before, _ = call_in_fresh_process(measurements.calibration_seconds)
    theirs, peak = call_in_fresh_process(measurements.entropy_seconds)
    after, _ = call_in_fresh_process(measurements.calibration_seconds)
    return {
        "ort_entropy_ratio": theirs / statistics.mean((before, after)),
        "ort_entropy_s": theirs,
        "ort_entropy_peak_mb": peak,
    }


def quantization() -> Row:
    calls = [call_in_fresh_process(measurements.quantize_seconds)[0] for _ in range(QUANTIZE_TURNS)]
    processes = [run_stage("quantize").seconds for _ in range(QUANTIZE_TURNS)]
    return {"quantize_s": statistics.median(calls), "quantize_process_s": statistics.median(processes)}


def simulation() -> Row:
    (float_seconds, simulated, every_layer), _ = call_in_fresh_process(
        measurements.simulation_turns, SIMULATION_TURNS, SIMULATION_RUNS
    )
    return {
        "simulate_ratio": simulated / float_seconds,
        "simulate_all_ratio": every_layer / float_seconds,
        "float_ms": float_seconds * 1000,
        "simulate_ms": simulated * 1000,
        "simulate_all_ms": every_layer * 1000,
    }


def exactness(compose: Callable[..., None], bits: int, weight_bits: int) -> Row:
    compose(f"quant.feature_bits={bits}", f"quant.weight_bits={weight_bits}")
    run_stage("quantize")
    (differing, layers), _ = call_in_fresh_process(measurements.differing_layers)
    if differing:
        shown = ", ".join(differing[:4]) + (", ..." if len(differing) > 4 else "")
        warn(f"{len(differing)} of {layers} layers differ between simulator and reference: {shown}")
    return {f"exact_{bits}_{weight_bits}": {"equal": not differing and layers > 0, "layers": layers}}


def standard_form(compose: Callable[..., None]) -> Row:
    compose()
    run_stage("quantize")
    (distance, layers), _ = call_in_fresh_process(measurements.qdq_distance)
    return {"qdq_codes": distance, "qdq_layers": layers}


def reproducibility(compose: Callable[..., None]) -> Row:
    """Calibrate and quantize on 1 thread, on 2, and on 2 again."""
    compose()
    runs = []
    for threads in (1, 2, 2):
        run_stage("calibrate", threads=threads)
        run_stage("quantize", threads=threads)
        files = (STATISTICS, QUANTIZED_MODEL, INTEGER_MODEL)
        runs.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    differing = [name for name in runs[0] if len({digests[name] for digests in runs}) > 1]
    if differing:
        warn(f"not the same bytes each time: {', '.join(differing)}")
    return {"bytes_equal": not differing}


def peak_memory(compose: Callable[..., None], pictures: list[Path]) -> Row:
    """The largest peak of some runs each: it varies by a twentieth with how counting and the next run overlap."""
    row: Row = {}
    for count, repetitions in RUNS_BY_PICTURES.items():
        link_pictures(Path(_calibration_folder(count)), pictures, count)
        compose(count=count)
        run_stage("calibset")
        row[f"peak_mb_{count}"] = max(run_stage("calibrate").peak_mb for _ in range(repetitions))
    return row


if __name__ == "__main__":
    main()
