"""What the commands that try candidates of a network share: the settings to try by, and the metric of a candidate."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.config.schema import ChannelScales, Config, Equalization, QuantConfig, Rounding, Task
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.labels import labels_of
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import SampleReader, SampleWriter
from stages.core.graph.session import Runner
from stages.evaluate.scores import ClassificationScore
from stages.quantize.candidate import Candidate
from stages.quantize.simulation import Outputs, Simulation, mean_cosine

__all__ = ["ACCURACY", "COSINE", "Metric", "as_judged", "opened"]

COSINE, ACCURACY = "cosine", "accuracy"
"""The metrics."""
EVERY = slice(None)


def as_judged(quant: QuantConfig) -> tuple[QuantConfig, list[str]]:
    """Give the settings that candidates are tried by, and a note on what they leave out: what is fitted on pictures.

    That would take minutes a candidate, and a correction fitted around one candidate says little about another.
    """
    plain = replace(
        quant,
        rounding=Rounding.nearest,
        weight_correction=False,
        feature_correction=False,
        equalization=Equalization.none if quant.equalization is Equalization.measured else quant.equalization,
        channel_scales=ChannelScales.never if quant.channel_scales is ChannelScales.measured else quant.channel_scales,
    )
    changed = [key for key, value in vars(plain).items() if value != getattr(quant, key)]
    if not changed:
        return plain, []
    shown = ", ".join(f"quant.{key}={_shown(getattr(plain, key))}" for key in changed)
    return plain, [f"judged with {shown}: what is fitted or measured on pictures is left out"]


def _shown(value: object) -> str:
    return str(getattr(value, "value", value)).lower()


@dataclass(frozen=True)
class Metric:
    """How good a candidate is on pictures: top-1 as a share of them, or the average cosine of the least similar output.

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
        return self._value((made, made) for made in self.simulation.of_float())

    def _value(self, pairs: Iterator[tuple[Outputs, Outputs]]) -> float:
        if self.labels is None:
            return mean_cosine(pairs)
        score = ClassificationScore()
        for label, (expected, made) in zip(self.labels, pairs, strict=True):
            score.add(label, expected, made)
        return float(score.metrics()["quantized"]["top1"])


@contextmanager
def opened(
    config: Config, reference: onnx.ModelProto, inputs: Sequence[NetworkInput], metric: str, part: slice = EVERY
) -> Iterator[Metric]:
    """Read the pictures of a metric into a temporary folder, and run the float network on each.

    Args:
        config: the experiment.
        reference: the float network.
        inputs: its inputs.
        metric: ACCURACY, top-1 on `data.evaluation`, or COSINE on `data.debug`.
        part: which of the pictures.

    Raises:
        UserError: if pictures or labels are missing, or a float output is none that can be compared.
    """
    accuracy = metric == ACCURACY
    wanted, key = (config.data.evaluation, "data.evaluation") if accuracy else (config.data.debug, "data.debug")
    if accuracy and config.data.evaluation.task is not Task.classification:
        raise UserError(f"accuracy: data.evaluation.task=none has no labels; take {COSINE}")
    files = select(wanted, inputs, key)[part]
    if not files:
        raise UserError(f"{key} has too few pictures for this")
    labels = labels_of(config.data.evaluation, files, inputs, Runner(reference).outputs) if accuracy else None
    with TemporaryDirectory() as name:
        writer = SampleWriter(Path(name), [entry.name for entry in inputs], len(files))
        for read in track(read_samples(files, inputs, config.model.preprocess, key), "read", len(files)):
            writer.add(read.name, read.sample)
        writer.close([])
        samples = SampleReader.open(Path(name))

        def fed() -> Iterator[Outputs]:
            for sample in track(samples, metric, len(samples)):
                yield feeds(sample, inputs)

        simulation = Simulation(reference, fed, keep=True)
        for of, made in zip(samples.names, simulation.of_float(), strict=True):
            if not made:
                raise UserError("the network has no float output: there is nothing to compare")
            if not all(np.isfinite(values).all() for values in made.values()):
                raise UserError(f"{key}: an output of the float network is infinite or not a number on {of}")
        yield Metric(simulation, labels)
