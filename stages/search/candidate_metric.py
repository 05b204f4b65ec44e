"""The metric of a candidate: how good the outputs of a quantized network are on pictures."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.labels import labels_of
from stages.core.data.sample_files import SampleFiles, read_samples, select
from stages.core.data.sample_store import SampleReader, SampleWriter
from stages.core.graph.session import Runner
from stages.evaluate.scores import ClassificationScore
from stages.quantize.candidate import Candidate
from stages.quantize.simulation import Outputs, Simulation, mean_cosine

__all__ = ["ACCURACY", "COSINE", "SHARE_ROUNDING", "CandidateMetric", "open_metric", "relative_bound"]

COSINE, ACCURACY = "cosine", "accuracy"
"""Names of the metrics."""
SHARE_ROUNDING = 1e-9
"""How far the difference of two shares may be off by rounding."""
ALL_PICTURES = slice(None)


@dataclass(frozen=True)
class CandidateMetric:
    """Top-1 as a share of the pictures, or the cosine of the least similar output, averaged over the pictures.

    Attributes:
        simulation: the pictures.
        labels: class of each picture; None to measure the cosine.
    """

    simulation: Simulation
    labels: Sequence[int | None] | None

    def of(self, candidate: Candidate) -> float:
        """The metric of a candidate, run in the exact simulator."""
        return self._value(self.simulation.simulated(candidate))

    def of_float(self) -> float:
        """The metric of the float network: what it is with everything in float."""
        return self._value((outputs, outputs) for outputs in self.simulation.of_float())

    def _value(self, pairs: Iterable[tuple[Outputs, Outputs]]) -> float:
        if self.labels is None:
            return mean_cosine(pairs)
        score = ClassificationScore(self.labels)
        for expected, actual in pairs:
            score.add("", None, expected, actual)
        return float(score.metrics()["quantized"]["top1"])


def relative_bound(of_float: float, difference: float) -> float:
    """The least value that differs from the float network's by no less than a difference, 0 or below."""
    return of_float + difference - SHARE_ROUNDING


@contextmanager
def open_metric(
    config: Config, reference: onnx.ModelProto, inputs: Sequence[NetworkInput], name: str, part: slice = ALL_PICTURES
) -> Iterator[CandidateMetric]:
    """Read the pictures of a metric into a temporary folder, and run the float network on each.

    Args:
        config: the experiment.
        reference: the float network.
        inputs: its inputs.
        name: ACCURACY, top-1 on `data.evaluation`, or COSINE on `data.debug`.
        part: which of the pictures.

    Raises:
        UserError: if pictures or labels are missing, or a float output is none that can be compared.
    """
    accuracy = name == ACCURACY
    data, key = (config.data.evaluation, "data.evaluation") if accuracy else (config.data.debug, "data.debug")
    if accuracy and config.data.evaluation.task is not Task.classification:
        raise UserError(f"accuracy: data.evaluation.task=none has no labels; take {COSINE}")
    files = select(data, inputs, key)[part]
    if not files:
        raise UserError(f"{key} has too few pictures for this")
    labels = labels_of(config.data.evaluation, files, inputs, Runner(reference).outputs) if accuracy else None
    with TemporaryDirectory() as folder:
        samples = _stored(Path(folder), files, inputs, config, key)

        def feed() -> Iterator[Outputs]:
            for sample in track(samples, name, len(samples)):
                yield feeds(sample, inputs)

        simulation = Simulation(reference, feed, keep=True)
        _check_outputs(simulation, samples.names, key)
        yield CandidateMetric(simulation, labels)


def _stored(
    folder: Path, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], config: Config, key: str
) -> SampleReader:
    """Read pictures into a folder."""
    writer = SampleWriter(folder, [each.name for each in inputs], len(files))
    for read in track(read_samples(files, inputs, config.model.preprocess, key), "read", len(files)):
        writer.add(read.name, read.sample)
    writer.close([])
    return SampleReader.open(folder)


def _check_outputs(simulation: Simulation, pictures: Sequence[str], key: str) -> None:
    """Refuse a network whose float outputs cannot be compared.

    Raises:
        UserError: if it has none, or one is infinite or not a number.
    """
    for picture, outputs in zip(pictures, simulation.of_float(), strict=True):
        if not outputs:
            raise UserError("the network has no float output: there is nothing to compare")
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise UserError(f"{key}: an output of the float network is infinite or not a number on {picture}")
