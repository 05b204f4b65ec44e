"""Outcomes by what became of outputs and boxes."""

from collections.abc import Sequence
from typing import Any

from stages.compare.diagnose.outcome import Outcome
from stages.compare.gather.observed_boxes import ObservedBoxes
from stages.core.outputs.judged_set import DEBUG, JudgedSet
from stages.core.outputs.output_judge import OutputJudgement


def came_through(outputs: Sequence[OutputJudgement], boxes: ObservedBoxes | None = None, **more: Any) -> Outcome:
    """On 4 debug pictures, or on those of the boxes."""
    counts = boxes.counts if boxes else None
    return Outcome(JudgedSet(DEBUG, counts.pictures if counts else 4, outputs, counts), **more)
