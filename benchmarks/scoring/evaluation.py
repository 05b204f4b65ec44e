"""Networks' outputs on the evaluation pictures, and their scores; on the artifacts in the current folder.

Each function is for a process of its own. All networks are fed the same samples, and each leaves its outputs as an
array, so that ours and any other tool's are scored in the same way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.networks import NETWORKS, Network
from benchmarks.scoring.classification import best_classes, top1
from benchmarks.scoring.detection import precisions
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, INPUTS, INTEGER_MODEL
from stages.core.config.load import load_params
from stages.core.data.inputs import load_inputs, normalize
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.session import Runner
from stages.core.integer.model import load_integer_model
from stages.core.integer.simulator import simulator_model
from stages.core.statistics.metrics import cosine

__all__ = [
    "FLOAT_OUTPUTS",
    "QUANTIZED_OUTPUTS",
    "SAMPLES",
    "TASKS",
    "Task",
    "closeness_to_float",
    "score",
    "write_float_outputs",
    "write_simulated_outputs",
]

SAMPLES = Path("samples.npy")
"""The evaluation pictures as the network's input sees them: uint8 [pictures, H, W, C]."""
FLOAT_OUTPUTS = Path("float.npy")
"""The float network's outputs: float32 [pictures, ...]."""
QUANTIZED_OUTPUTS = Path("quantized.npy")
"""The scored network's outputs: float32 [pictures, ...]."""

PARAMS = Path("params.yaml")
EVALUATION_KEY = "data.evaluation"

Outputs = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """How a network is scored.

    Attributes:
        network: its files and how to compose it.
        period: every period-th picture calibrates, all others evaluate.
        classifies: whether its output is a score a class, so that two networks can agree.
        score: outputs [pictures, ...], the pictures and DIR -> metrics.
    """

    network: Network
    period: int
    classifies: bool
    score: Callable[[Outputs, Sequence[Path], Path], dict[str, Any]]


TASKS = {
    "lite0": Task(NETWORKS["lite0"], 8, True, top1),
    "yolox": Task(NETWORKS["yolox_nano"], 2, False, precisions),
}


def write_float_outputs() -> None:
    """Write the samples, and the float network's outputs on them."""
    config = load_params(PARAMS)
    (network_input,) = load_inputs(INPUTS)
    files = select(config.data.evaluation, [network_input], EVALUATION_KEY)
    shape = (len(files), *network_input.sample_shape)
    samples = np.lib.format.open_memmap(SAMPLES, mode="w+", dtype=np.uint8, shape=shape)
    pictures = read_samples(files, [network_input], config.model.preprocess, EVALUATION_KEY)
    for index, picture in enumerate(pictures):
        samples[index] = picture.sample[network_input.name]
    samples.flush()
    _write_outputs(Runner(FLOAT_MODEL), FLOAT_OUTPUTS)


def write_simulated_outputs() -> None:
    """Write the integer network's exact outputs on the samples."""
    (output,) = Runner(FLOAT_MODEL).outputs
    simulator = Runner(simulator_model(load_integer_model(INTEGER_MODEL), [output]), optimize="safe")
    _write_outputs(simulator, QUANTIZED_OUTPUTS)


def _write_outputs(runner: Runner, target: Path) -> None:
    (name,) = runner.outputs
    np.save(target, np.concatenate([runner.run(feeds)[name] for feeds in _feeds()]))


def _feeds() -> Iterator[dict[str, Outputs]]:
    (network_input,) = load_inputs(INPUTS)
    for sample in np.load(SAMPLES, mmap_mode="r"):
        yield {network_input.name: normalize(sample, network_input)}


def score(task: str, outputs: Path, pictures: Sequence[Path], data: Path) -> dict[str, Any]:
    """The task's metrics of a network's outputs.

    Raises:
        UserError: if one is infinite or not a number.
    """
    return TASKS[task].score(_load(outputs), pictures, data)


def closeness_to_float(task: str) -> dict[str, Any]:
    """Compare the quantized outputs with the float ones: number of equal best classes, mean cosine, number of pictures.

    Raises:
        UserError: if an output is infinite or not a number.
    """
    expected, actual = _load(FLOAT_OUTPUTS), _load(QUANTIZED_OUTPUTS)
    same_class = best_classes(expected) == best_classes(actual) if TASKS[task].classifies else None
    return {
        "agreement": None if same_class is None else int(np.count_nonzero(same_class)),
        "cosine": float(np.mean([cosine(*pair) for pair in zip(expected, actual, strict=True)])),
        "count": len(expected),
    }


def _load(path: Path) -> Outputs:
    outputs: Outputs = np.load(path)
    if not np.isfinite(outputs).all():
        raise UserError("an output is infinite or not a number")
    return outputs
