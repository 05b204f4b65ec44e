"""What `benchmarks.engine` measures, each in a process of its own, on the artifacts in the current folder."""

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from benchmarks.common import alternated, clock, steady
from benchmarks.peers.adapter import Feeder
from benchmarks.qdq import layer_distances
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

    The float pass is inference alone, its session ready. Calibrating is all that the user waits for after the pictures
    are decoded and normalized: parsing the network, making the session, running, collecting, writing the statistics.
    """
    fed, runner = _calibration_feeds(), Runner(FLOAT_MODEL)
    _calibrate(fed[:1])  # loads what numba compiled
    clocks = [
        lambda: steady_pass(runner, fed),
        lambda: clock(lambda: _calibrate(fed)),
    ]
    plain, calibrating = alternated(clocks, turns)
    return plain, calibrating


def steady_pass(runner: Runner, feeds: Sequence[Feeds]) -> float:
    """Seconds of running each picture once, after one run that is not counted."""
    runner.run(feeds[0])
    return clock(lambda: [runner.run(feed) for feed in feeds])


def calibration_seconds() -> float:
    """Seconds of calibrating once, counted as in `calibration_turns`."""
    feeds = _calibration_feeds()
    _calibrate(feeds[:1])
    return clock(lambda: _calibrate(feeds))


def entropy_seconds() -> float:
    """Seconds of ONNX Runtime's entropy calibration as quantize_static does it, without its graph preprocessing."""
    feeds = _calibration_feeds()
    (name,) = feeds[0]
    reader = Feeder([feed[name] for feed in feeds], name)
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

    return clock(calibrate)


def _calibrate(feeds: Sequence[Feeds]) -> None:
    statistics = collect(load_model(FLOAT_MODEL), ((str(index), feed) for index, feed in enumerate(feeds)))
    with tempfile.TemporaryDirectory() as folder:
        save_statistics(Path(folder) / "statistics.npz", statistics, len(feeds))


def _calibration_feeds() -> list[Feeds]:
    inputs = load_inputs(INPUTS)
    return [feeds(sample, inputs) for sample in calibration_samples(CALIBSET)]


# --- quantization and simulation ---


def quantize_seconds() -> float:
    """Seconds of the quantize stage's function in this fresh process: from artifacts to artifacts, imports excluded."""
    config = load_params(PARAMS)
    with contextlib.redirect_stdout(io.StringIO()):
        return clock(lambda: quantize(config))


def simulation_turns(turns: int, runs: int) -> tuple[float, float, float]:
    """Seconds a picture of the float network, of exact simulation, and of that with every layer's codes as outputs.

    Medians over turns of some runs each; sessions are ready and warm.
    """
    feeds = next(_debug_feeds())
    model, reference = load_integer_model(INTEGER_MODEL), Runner(FLOAT_MODEL)
    layers = tensor_quant_params(model.graph.node)
    outputs = list(reference.outputs)
    both = [*layers, *(name for name in outputs if name not in layers)]
    simulator = Runner(simulator_model(model, outputs), optimize="safe")
    every_layer = Runner(simulator_model(model, both, codes=True), optimize="safe")
    plain, simulated, simulated_all = alternated(
        [
            lambda: steady(lambda: reference.run(feeds), runs),
            lambda: steady(lambda: simulator.run(feeds), runs),
            lambda: steady(lambda: every_layer.run(feeds), runs),
        ],
        turns,
    )
    return plain, simulated, simulated_all


def differing_layers() -> tuple[list[str], int]:
    """Compare every layer's codes, simulator against NumPy reference, byte by byte on the debug pictures.

    Returns:
        The layers that differ on any picture, and how many were compared.
    """
    model = load_integer_model(INTEGER_MODEL)
    layers = list(tensor_quant_params(model.graph.node))
    simulator = Runner(simulator_model(model, layers, codes=True), optimize="safe")
    differing: set[str] = set()
    for fed in _debug_feeds():
        expected, found = run_reference(model, fed), simulator.run(fed)
        differing |= {name for name in layers if not _same_bytes(expected[name], found[name])}
    return [name for name in layers if name in differing], len(layers)


def qdq_distance() -> tuple[int, int]:
    """How far the QDQ network's layers are from the integers at most, on their own input, in codes; how many layers."""
    quantized, integer = load_model(QUANTIZED_MODEL), load_integer_model(INTEGER_MODEL)
    distances = layer_distances(quantized, integer, next(_debug_feeds()))
    return max(distances.values()), len(distances)


def _same_bytes(expected: NDArray[Any], found: NDArray[Any]) -> bool:
    alike = (expected.dtype, expected.shape) == (found.dtype, found.shape)
    return alike and expected.tobytes() == found.tobytes()


def _debug_feeds() -> Iterator[Feeds]:
    config = load_params(PARAMS)
    inputs = load_inputs(INPUTS)
    files = select(config.data.debug, inputs, "data.debug")
    for read in read_samples(files, inputs, config.model.preprocess, "data.debug"):
        yield feeds(read.sample, inputs)
