"""The metric of a draft: both networks' outputs on the same pictures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config import Config, PictureSet, Task
from stages.core.console import track
from stages.core.errors import UserError
from stages.core.inputs import NetworkInput, normalize
from stages.core.integer.simulator import simulator_model
from stages.core.labels import labels_of
from stages.core.metrics import cosine
from stages.core.preprocess import read_pictures, select
from stages.core.samples import SampleReader, SampleWriter
from stages.core.session import Runner
from stages.evaluate.scores import ClassificationScore

__all__ = ["ACCURACY", "COSINE", "Pictures", "opened"]

COSINE, ACCURACY = "cosine", "accuracy"
"""The metrics."""

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Pictures:
    """The pictures that drafts are simulated on, and the float network's outputs on them.

    Attributes:
        samples: the pictures, on disk.
        network_input: what they feed.
        expected: float outputs of each picture, name -> values.
        labels: class of each picture; None to measure the cosine.
    """

    samples: SampleReader
    network_input: NetworkInput
    expected: Sequence[Outputs]
    labels: Sequence[int | None] | None

    def of_float(self) -> float:
        """The metric of the float network: what it is with everything in float."""
        return self._metric(iter(self.expected))

    def of(self, integer: onnx.ModelProto, label: str) -> float:
        """The metric of an integer model, run in the exact simulator; `label` names the progress bar."""
        runner = Runner(simulator_model(integer, list(self.expected[0])), optimize="safe")
        feeds = ({self.network_input.name: normalize(sample, self.network_input)} for sample in self.samples)
        return self._metric(runner.run(entry) for entry in track(feeds, label, len(self.samples)))

    def _metric(self, actual: Iterator[Outputs]) -> float:
        """Top-1 as a share of the pictures, or the average cosine of the least similar output."""
        pairs = zip(self.expected, actual, strict=True)
        if self.labels is None:
            found = [[_cosine(expected[name], made[name]) for name in expected] for expected, made in pairs]
            return float(np.min(np.mean(found, axis=0)))
        score = ClassificationScore()
        for label, (expected, made) in zip(self.labels, pairs, strict=True):
            score.add(label, expected, made)
        return float(score.metrics()["quantized"]["top1"])


def _cosine(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Their cosine; 0 where a value is infinite or not a number: that is as bad as can be."""
    return cosine(expected, actual) if np.isfinite(actual).all() else 0.0


@contextmanager
def opened(config: Config, reference: onnx.ModelProto, network_input: NetworkInput, metric: str) -> Iterator[Pictures]:
    """Read the pictures of a metric into a temporary folder and run the float network on each, once.

    Args:
        config: the experiment.
        reference: the float network.
        network_input: its input.
        metric: ACCURACY, top-1 on `data.evaluation`, or COSINE on `data.debug`.

    Raises:
        UserError: if pictures or labels are missing, or a float output is none that can be compared.
    """
    accuracy = metric == ACCURACY
    wanted: PictureSet = config.data.evaluation if accuracy else config.data.debug
    key = "data.evaluation" if accuracy else "data.debug"
    if accuracy and config.data.evaluation.task is not Task.classification:
        raise UserError("--metric accuracy: data.evaluation.task=none has no labels; take --metric cosine")
    files = select(wanted, key)
    runner = Runner(_float_outputs(reference))
    labels = labels_of(config.data.evaluation, files, runner.outputs) if accuracy else None
    with TemporaryDirectory() as name:
        folder, expected = Path(name), []
        shape = (network_input.height, network_input.width, network_input.channels)
        writer = SampleWriter(folder, network_input.name, len(files), shape)
        pictures = read_pictures(files, network_input, config.model.preprocess, key)
        for picture in track(pictures, "float network", len(files)):
            writer.add(picture.name, picture.sample)
            made = runner.run({network_input.name: normalize(picture.sample, network_input)})
            if not all(np.isfinite(values).all() for values in made.values()):
                raise UserError(f"{key}: an output of the float network is infinite or not a number on {picture.name}")
            expected.append(made)
        writer.close([])
        yield Pictures(SampleReader.open(folder), network_input, expected, labels)


def _float_outputs(reference: onnx.ModelProto) -> onnx.ModelProto:
    """The network with those of its outputs that are float32."""
    kept = [entry for entry in reference.graph.output if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    if not kept:
        raise UserError("the network has no float output: there is nothing to compare")
    model = onnx.ModelProto()
    model.CopyFrom(reference)
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model
