"""How the network came through, by its boxes or its outputs: what the verdict goes by and a cure has to improve."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.compare.diagnose.box_findings import MIN_BOXES, boxes_agree, boxes_words
from stages.compare.gather.observed_boxes import ObservedBoxes
from stages.core.outputs.output_judge import Level, OutputJudgement, fidelity_of
from stages.core.outputs.output_kind import OutputKind
from stages.core.statistics.shares import surely_more

__all__ = ["Outcome"]

LOST_SHARE = 0.5
"""A detector that loses so many of its boxes, or invents as many, is broken."""
HARMLESS_LOSS = 0.1


@dataclass(frozen=True)
class Outcome:
    """How the network came through on the debug pictures.

    Attributes:
        outputs: what became of each float output.
        boxes: of a detector; None of another network.
        noun: what a sample is called.
    """

    outputs: Sequence[OutputJudgement]
    boxes: ObservedBoxes | None = None
    noun: str = "picture"

    @property
    def level(self) -> Level:
        """A detector is as good as its boxes, if there are enough to tell; another network as its worst output."""
        of_outputs = max(
            (judged.level for judged in self.outputs), key=lambda level: level.severity, default=Level.good
        )
        boxes = self.boxes
        if boxes is None:
            return of_outputs
        if boxes_agree(boxes):
            return Level.good
        differ = max(_share(boxes.lost, boxes.count), _share(boxes.invented, boxes.quantized_count))
        if surely_more(boxes.lost, boxes.count, HARMLESS_LOSS) or (
            surely_more(boxes.invented, boxes.quantized_count, HARMLESS_LOSS)
        ):
            return Level.broken if differ >= LOST_SHARE else Level.look
        return Level.good if of_outputs is Level.good else Level.unjudged  # fewer boxes than can tell

    @property
    def fidelity(self) -> float:
        """Of the worst output that the pictures can judge."""
        return fidelity_of(self.outputs)

    @property
    def box_agreement(self) -> float:
        """Boxes that both networks find, in parts of all (F1); 1 where neither finds any."""
        boxes = self.boxes
        if boxes is None or not boxes.count + boxes.quantized_count:
            return 1.0
        lost, invented = boxes.lost, boxes.invented
        both = boxes.count - lost
        return 2 * both / (2 * both + lost + invented)

    @property
    def worst(self) -> OutputJudgement | None:
        """The output that suffers most, an answer before a state; None where there is none in float."""
        return max(
            self.outputs,
            key=lambda judged: (judged.level.severity, judged.kind is not OutputKind.state, -judged.fidelity),
            default=None,
        )

    def words(self) -> str:
        """Say in a clause how the outputs came through."""
        clauses = [boxes_words(self.boxes, self.noun)] if self.boxes is not None else []
        worst = self.worst
        if worst is not None:
            clauses.append(_output_words(worst, len(self.outputs), self.noun))
        return "; ".join(clauses)

    @property
    def enough_boxes(self) -> bool:
        """Whether a detector shows enough boxes to go by."""
        return self.boxes is not None and self.boxes.count >= MIN_BOXES


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _output_words(judged: OutputJudgement, count: int, noun: str) -> str:
    """Say what an output is, how far it is off, and how many answers change."""
    which = "the output" if count == 1 else f"the worst of {count} outputs,"
    name = f"{which} {judged.output} ({judged.kind.value})"
    if judged.silent:
        return f"{name} cannot be judged on these {noun}s: {judged.silent}"
    part = f", its part {judged.worst.part}" if judged.worst.part else ""
    error = max(judged.errors) ** 0.5
    words = f"{name}{part} is off by {100 * error:.2g} % of its variation (fidelity {judged.fidelity:.4f})"
    if judged.answers is not None and judged.answers.count:
        answers = judged.answers
        changed = f"{answers.changed} of {answers.count}" if answers.changed else f"none of {answers.count}"
        words += f", {changed} {answers.noun} changed"
    return words
