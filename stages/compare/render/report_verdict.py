"""The report in one sentence, and its findings in lines for the terminal."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from stages.compare.diagnose.finding import Finding
from stages.compare.gather.comparison import Row
from stages.compare.gather.similarity import POOR, Similarity
from stages.core.statistics.metrics import SQNR_CAP

__all__ = ["FIRST_LOOK", "LOST", "Verdict", "command_line", "finding_lines", "verdict"]

FIRST_LOOK = {
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


@dataclass(frozen=True)
class Verdict:
    """How the network came through.

    Attributes:
        level: `good`, `look` or `broken`.
        sentence: begins with the level in words.
    """

    level: str
    sentence: str


def verdict(similarity: Similarity, findings: Sequence[Finding], worst: Row | None) -> Verdict:
    """Say in one sentence whether it is good, and if not what to look at first.

    Args:
        similarity: the table.
        findings: worst first.
        worst: the row of the worst layer; None where no layer has an error.
    """
    rows, end = similarity.rows, similarity.output
    poor = [row for row in rows if row["cosine_avg"] < POOR]
    output = f"the output ({end['node']}) has cosine {end['cosine_avg']:.4f}"
    if not findings and not poor:
        return Verdict("good", f"Good: {output}, and no node is below {POOR}.")
    verb = "is" if len(poor) == 1 else "are"
    share = f"{len(poor)} of {len(rows)} nodes {verb} below {POOR}" if poor else f"no node is below {POOR}"
    level, word = ("broken", "Broken") if end["cosine_avg"] < LOST else ("look", "Look here")
    if findings:
        reason = f"look first at {FIRST_LOOK[findings[0].kind].format(node=findings[0].node)} (finding 1)"
    elif worst is not None and worst.get("isolated_sqnr", SQNR_CAP) < SQNR_CAP:
        reason = f"the layer that errs most by itself is {worst['node']} ({worst['isolated_sqnr']:.1f} dB alone)"
    else:
        row = worst or min(poor, key=lambda row: row["cosine_avg"])
        reason = f"the worst is {row['node']} ({row['cosine_avg']:.4f})"
    return Verdict(level, f"{word}: {output}, {share}; {reason}.")


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for the terminal, worst first: what is wrong, and the line to type."""
    lines = []
    for number, finding in enumerate(findings, 1):
        lines.append(f"finding {number}: {finding.sentence}")
        if finding.cure:
            lines.append(f"  try: {command_line(finding.cure)}")
    return lines


def command_line(cure: str) -> str:
    """What to type in a shell for an override of the current experiment."""
    return f"python -m stages.compose --keep {shlex.quote(cure)} && dvc repro"
