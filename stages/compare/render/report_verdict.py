"""The report in one sentence, and its findings in lines for the terminal."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from stages.compare.diagnose.box_findings import MIN_BOXES, boxes_agree, boxes_words
from stages.compare.diagnose.finding import Finding
from stages.compare.diagnose.part_findings import MIN_VALUES
from stages.compare.gather.comparison import Row
from stages.compare.gather.observed_boxes import ObservedBoxes
from stages.compare.gather.observed_parts import ObservedJoint, ObservedPart
from stages.compare.gather.similarity import POOR, Similarity
from stages.core.config.overrides import split_overrides
from stages.core.statistics.metrics import SQNR_CAP

__all__ = ["FIRST_LOOK", "LOST", "OutputEvidence", "Verdict", "command_line", "finding_lines", "verdict"]

FIRST_LOOK = {
    "boxes": "the boxes that differ",
    "scores": "the scores, which have few values",
    "parts": "what {node} joins",
    "input": "the input: colour order, mean and normal",
    "calibration": "the calibration set",
    "range": "the range of {node}",
    "bit_width": "the bit width of {node}",
    "channel_imbalance": "the channels of {node}",
    "first_layer": "the input: colour order, mean and normal",
    "falls": "{node}",
    "accumulates": "the error that accumulates",
    "debug": "the debug set",
}
"""Kind of the first finding -> where to look; the finding itself says the rest."""
LOST = 0.95
"""The vendor's guide: below it a last layer is lost."""
LOST_PART = 1.0
"""An error as large as a part's deviation: a constant would do as well."""
LOST_SHARE = 0.5
"""A detector that loses so many of its boxes is broken."""


@dataclass(frozen=True)
class Verdict:
    """How the network came through.

    Attributes:
        level: `good`, `look` or `broken`.
        sentence: begins with the level in words.
    """

    level: str
    sentence: str


@dataclass(frozen=True)
class OutputEvidence:
    """What an output is judged by beside its cosine, which goes by its largest values.

    Attributes:
        joints: outputs of several parts, among others.
        boxes: of a detector; None of another network.
        noun: what a sample is called.
    """

    joints: Sequence[ObservedJoint] = ()
    boxes: ObservedBoxes | None = None
    noun: str = "picture"

    @property
    def worst_part(self) -> ObservedPart | None:
        """The part of an output that errs most by its own measure; channels are too many to go by one."""
        parts = [
            part
            for observed in self.joints
            if observed.joint.is_output and not observed.joint.by_channel and len(observed.parts) > 1
            for part in observed.parts
            if part.values >= MIN_VALUES
        ]
        return max(parts, key=lambda part: part.relative_error, default=None)


def verdict(similarity: Similarity, outputs: OutputEvidence, findings: Sequence[Finding], worst: Row | None) -> Verdict:
    """Say in one sentence whether it is good, and if not what to look at first.

    A detector is as good as its boxes, if there are enough to tell; an output is as good as its worst part.

    Args:
        similarity: the table.
        outputs: what the outputs are judged by.
        findings: worst first.
        worst: the row of the worst layer; None where no layer has an error.
    """
    rows, end, part, boxes = similarity.rows, similarity.output, outputs.worst_part, outputs.boxes
    poor = [row for row in rows if row["cosine_avg"] < POOR]
    output = f"the output ({end['node']}) has cosine {end['cosine_avg']:.4f}"
    if part is not None:
        output += f", its part {part.part.name} an error of {part.relative_error:.2g} of its deviation"
    if boxes is not None:
        output = f"{boxes_words(boxes, outputs.noun)}; {output}"
    agree = boxes is not None and boxes_agree(boxes)
    lost = part is not None and part.relative_error >= LOST_PART and not agree
    verb = "is" if len(poor) == 1 else "are"
    share = f"{len(poor)} of {len(rows)} nodes {verb} below {POOR}" if poor else f"no node is below {POOR}"
    if not findings and not lost and (agree or not poor):
        return Verdict("good", f"Good: {output}, and {share}.")
    level, word = ("broken", "Broken") if _broken(end, boxes, findings) else ("look", "Look here")
    return Verdict(level, f"{word}: {output}, {share}; {_reason(findings, worst, poor, part if lost else None)}.")


def _broken(end: Row, boxes: ObservedBoxes | None, findings: Sequence[Finding]) -> bool:
    """Whether the network is of no use: by its boxes where they can tell."""
    if any(finding.kind == "parts" and "output" in finding.evidence for finding in findings):
        return True
    kinds = {finding.kind for finding in findings}
    if boxes is not None and (boxes.count >= MIN_BOXES or "boxes" in kinds):
        return "scores" in kinds or ("boxes" in kinds and boxes.lost >= LOST_SHARE * boxes.count)
    return bool(end["cosine_avg"] < LOST)


def _reason(findings: Sequence[Finding], worst: Row | None, poor: Sequence[Row], lost: ObservedPart | None) -> str:
    if findings:
        return f"look first at {FIRST_LOOK[findings[0].kind].format(node=findings[0].node)} (finding 1)"
    if worst is not None and worst.get("isolated_sqnr", SQNR_CAP) < SQNR_CAP:
        return f"the layer that errs most by itself is {worst['node']} ({worst['isolated_sqnr']:.1f} dB alone)"
    if not poor and lost is not None:
        return f"{lost.part.name} tells no more than a constant on these pictures"
    row = worst or min(poor, key=lambda row: row["cosine_avg"])
    return f"the worst is {row['node']} ({row['cosine_avg']:.4f})"


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for the terminal, worst first: what is wrong, and the line to type."""
    lines = []
    for number, finding in enumerate(findings, 1):
        lines.append(f"finding {number}: {finding.sentence}")
        if finding.cure:
            lines.append(f"  try: {command_line(finding.cure)}")
    return lines


def command_line(cure: str) -> str:
    """What to type in a shell for an override of the current experiment, or for several."""
    return f"python -m stages.compose --keep {shlex.join(split_overrides(cure))} && dvc repro"
