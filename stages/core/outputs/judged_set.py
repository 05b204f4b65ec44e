"""What became of a network's outputs, and of a detector's boxes, on a set of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import as_number, as_object, as_rows, as_text, finite_or_none
from stages.core.base.console import counted
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.box_counts import BoxCounts
from stages.core.heads.detector import find_detector
from stages.core.outputs.output_error import Outputs
from stages.core.outputs.output_judge import OutputJudge, OutputJudgement, fidelity_of
from stages.core.outputs.output_kind import OutputKind
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.states import float_outputs, states_of

__all__ = ["DEBUG", "EVALUATION", "JudgedSet", "SetJudge", "open_judge"]

DEBUG, EVALUATION = "debug", "evaluation"


@dataclass(frozen=True)
class JudgedSet:
    """What became of the outputs on a set of samples.

    Attributes:
        name: `DEBUG` or `EVALUATION`.
        count: of samples.
        outputs: each float output's.
        boxes: a detector's; None of another network.
    """

    name: str
    count: int
    outputs: Sequence[OutputJudgement]
    boxes: BoxCounts | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "JudgedSet":
        """Read the plain form.

        Raises:
            TypeError, KeyError, ValueError: if it holds another value.
        """
        boxes = as_object(content)["boxes"]
        return cls(
            as_text(content["name"]),
            int(as_number(content["count"])),
            [OutputJudgement.from_json(each) for each in as_rows(content["outputs"])],
            None if boxes is None else BoxCounts.from_json(boxes),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        outputs = finite_or_none([judged.to_json() for judged in self.outputs])
        boxes = None if self.boxes is None else asdict(self.boxes)
        return {"name": self.name, "count": self.count, "boxes": boxes, "outputs": outputs}

    @property
    def fidelity(self) -> float:
        """Of the worst output that the samples can judge; of the worst of all where they can judge none."""
        heard = [replace(judged, silent="") for judged in self.outputs]
        return fidelity_of(heard if all(judged.silent for judged in self.outputs) else self.outputs)

    @property
    def worst(self) -> str:
        """The output whose fidelity that is; empty of a network that has one, or none that is an answer."""
        answers = [judged for judged in self.outputs if judged.kind is not OutputKind.state]
        return min(answers, key=lambda judged: (bool(judged.silent), judged.fidelity)).output if answers[1:] else ""

    def words(self, noun: str) -> str:
        """Say which samples: "28 evaluation pictures"."""
        return counted(self.count, f"{self.name} {noun}")


class SetJudge:
    """Takes in both networks' float outputs on a set of samples.

    Args:
        name: of the set.
        reference: the float network.
        inputs: its inputs.
        config: the experiment.
        head: the file in which export says of a detector's head.
    """

    def __init__(self, name: str, reference: Graph, inputs: Sequence[NetworkInput], config: Config, head: Path) -> None:
        self._detector = find_detector(head, reference, config)
        self._judge = open_judge(reference, inputs, config, detects=self._detector is not None)
        self._outputs, self._name, self._count, self._boxes = float_outputs(reference), name, 0, BoxCounts()

    def add(self, expected: Outputs, actual: Outputs, fed: Outputs) -> None:
        """Take in one sample: the float network's outputs, the quantized one's, and what both were fed."""
        self._count += 1
        f, q = ({name: side[name] for name in self._outputs} for side in (expected, actual))
        self._judge.add(f, q, fed)
        if self._detector:
            f_boxes, q_boxes = (self._detector.detect(outputs) for outputs in (expected, actual))
            self._boxes += BoxCounts.of(f_boxes, q_boxes, self._detector.score_threshold)

    def judged(self) -> JudgedSet:
        """What became of the outputs so far."""
        boxes = self._boxes if self._detector else None
        return JudgedSet(self._name, self._count, self._judge.judgements(), boxes)


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
