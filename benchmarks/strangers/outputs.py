"""Outputs of the experiment in the current folder on its evaluation samples, for a process of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from benchmarks.strangers.stranger import Arrays
from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import DOMAIN, load_integer_model
from stages.core.integer.operators import WEIGHTED, operator_of
from stages.core.integer.simulator import simulator_model

__all__ = ["both_outputs", "run_streams", "weighted_layers"]

KEY = "data.evaluation"
RECURRENT = {"GRU", "LSTM", "RNN"}


def both_outputs(states: Mapping[str, str], starts: Sequence[int]) -> tuple[list[Arrays], list[Arrays]]:
    """Run the float network and the quantized one's exact integers on the evaluation samples.

    A network with states takes its own states from one sample to the next, as on a board.

    Args:
        states: output -> input that takes its value at the next sample.
        starts: indices of the samples at which a stream begins.

    Returns:
        Of each network, a sample each, the outputs that are no states.
    """
    config, inputs = load_params(Path("params.yaml")), load_inputs(INPUTS)
    files = select(config.data.evaluation, inputs, KEY)
    samples = [feeds(read.sample, inputs) for read in read_samples(files, inputs, config.model.preprocess, KEY)]
    reference = Runner(FLOAT_MODEL)
    names = list(reference.outputs)
    quantized = Runner(simulator_model(load_integer_model(INTEGER_MODEL), names), optimize="safe")
    return run_streams(reference, samples, states, starts), run_streams(quantized, samples, states, starts)


def run_streams(
    runner: Runner, samples: Sequence[Arrays], states: Mapping[str, str], starts: Sequence[int]
) -> list[Arrays]:
    """Run a network on samples, with its own states from one to the next, but where a stream starts.

    Args:
        runner: the network.
        samples: its feeds, the states at a stream's start among them.
        states: output -> input that takes its value at the next sample.
        starts: indices of the samples at which a stream begins.

    Returns:
        Of each sample the outputs that are no states; not numbers where the network cannot be run, for instance
        since a layer that stays in float has divided by a zero that quantization made.
    """
    results: list[Arrays] = []
    carried: Arrays = {}
    for index, sample in enumerate(samples):
        if index in starts:
            carried = {}
        try:
            outputs = runner.run({**sample, **carried})
        except Fail:
            if not results:
                raise
            results.append({name: np.full_like(value, np.nan) for name, value in results[-1].items()})
            continue
        carried = {name: np.asarray(outputs[output], np.float32) for output, name in states.items()}
        results.append({name: value for name, value in outputs.items() if name not in states})
    return results


def weighted_layers() -> tuple[int, int]:
    """How many layers of the quantized network multiply by weights in integers, and how many there are."""
    nodes = load_integer_model(INTEGER_MODEL).graph.node
    integers = sum(node.domain == DOMAIN and operator_of(node).weighted for node in nodes)
    floats = sum(node.domain != DOMAIN and node.op_type in WEIGHTED | RECURRENT for node in nodes)
    return integers, integers + floats
