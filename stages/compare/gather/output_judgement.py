"""The judge of a network's outputs, with what the settings say of them."""

from collections.abc import Sequence

from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.outputs.output_judge import OutputJudge
from stages.core.outputs.output_parts import parts_of_outputs

__all__ = ["open_judge"]


def open_judge(reference: Graph, inputs: Sequence[NetworkInput], config: Config) -> OutputJudge:
    """Open a judge that has seen no picture.

    Args:
        reference: the float network.
        inputs: its inputs.
        config: the experiment; a single output with labels of classes is class scores.
    """
    classified = config.data.evaluation.task is Task.classification and len(reference.outputs) == 1
    sides = [each.shape[-2] for each in inputs if each.takes_picture]
    return OutputJudge(parts_of_outputs(reference), reference.outputs if classified else (), max(sides, default=0))
