"""Some of the evaluation pictures with their labels: evidence of how the network is fed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.compare.diagnose.inputs.input_fit import Array, log_likelihoods
from stages.compare.diagnose.inputs.labelled_boxes import LabelledBoxes
from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput, only_picture
from stages.core.data.labels import labels_of
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_files import ReadSample, SampleFiles, read_samples, select
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.detections import Floats
from stages.core.heads.detector import load_detector

__all__ = ["Labelled", "LabelledPictures", "read_labelled"]

MAX_PICTURES = 32
"""More would change little and take long."""
KEY = "data.evaluation"


class Labelled(Protocol):
    """Pictures with labels of any kind."""

    @property
    def samples(self) -> Sequence[NDArray[np.uint8]]:
        """The pictures, uint8 [H, W, C] each, in the configured colour."""

    def glances(self) -> "Sequence[Labelled]":
        """A few of the pictures, then some more, to look at first; none where only all together tell anything."""

    def likelihoods(self, outputs: Iterable[Mapping[str, Floats]]) -> Array:
        """Log-likelihood of each picture's labels, float64 [P], by the network's outputs on the pictures."""

    def chance(self, size: int) -> float:
        """What a network reaches that does not look at the pictures; `size` is that of its first output."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with their classes.

    Attributes:
        samples: uint8 [H, W, C] each, in the configured colour.
        labels: the class of each.
    """

    samples: Sequence[NDArray[np.uint8]]
    labels: Sequence[int]

    def glances(self) -> "Sequence[LabelledPictures]":
        """None: the temperature that suits all pictures is not that of some."""
        return []

    def likelihoods(self, outputs: Iterable[Mapping[str, Floats]]) -> Array:
        """Log-likelihood of each picture's class, float64 [P]."""
        scores = [next(iter(output.values())).reshape(-1) for output in outputs]
        return log_likelihoods(np.array(scores, dtype=np.float64), self.labels)

    def chance(self, size: int) -> float:
        """Of equally likely classes."""
        return -float(np.log(size))


def read_labelled(graph: Graph, inputs: Sequence[NetworkInput], config: Config) -> Labelled | None:
    """Read some of the evaluation pictures with their labels; None where there are none that can be read.

    What is wrong with them is for the stage evaluate to say.

    Args:
        graph: the float network.
        inputs: its inputs.
        config: the experiment.
    """
    data = config.data.evaluation
    if data.labels is None or not only_picture(inputs):
        return None
    readers = {Task.classification: _read_classes, Task.detection: _read_boxes}
    try:
        few = replace(data, size=min(data.size or MAX_PICTURES, MAX_PICTURES))
        files = select(few, inputs, KEY)
        reader = readers.get(data.task)
        return reader(graph, inputs, config, files) if reader else None
    except UserError:
        return None


def _read_classes(
    graph: Graph, inputs: Sequence[NetworkInput], config: Config, files: Sequence[SampleFiles]
) -> LabelledPictures | None:
    outputs = {name: graph.shapes.get(name, []) for name in graph.outputs}
    labels = [label for label in labels_of(config.data.evaluation, files, inputs, outputs) if label is not None]
    samples = [read.sample[inputs[0].name] for read in _read(inputs, config, files)]
    classes = max(size for shape in outputs.values() for size in shape)
    return LabelledPictures(samples, labels) if max(labels) < classes else None


def _read_boxes(
    graph: Graph, inputs: Sequence[NetworkInput], config: Config, files: Sequence[SampleFiles]
) -> LabelledBoxes | None:
    outputs = {name: graph.shapes.get(name, []) for name in graph.outputs}
    detector = load_detector(DETECTOR, config.model.detector, outputs)
    if detector is None or config.data.evaluation.labels is None:
        return None
    labels = read_object_labels(config.data.evaluation.labels, [file.name for file in files])
    samples, placements, objects = [], [], []
    for read in _read(inputs, config, files):
        if read.placement is None:
            continue
        labelled = labels.of(read.name, *read.placement.picture)
        if detector.classes is not None and len(labelled.classes) and labelled.classes.max() >= detector.classes:
            return None
        if len(labelled.classes):
            samples.append(read.sample[inputs[0].name])
            placements.append(read.placement)
            objects.append(labelled)
    return LabelledBoxes(samples, placements, objects, detector)


def _read(inputs: Sequence[NetworkInput], config: Config, files: Sequence[SampleFiles]) -> list[ReadSample]:
    return list(read_samples(files, inputs, config.model.preprocess, KEY))
