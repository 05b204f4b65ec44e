"""Outputs of the experiment in the current folder on its evaluation pictures, each for a process of its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import feeds, load_inputs
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import cosine

__all__ = ["Outputs", "float_outputs", "mean_cosine", "simulated_outputs"]

Outputs = NDArray[np.float32]
"""[pictures, classes]."""


def float_outputs() -> Outputs:
    """The float network's outputs."""
    return _outputs(Runner(FLOAT_MODEL))


def simulated_outputs() -> Outputs:
    """The integer network's exact outputs."""
    (name,) = Runner(FLOAT_MODEL).outputs
    return _outputs(Runner(simulator_model(load_integer_model(INTEGER_MODEL), [name]), optimize="safe"))


def _outputs(runner: Runner) -> Outputs:
    config = load_params(Path("params.yaml"))
    inputs = load_inputs(INPUTS)

    def rows() -> Iterator[Outputs]:
        files = select(config.data.evaluation, inputs, "data.evaluation")
        for picture in read_samples(files, inputs, config.model.preprocess, "data.evaluation"):
            (values,) = runner.run(feeds(picture.sample, inputs)).values()
            yield values.reshape(-1)

    return np.stack(list(rows()))


def mean_cosine(expected: Outputs, actual: Outputs) -> float:
    """The cosine of each picture's outputs, averaged."""
    return float(np.mean([cosine(*pair) for pair in zip(expected, actual, strict=True)]))
