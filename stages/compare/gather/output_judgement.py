"""The judge of a network's outputs, with what the settings say of them."""

from collections.abc import Sequence

from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.outputs.output_judge import OutputJudge
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.states import states_of

__all__ = ["open_judge"]


def open_judge(
    reference: Graph, inputs: Sequence[NetworkInput], config: Config, *, detects: bool = False
) -> OutputJudge:
    """Open a judge that has seen no picture.

    Args:
        reference: the float network.
        inputs: its inputs.
        config: the experiment; a single output with labels of classes is class scores.
        detects: whether its outputs are decoded to boxes, which are judged by themselves.
    """
    known = dict.fromkeys(states_of(reference), OutputKind.state)
    if detects:
        known = dict.fromkeys(reference.outputs, OutputKind.head)
    elif config.data.evaluation.task is Task.classification and len(reference.outputs) == 1:
        known = dict.fromkeys(reference.outputs, OutputKind.class_scores)
    sides = [each.shape[-2] for each in inputs if each.takes_picture]
    return OutputJudge(parts_of_outputs(reference), known, max(sides, default=0))
