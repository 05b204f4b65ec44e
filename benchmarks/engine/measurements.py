"""The measurements of `benchmarks.engine`, each for a process of its own, on the artifacts in the current folder."""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from benchmarks.common.timing import alternating_medians, seconds_of, warm_seconds_of
from benchmarks.engine.qdq_distance import layer_distances
from benchmarks.peers.adapter import Feeder
from stages.core.base.paths import CALIBSET, FLOAT_MODEL, INPUTS, INTEGER_MODEL, QUANTIZED_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import calibration_samples
from stages.core.graph.onnx_graph import load_model
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model, tensor_quant_params
from stages.core.integer.reference import run_reference
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.collect import collect
from stages.core.statistics.tensor_statistics import save_statistics
from stages.quantize.__main__ import quantize

__all__ = [
    "calibration_seconds",
    "calibration_turns",
    "differing_layers",
    "entropy_seconds",
    "qdq_distance",
    "quantize_seconds",
    "simulation_turns",
]

Feeds = dict[str, NDArray[np.float32]]

PARAMS = Path("params.yaml")


# --- calibration ---


def calibration_turns(turns: int) -> tuple[float, float]:
    """Seconds of a float pass over the calibration set and of calibrating on it, in turns; medians.

    The float pass is inference alone, its session ready. Calibrating is what the user waits for after the pictures are
    decoded and normalized: parsing the network, creating the session, running, collecting, writing the statistics.
    """
    pictures, runner = _calibration_feeds(), Runner(FLOAT_MODEL)
    _calibrate(pictures[:1])  # loads what numba compiled
    clocks = [
        lambda: float_pass_seconds(runner, pictures),
        lambda: seconds_of(lambda: _calibrate(pictures)),
    ]
    float_pass, calibrating = alternating_medians(clocks, turns)
    return float_pass, calibrating


def float_pass_seconds(runner: Runner, pictures: Sequence[Feeds]) -> float:
    """Seconds of running each picture once, after one run that is not counted."""
    runner.run(pictures[0])
    return seconds_of(lambda: [runner.run(picture) for picture in pictures])


def calibration_seconds() -> float:
    """Seconds of calibrating once, counted as in `calibration_turns`."""
    pictures = _calibration_feeds()
    _calibrate(pictures[:1])
    return seconds_of(lambda: _calibrate(pictures))


def entropy_seconds() -> float:
    """Seconds of ONNX Runtime's entropy calibration as quantize_static does it, without its graph preprocessing."""
    pictures = _calibration_feeds()
    (name,) = pictures[0]
    reader = Feeder([picture[name] for picture in pictures], name)
    operators = list({*QLinearOpsRegistry, *QDQRegistry})

    def calibrate() -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            calibrator = create_calibrator(
                FLOAT_MODEL,
                operators,
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.Entropy,
            )
            calibrator.collect_data(reader)
            calibrator.compute_data()

    return seconds_of(calibrate)


def _calibrate(pictures: Sequence[Feeds]) -> None:
    named = ((str(index), picture) for index, picture in enumerate(pictures))
    statistics = collect(load_model(FLOAT_MODEL), named)
    with tempfile.TemporaryDirectory() as folder:
        save_statistics(Path(folder) / "statistics.npz", statistics, len(pictures))


def _calibration_feeds() -> list[Feeds]:
    inputs = load_inputs(INPUTS)
    return [feeds(sample, inputs) for sample in calibration_samples(CALIBSET)]


# --- quantization and simulation ---


def quantize_seconds() -> float:
    """Seconds of the quantize stage's function in this fresh process: from artifacts to artifacts, imports excluded."""
    config = load_params(PARAMS)
    with contextlib.redirect_stdout(io.StringIO()):
        return seconds_of(lambda: quantize(config))


def simulation_turns(turns: int, runs: int) -> tuple[float, float, float]:
    """Seconds a picture: of the float network, of exact simulation, and with every layer's codes as outputs.

    Medians over turns of some runs each; sessions are ready and warm.
    """
    picture = next(_debug_feeds())
    model, float_runner = load_integer_model(INTEGER_MODEL), Runner(FLOAT_MODEL)
    layers = tensor_quant_params(model.graph.node)
    outputs = list(float_runner.outputs)
    layers_and_outputs = [*layers, *(name for name in outputs if name not in layers)]
    runners = [
        float_runner,
        Runner(simulator_model(model, outputs), optimize="safe"),
        Runner(simulator_model(model, layers_and_outputs, codes=True), optimize="safe"),
    ]
    clocks = [partial(warm_seconds_of, partial(runner.run, picture), runs) for runner in runners]
    float_seconds, simulated, simulated_all = alternating_medians(clocks, turns)
    return float_seconds, simulated, simulated_all


def differing_layers() -> tuple[list[str], int]:
    """Compare every layer's codes, simulator against NumPy reference, byte by byte on the debug pictures.

    Returns:
        The layers that differ on any picture, and how many were compared.
    """
    model = load_integer_model(INTEGER_MODEL)
    layers = list(tensor_quant_params(model.graph.node))
    simulator = Runner(simulator_model(model, layers, codes=True), optimize="safe")
    differing: set[str] = set()
    for picture in _debug_feeds():
        expected, simulated = run_reference(model, picture), simulator.run(picture)
        differing |= {name for name in layers if not _same_bytes(expected[name], simulated[name])}
    return [name for name in layers if name in differing], len(layers)


def qdq_distance() -> tuple[int, int]:
    """The largest distance of a QDQ layer from the integers on the same input, in codes; the number of layers."""
    quantized, integer = load_model(QUANTIZED_MODEL), load_integer_model(INTEGER_MODEL)
    distances = layer_distances(quantized, integer, next(_debug_feeds()))
    return max(distances.values()), len(distances)


def _same_bytes(expected: NDArray[Any], actual: NDArray[Any]) -> bool:
    same_form = (expected.dtype, expected.shape) == (actual.dtype, actual.shape)
    return same_form and expected.tobytes() == actual.tobytes()


def _debug_feeds() -> Iterator[Feeds]:
    config = load_params(PARAMS)
    inputs = load_inputs(INPUTS)
    files = select(config.data.debug, inputs, "data.debug")
    for picture in read_samples(files, inputs, config.model.preprocess, "data.debug"):
        yield feeds(picture.sample, inputs)
