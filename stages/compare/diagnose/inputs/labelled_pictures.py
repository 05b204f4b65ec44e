"""Some of the evaluation pictures with their classes: evidence of how the network is fed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.config.schema import LabelledSet, PreprocessConfig, Task
from stages.core.data.inputs import NetworkInput, only_picture
from stages.core.data.labels import labels_of
from stages.core.data.sample_files import read_samples, select
from stages.core.graph.onnx_graph import Graph

__all__ = ["LabelledPictures", "read_labelled"]

MAX_PICTURES = 32
"""More would change little and take long."""
KEY = "data.evaluation"


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures with their classes.

    Attributes:
        samples: uint8 [H, W, C] each, in the configured colour.
        labels: the class of each.
    """

    samples: Sequence[NDArray[np.uint8]]
    labels: Sequence[int]


def read_labelled(
    graph: Graph, inputs: Sequence[NetworkInput], data: LabelledSet, preprocess: PreprocessConfig
) -> LabelledPictures | None:
    """Read some of the evaluation pictures with their labels; None where there are none that can be read.

    What is wrong with them is for the stage evaluate to say.

    Args:
        graph: the float network.
        inputs: its inputs.
        data: the evaluation pictures.
        preprocess: how pictures are fitted.
    """
    if data.labels is None or data.task is not Task.classification or not only_picture(inputs):
        return None
    outputs = {name: graph.shapes.get(name, []) for name in graph.outputs}
    try:
        few = replace(data, size=min(data.size or MAX_PICTURES, MAX_PICTURES))
        files = select(few, inputs, KEY)
        labels = [label for label in labels_of(few, files, inputs, outputs) if label is not None]
        samples = [read.sample[inputs[0].name] for read in read_samples(files, inputs, preprocess, KEY)]
    except UserError:
        return None
    classes = max(size for shape in outputs.values() for size in shape)
    return LabelledPictures(samples, labels) if max(labels) < classes else None
