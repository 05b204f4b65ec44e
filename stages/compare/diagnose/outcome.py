"""How the network came through, by its boxes or its outputs: what the verdict goes by and a cure has to improve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stages.compare.diagnose.box_findings import boxes_agree, boxes_differ, boxes_words, few_but_all_found
from stages.core.base.console import counted
from stages.core.heads.box_counts import BoxCounts
from stages.core.outputs.judged_set import EVALUATION, JudgedSet
from stages.core.outputs.output_judge import GOOD_FIDELITY, Level, OutputJudgement, fidelity_of
from stages.core.outputs.output_kind import OutputKind
from stages.core.statistics.shares import MIN_BOXES, likely_share
from stages.core.statistics.task_metric import LEAST_SAMPLES, TaskMetric

__all__ = ["Outcome", "off_by"]

LOST_SHARE = 0.5
"""A detector that loses so many of its boxes, or invents as many, is broken."""
HARMLESS_TASK_LOSS, UNCERTAIN_TASK_LOSS = 0.03, 0.1
"""Part of the task's metric that a sound network may lose; and if the pictures may as well show no loss."""
NUMBERS = (OutputKind.number, OutputKind.probability)
"""Kinds whose float values are said: they may show that the samples have nothing of what is looked for."""
MIN_SAMPLES = 30
"""Of fewer evaluated samples the metric is uncertain by more than that."""


