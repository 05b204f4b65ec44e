"""What a finding is, and how findings are put in order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.core.outputs.output_judge import GOOD_FIDELITY

__all__ = ["BOXES", "FIDELITY", "KINDS", "REMARKS", "Effect", "Finding", "fidelity_of_output", "to_json", "worst_first"]

KINDS = (
    "not_finite", "unquantized", "parts", "few_codes", "input", "calibration", "range", "bit_width",
    "channel_imbalance", "first_layer", "falls", "accumulates", "boxes", "scores", "debug",
)  # fmt: skip
"""Worst first: what is not finite spoils all that follows, a lost part of an output is lost on any input, a wrong
input makes all that follows look wrong, ranges come before what bit widths can do, and causes before the boxes that are
lost by them."""

REMARKS = ("debug",)
"""Kinds that say nothing against the network."""
BOXES, FIDELITY = "F1 of the boxes", "fidelity of the outputs"
"""What a trial's effect is measured in: boxes that both networks find in parts of all, or the worst output's
fidelity."""


@dataclass(frozen=True)
class Effect:
    """What a cure was measured to do.

    Attributes:
        metric: what was measured.
        before: as it is.
        after: with the cure.
        good: whether the network is good with it, by the verdict.
        samples: says which ones it was measured on.
    """

    metric: str
    before: float
    after: float
    good: bool = field(default=False, compare=False)
    samples: str = field(default="", compare=False)

    @property
    def is_fidelity(self) -> bool:
        """Whether it is measured on the scale of a cosine."""
        return self.metric.startswith("fidelity of ")

    def words(self) -> str:
        """Say what it does and on which samples, as the terminal and the page print it."""
        where = f" on {self.samples}" if self.samples else ""
        words = f"{self.metric} {self.before:.4g} -> {self.after:.4g}{where}"
        if not self.is_fidelity or self.after >= GOOD_FIDELITY:
            return words
        return f"{words}, which is good: the answers stay" if self.good else f"{words}, still below {GOOD_FIDELITY:g}"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: one of `KINDS`, or of an information.
        node: the node that it is about, None for the whole network.
        sentence: for people.
        evidence: the numbers behind it.
        cure: override to type for `python -m stages.compose`, None where there is none.
        effect: of the cure, where trying it was cheap.
    """

    kind: str
    node: str | None
    sentence: str
    evidence: Mapping[str, float | str]
    cure: str | None = None
    effect: Effect | None = None


def fidelity_of_output(output: str) -> str:
    """What the effect of a cure of one output is measured in."""
    return f"fidelity of {output}"


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings worst first: by kind; those of a kind in the order given."""
    return sorted(findings, key=lambda finding: KINDS.index(finding.kind))


def to_json(finding: Finding) -> dict[str, Any]:
    """Plain form for JSON."""
    effect = finding.effect
    return {
        "kind": finding.kind,
        "node": finding.node,
        "sentence": finding.sentence,
        "evidence": dict(finding.evidence),
        "cure": finding.cure,
        "effect": {"metric": effect.metric, "before": effect.before, "after": effect.after} if effect else None,
    }
