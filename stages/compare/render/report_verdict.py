"""The report in one sentence, and its findings in lines for the terminal."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from stages.compare.diagnose.cure import Cure
from stages.compare.diagnose.finding import REMARKS, Finding
from stages.compare.diagnose.outcome import Outcome
from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import POOR, Similarity
from stages.core.config.overrides import split_overrides
from stages.core.outputs.output_judge import Level
from stages.core.statistics.metrics import SQNR_CAP

__all__ = [
    "FIRST_LOOK",
    "Verdict",
    "command_line",
    "cure_command",
    "cure_lines",
    "cure_remark",
    "finding_lines",
    "verdict",
]

FIRST_LOOK = {
    "not_finite": "{node}, which is infinite or not a number",
    "unquantized": "why nothing is quantized",
    "boxes": "the boxes that differ",
    "scores": "the scores, which have few values",
    "parts": "what {node} joins",
    "few_codes": "the range of {node}",
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
FED_WRONGLY = ("input", "unquantized")
"""Findings that no comparison of the two networks can see."""
DEADLY = ("parts", "few_codes", "scores")
"""Findings by which an output can be of no use, whatever else it holds."""


@dataclass(frozen=True)
class Verdict:
    """How the network came through.

    Attributes:
        level: `good`, `look`, `broken` or `unjudged`, see `Level`.
        sentence: begins with the level in words.
    """

    level: str
    sentence: str


def verdict(similarity: Similarity, outcome: Outcome, findings: Sequence[Finding], worst: Row | None) -> Verdict:
    """Say in one sentence whether it is good, and if not what to look at first.

    Args:
        similarity: the table.
        outcome: how the outputs came through, which decides.
        findings: worst first.
        worst: the row of the worst layer; None where no layer has an error.
    """
    rows, end = similarity.rows, similarity.output
    poor = [row for row in rows if row["cosine_avg"] < POOR]
    cosine = f"cosine {end['cosine_avg']:.4f} on the debug {outcome.noun}s"
    output = f"{outcome.words()}; {cosine}" if outcome.outputs else f"the output ({end['node']}) has {cosine}"
    level = outcome.level
    if any(map(_is_deadly, findings)):
        level = Level.broken
    elif level in (Level.good, Level.unjudged) and any(_counts(finding, outcome) for finding in findings):
        level = Level.look
    if level is Level.good:
        return Verdict(level.value, f"Good: {output}.")
    if level is Level.unjudged:
        key = "data.evaluation" if outcome.by_evaluation else "data.debug"
        advice = f"take {outcome.noun}s that show what the network is for ({key})"
        return Verdict(level.value, f"Cannot tell: {output}; {advice}.")
    word = "Broken" if level is Level.broken else "Look here"
    return Verdict(level.value, f"{word}: {output}; {_reason(findings, worst, poor)}.")


def _counts(finding: Finding, outcome: Outcome) -> bool:
    """Whether a finding speaks against a network whose outputs are good: an input, where both networks suffer alike.

    Where evaluate found nothing lost on the task, other findings may still be worth mending; so where the outputs are
    good on the evaluation samples it is no matter what calibration has not seen of the debug samples.
    """
    if outcome.by_task is Level.good:
        return finding.kind in FED_WRONGLY
    return finding.kind not in (*REMARKS, *(("calibration",) if outcome.by_evaluation else ()))


def _is_deadly(finding: Finding) -> bool:
    """Whether a finding alone makes a network broken: of parts those of an output."""
    return "output" in finding.evidence if finding.kind == "parts" else finding.kind in DEADLY


def _reason(findings: Sequence[Finding], worst: Row | None, poor: Sequence[Row]) -> str:
    if findings:
        return f"look first at {FIRST_LOOK[findings[0].kind].format(node=findings[0].node)} (finding 1)"
    if worst is not None and worst.get("isolated_sqnr", SQNR_CAP) < SQNR_CAP:
        return f"the layer that errs most by itself is {worst['node']} ({worst['isolated_sqnr']:.1f} dB alone)"
    row = worst or min(poor, key=lambda row: row["cosine_avg"], default=None)
    return f"the worst is {row['node']} ({row['cosine_avg']:.4f})" if row else "no layer errs by itself"


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for the terminal, worst first: what is wrong, and the line to type with what it was measured to do."""
    lines, said = [], dict[str, int]()
    for number, finding in enumerate(findings, 1):
        lines.append(f"finding {number}: {finding.sentence}")
        if finding.cure in said:
            lines.append(f"  try: the line of finding {said[finding.cure]}")
        elif finding.cure:
            said[finding.cure] = number
            lines.append(f"  try: {command_line(finding.cure)}")  # ends with the command, so that it can be copied
            lines += [f"       {finding.effect.words()}"] if finding.effect else []
    return lines


def cure_lines(cures: Sequence[Cure]) -> list[str]:
    """Cures for the terminal, best first."""
    return [
        f"cure {number}, {cure.effect.words()}{cure_remark(cure)}: {cure_command(cure)}"
        for number, cure in enumerate(cures, 1)
    ]


def cure_command(cure: Cure) -> str:
    """What to type in a shell for a cure."""
    before = f"python -m stages.{shlex.join(cure.preparation)} && " if cure.preparation else ""
    return before + command_line(cure.override)


def cure_remark(cure: Cure) -> str:
    """What else is to be known of a cure."""
    return "" if cure.converter else " (on the PC only: no converter takes a scale a channel of features)"


def command_line(cure: str) -> str:
    """What to type in a shell for an override of the current experiment, or for several."""
    return f"python -m stages.compose --keep {shlex.join(split_overrides(cure))} && dvc repro"