@dataclass(frozen=True)
class Outcome:
    """How the network came through.

    Attributes:
        judged: what became of its outputs and boxes on the samples that the verdict goes by.
        noun: what a sample is called.
        task: what evaluate measured of the network, with labels or by the user's own metric; None if nothing.
        beside: the same as `judged` on the other samples; None where there are none.
    """

    judged: JudgedSet
    noun: str = "picture"
    task: TaskMetric | None = None
    beside: JudgedSet | None = None

    @classmethod
    def of(cls, debug: JudgedSet, evaluated: JudgedSet | None, noun: str, task: TaskMetric | None = None) -> Self:
        """The outcome by the larger of two sets, as long as it can judge the network or the other one cannot either.

        Args:
            debug: on the debug samples.
            evaluated: on the evaluation samples; None where these are not known.
            noun: what a sample is called.
            task: what evaluate measured.
        """
        if evaluated is None:
            return cls(debug, noun, task)
        larger, smaller = (evaluated, debug) if evaluated.count >= debug.count else (debug, evaluated)
        outcome, other = cls(larger, noun, task, smaller), cls(smaller, noun, task, larger)
        if outcome._of_samples is Level.unjudged and other._of_samples is not Level.unjudged:
            return other
        return outcome

    @property
    def outputs(self) -> Sequence[OutputJudgement]:
        """What became of each float output."""
        return self.judged.outputs

    @property
    def boxes(self) -> BoxCounts | None:
        """Of a detector; None of another network."""
        return self.judged.boxes

    @property
    def samples(self) -> str:
        """Which ones the verdict goes by: "28 evaluation pictures"."""
        return self.judged.words(self.noun)

    @property
    def by_evaluation(self) -> bool:
        """Whether the verdict goes by the evaluation samples."""
        return self.judged.name == EVALUATION

    @property
    def level(self) -> Level:
        """What evaluate measured on enough samples has the last word; else boxes and outputs, but for a large loss."""
        if self.by_task is not None:
            return self.by_task
        return Level.look if self._of_samples is Level.good and self._loses_on_few else self._of_samples

    @property
    def _loses_on_few(self) -> bool:
        """Whether evaluate measured a large loss on samples that are too few to decide."""
        task = self.task
        return (
            task is not None and task.count >= LEAST_SAMPLES and not task.by_chance and task.loss > UNCERTAIN_TASK_LOSS
        )

    @property
    def by_task(self) -> Level | None:
        """By what evaluate measured; None where it measured nothing, on too few samples, or nothing to lose."""
        task = self.task
        if task is None or task.count < MIN_SAMPLES or task.by_chance:
            return None
        if task.loss <= HARMLESS_TASK_LOSS or (task.may_show_no_loss and task.loss <= UNCERTAIN_TASK_LOSS):
            return Level.good
        return Level.broken if task.loss >= LOST_SHARE else Level.look

    @property
    def _of_samples(self) -> Level:
        """A detector is as good as its boxes, if there are enough to tell; another network as its worst output.

        Of a network whose answers differ and whose state tells nothing later steps are worse than these samples'.
        """
        of_outputs = max(
            (judged.level for judged in self.outputs), key=lambda level: level.severity, default=Level.good
        )
        boxes = self.boxes
        if boxes is None:
            return Level.broken if self._lost_state is not None else of_outputs
        if boxes_agree(boxes):
            return Level.good
        if boxes_differ(boxes):
            sides = ((boxes.lost, boxes.count), (boxes.invented, boxes.quantized_count))
            if self.outputs and self.fidelity == 0:  # an output that tells nothing settles what the boxes leave open
                return Level.broken if any(_may_reach(*side, LOST_SHARE) for side in sides) else Level.look
            return Level.broken if any(_share(*side) >= LOST_SHARE for side in sides) else Level.look
        return Level.good if few_but_all_found(boxes) or of_outputs is Level.good else Level.unjudged

    @property
    def _lost_state(self) -> OutputJudgement | None:
        """A state that tells nothing, where answers differ already though all states that are fed are right."""
        states = [judged for judged in self.outputs if judged.kind is OutputKind.state]
        if not any(judged.level is Level.look and judged not in states for judged in self.outputs):
            return None
        return next((judged for judged in states if judged.level is Level.look and judged.fidelity == 0), None)

    @property
    def decided_by(self) -> str | None:
        """What the level goes by in place of the outputs; None where it goes by these."""
        if self.by_task is not None and self.task is not None:
            return f"{self.task.name}, which evaluate measured"
        boxes = self.boxes
        by_boxes = boxes is not None and (boxes_agree(boxes) or boxes_differ(boxes) or few_but_all_found(boxes))
        return "the boxes" if by_boxes else None

    @property
    def fidelity(self) -> float:
        """Of the worst output that the pictures can judge."""
        return fidelity_of(self.outputs)

    def fidelity_of(self, output: str) -> float:
        """Of one output; 1 where there is none of that name."""
        return fidelity_of([judged for judged in self.outputs if judged.output == output])

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
        clauses = [_task_words(self.task, self.noun)] if self.task is not None else []
        clauses += [boxes_words(self.boxes, self.samples)] if self.boxes is not None else []
        worst = self.worst
        if worst is not None:
            decisive = self.decided_by is None or self.level is not Level.good
            clauses.append(f"{'' if decisive else 'not decisive: '}{self._output_words(worst)}")
        if self.boxes is None and (lost := self._lost_state) is not None:
            clauses.append(f"the state {lost.output} tells nothing (fidelity 0), so that errors grow from step to step")
        return "; ".join(clauses)

    def _output_words(self, judged: OutputJudgement) -> str:
        """Say what an output is, how far it is off and on which samples, and how many answers change."""
        several = len(self.outputs) > 1
        span = f" of {judged.span[0]:.3g} to {judged.span[1]:.3g}" if judged.span and judged.kind in NUMBERS else ""
        name = f"{judged.output} ({judged.kind.value}{span})"
        name = f"the worst of {len(self.outputs)} outputs, {name}," if several else f"the output {name}"
        if judged.silent:
            return f"{name} cannot be judged on these {self.samples}: {judged.silent}"
        part = f"{'' if several else ','} its part {judged.worst.part}," if judged.worst.part else ""
        if not math.isfinite(judged.worst.error):
            return f"{name}{part} is infinite or not a number after quantizing"
        scale = ""
        if judged.fidelity < GOOD_FIDELITY:
            stay = judged.level is Level.good
            scale = "; 1: equal; good, as its answers stay" if stay else f"; 1: equal, good from {GOOD_FIDELITY:g}"
        of = "what it changes of its input" if judged.changes_input else "its variation"
        if judged.found is not None:
            of += f" in the {counted(judged.found, 'place')} where something is found"
        fidelity = f"fidelity {judged.fidelity:.4f} on {self.samples}{self._beside_words(judged.output)}{scale}"
        words = f"{name}{part} is off by {off_by(judged)} % of {of} ({fidelity})"
        if judged.answers is not None and judged.answers.count:
            answers = judged.answers
            changed = f"{answers.changed} of {answers.count}" if answers.changed else f"none of {answers.count}"
            words += f", {changed} {answers.noun} changed"
        return words

    def _beside_words(self, output: str) -> str:
        """An output's fidelity on the other samples, where these can judge it and are not the same."""
        others = self.beside.outputs if self.beside is not None else []
        known = next((each for each in others if each.output == output and not each.silent), None)
        if self.beside is None or known is None:
            return ""
        own = next(each for each in self.outputs if each.output == output)
        if self.beside.count == self.judged.count and known.fidelity == own.fidelity:
            return ""
        return f", {known.fidelity:.4f} on {self.beside.words(self.noun)}"

    @property
    def enough_boxes(self) -> bool:
        """Whether a detector shows enough boxes to go by."""
        return self.boxes is not None and self.boxes.count >= MIN_BOXES


def _task_words(task: TaskMetric, noun: str) -> str:
    """Say what evaluate measured."""
    doubt = ", too few to go by" if task.count < MIN_SAMPLES else ""
    if task.by_chance:
        doubt = f"; one answer for every {noun} would do as well as the float network: check labels, metric and input"
    count = f"{task.count} evaluation {noun}s{doubt}"
    return f"{task.name} is {task.of_quantized:.4g}, in float {task.of_float:.4g}, on {count}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _may_reach(part: int, whole: int, limit: float) -> bool:
    """Whether a share that was counted on few may as well be that large."""
    return whole > 0 and likely_share(part, whole)[1] >= limit


def off_by(judged: OutputJudgement) -> str:
    """An output's error in percent of its variation, as one reads it."""
    percent = 100.0 * max(judged.errors) ** 0.5
    return f"{percent:.2g}" if percent < 99.5 else f"{percent:.0f}"
