"""The metric of a candidate: how good the outputs of a quantized network are on pictures."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.preprocess import Placement
from stages.core.data.sample_files import SampleFiles, read_samples, select
from stages.core.data.sample_store import SampleReader, SampleWriter
from stages.core.graph.session import Runner
from stages.evaluate.scores import (
    ACCURACY,
    AGREEMENT,
    KEYPOINT_AGREEMENT,
    KEYPOINT_MAP,
    MAP,
    MASK_AGREEMENT,
    MASK_MAP,
    OWN,
    Score,
)
from stages.evaluate.scoring import Scoring, score_of_metric
from stages.quantize.candidate import Candidate
from stages.quantize.simulation import BothOutputs, Outputs, Simulation, mean_cosine

__all__ = [
    "ACCURACY",
    "AGREEMENT",
    "AGREEMENTS",
    "COSINE",
    "EVALUATED",
    "FIDELITY",
    "MAP",
    "METRICS",
    "OWN",
    "PRECISIONS",
    "SHARE_ROUNDING",
    "CandidateMetric",
    "Picture",
    "metric_text",
    "open_metric",
    "relative_bound",
]

FIDELITY, COSINE = "fidelity", "cosine"
PRECISIONS = {MAP: "", MASK_MAP: " with a mask", KEYPOINT_MAP: " with key points"}
"""A detector's precisions against labels, and what an object must have for them."""
AGREEMENTS = (AGREEMENT, MASK_AGREEMENT, KEYPOINT_AGREEMENT)
"""A detector's agreements with the float network; the first is a classifier's too."""
EVALUATED = (ACCURACY, *PRECISIONS, *AGREEMENTS, OWN)
"""Metrics on `data.evaluation`. A bound of 0 or below is a difference to the float network's."""
METRICS = (FIDELITY, COSINE, *EVALUATED)
"""Names of the metrics."""
SHARE_ROUNDING = 1e-9
"""How far the difference of two shares may be off by rounding."""
ALL_PICTURES = slice(None)
MOST_KEPT_BYTES = 2**29
"""Float outputs of all pictures are held in memory up to this size; beyond it the float network runs each time."""


@dataclass(frozen=True)
class Picture:
    """A sample's name, and where in the input its picture lies; None if it is no picture."""

    name: str
    placement: Placement | None


@dataclass(frozen=True)
class CandidateMetric:
    """A metric, averaged or counted over pictures.

    Attributes:
        name: one of `METRICS`; the fidelity is that of an output's worst part, the cosine that of the worst output.
        simulation: the pictures.
        pictures: each one's name and place; fidelity and cosine need none.
        scoring: gives a new score for each candidate; None for fidelity and cosine.
    """

    name: str
    simulation: Simulation
    pictures: Sequence[Picture] = ()
    scoring: Scoring | None = None

    @property
    def greater_is_better(self) -> bool:
        """Whether more of it is better; so it is but for metrics of the user's own that say otherwise."""
        return self.scoring is None or self.scoring.greater_is_better

    def of(self, candidate: Candidate) -> float:
        """The metric of a candidate, run in the exact simulator.

        Raises:
            UserError: if the pictures do not give the metric.
        """
        return self._value(self.simulation.simulated(candidate))

    def of_float(self) -> float:
        """The metric of the float network: what it is with everything in float.

        Raises:
            UserError: if the pictures do not give the metric.
        """
        return self._value(self.simulation.both_float())

    def with_interval(self, candidate: Candidate) -> tuple[float, tuple[float, float] | None]:
        """The metric of a candidate, and the 95 % interval of its difference to the float network's where it is known.

        Raises:
            UserError: if the pictures do not give the metric.
        """
        if self.scoring is None:
            return self.of(candidate), None
        score = self._scored(self.scoring, self.simulation.simulated(candidate))
        return self._of_score(score), score.interval(self.name)

    def _value(self, outputs: Iterable[BothOutputs]) -> float:
        if self.scoring is None:
            return mean_cosine(outputs) if self.name == COSINE else self.simulation.fidelity(outputs)
        return self._of_score(self._scored(self.scoring, outputs))

    def _scored(self, scoring: Scoring, outputs: Iterable[BothOutputs]) -> Score:
        score = scoring.new()
        for picture, (expected, actual, _) in zip(self.pictures, outputs, strict=True):
            score.add(picture.name, picture.placement, expected, actual)
        return score

    def _of_score(self, score: Score) -> float:
        value = score.value(self.name)
        if value is None:
            labelled = self.name in PRECISIONS
            lacking = f"labelled object{PRECISIONS[self.name]}" if labelled else "box that the float network finds"
            raise UserError(f"{self.name}: there is no {lacking} in {len(self.pictures)} pictures")
        return value


def relative_bound(of_float: float, difference: float, *, greater_is_better: bool = True) -> float:
    """The worst value that is worse than the float network's by no more than a difference, 0 or below."""
    worse = difference - SHARE_ROUNDING
    return of_float + worse if greater_is_better else of_float - worse


def metric_text(name: str, value: float) -> str:
    """A value of a metric, as its users know it."""
    forms = {ACCURACY: ".1%", FIDELITY: ".5f", COSINE: ".5f", OWN: ".5g"}
    return f"{value:{forms.get(name, '.4f')}}"


@contextmanager
def open_metric(
    config: Config, reference: onnx.ModelProto, inputs: Sequence[NetworkInput], name: str, part: slice = ALL_PICTURES
) -> Iterator[CandidateMetric]:
    """Read the pictures of a metric into a temporary folder, and run the float network on each.

    Args:
        config: the experiment.
        reference: the float network.
        inputs: its inputs.
        name: FIDELITY or COSINE on `data.debug`, or one of `EVALUATED` on `data.evaluation`.
        part: which of the pictures.

    Raises:
        UserError: if pictures or labels are missing, the task or the network does not give the metric, or a float
            output is none that can be compared.
    """
    evaluated = name in EVALUATED
    data, key = (config.data.evaluation, "data.evaluation") if evaluated else (config.data.debug, "data.debug")
    files = select(data, inputs, key)[part]
    if not files:
        raise UserError(f"{key} has too few samples for this")
    outputs = Runner(reference).outputs
    scoring = score_of_metric(name, config, files, inputs, outputs) if evaluated else None
    with TemporaryDirectory() as folder:
        samples, pictures = _stored(Path(folder), files, inputs, config, key)

        def feed() -> Iterator[Outputs]:
            for sample in track(samples, name, len(samples)):
                yield feeds(sample, inputs)

        simulation = Simulation(reference, feed, keep=len(files) * _bytes(outputs) <= MOST_KEPT_BYTES)
        _check_outputs(simulation, samples.names, key)
        yield CandidateMetric(name, simulation, pictures, scoring)


def _stored(
    folder: Path, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], config: Config, key: str
) -> tuple[SampleReader, list[Picture]]:
    """Read pictures into a folder."""
    writer = SampleWriter(folder, [each.name for each in inputs], len(files))
    pictures = []
    for read in track(read_samples(files, inputs, config.model.preprocess, key), "read", len(files)):
        writer.add(read.name, read.sample)
        pictures.append(Picture(read.name, read.placement))
    writer.close([])
    return SampleReader.open(folder), pictures


def _bytes(outputs: Mapping[str, Sequence[int | str]]) -> int:
    """Size of a network's float outputs on one picture."""
    sizes = ([size for size in shape if isinstance(size, int)] for shape in outputs.values())
    return 4 * sum(math.prod(known) for known in sizes)


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
