"""What compare says, and whether the task measure agrees."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.strangers.project import run_stage
from benchmarks.strangers.stranger import LEVELS, NOT_QUANTIZED
from stages.compare.diagnose.finding import BOXES
from stages.core.base.artifacts import read_json
from stages.core.base.errors import UserError
from stages.core.base.paths import DIAGNOSIS

__all__ = ["Cure", "Said", "agreement", "compare", "measured_again"]

PRINTED = {"Good": "good", "Look here": "look", "Broken": "broken"}
"""How a verdict begins in print -> its level."""
MEANS = {"good": "good", "look": "degraded", "broken": "dead"}
"""Level of the verdict -> level of the task measure."""


@dataclass(frozen=True)
class Cure:
    """An override that compare gives.

    Attributes:
        override: for `python -m stages.compose --keep`.
        metric: what its effect was measured by; None where it was not.
        before: the metric as it is.
        after: the metric with the override.
        preparation: the command of the project that is run before, and its arguments.
    """

    override: str
    metric: str | None = None
    before: float | None = None
    after: float | None = None
    preparation: Sequence[str] = ()


@dataclass(frozen=True)
class Said:
    """What compare says of an experiment.

    Attributes:
        level: `good`, `look`, `broken` or `unjudged`.
        sentence: the verdict.
        kinds: of the findings, worst first.
        cures: best first.
    """

    level: str
    sentence: str
    kinds: Sequence[str]
    cures: Sequence[Cure]


def compare() -> Said:
    """Run evaluate and compare in the current folder.

    Raises:
        UserError: if one fails, or prints no verdict.
    """
    run_stage("evaluate")
    printed = run_stage("compare")
    diagnosis = read_json(DIAGNOSIS)
    verdict = diagnosis.get("verdict") or _printed(printed)
    kinds = [finding["kind"] for finding in diagnosis["findings"]]
    return Said(verdict["level"], verdict["sentence"], kinds, _cures(diagnosis))


def _printed(text: str) -> dict[str, str]:
    """The verdict among the lines that compare prints."""
    for beginning, level in PRINTED.items():
        if match := re.search(rf"^{beginning}: .*$", text, re.MULTILINE):
            return {"level": level, "sentence": match[0]}
    raise UserError("compare prints no verdict")


def _cures(diagnosis: Mapping[str, Any]) -> list[Cure]:
    """The measured cures, best first; without such a list those of the findings."""
    if "cures" in diagnosis:
        return [_cure(cure) for cure in diagnosis["cures"]]
    cures = []
    for finding in diagnosis["findings"]:
        if finding["cure"]:
            effect = finding["effect"] or {}
            cures.append(_cure({"override": finding["cure"], **dict.fromkeys(("metric", "before", "after")), **effect}))
    return cures


def _cure(given: Mapping[str, Any]) -> Cure:
    """A measured cure; its preparation is `python -m stages.NAME ...`."""
    words = shlex.split((given.get("preparation") or "").partition("stages.")[2])
    return Cure(given["override"], given["metric"], given["before"], given["after"], tuple(words))


def measured_again(cure: Cure) -> float:
    """What a cure was measured by, of the experiment in the current folder, which has the cure: without any trial.

    Raises:
        UserError: if a stage fails.
    """
    run_stage("compose", "--keep", "compare.cures=0")
    run_stage("evaluate")
    run_stage("compare")
    diagnosis = read_json(DIAGNOSIS)
    return float(diagnosis["box_agreement" if cure.metric == BOXES else "fidelity"])


def agreement(said: str, truths: Sequence[str]) -> float | None:
    """How far a verdict and the task measure agree.

    Args:
        said: level of the verdict.
        truths: levels of the task measure that its spread reaches, or that nothing was quantized.

    Returns:
        By the level that is nearest: 1 for good and good, look and degraded, broken and dead; 0.5 for one step off; 0
        for two: "good" of a dead network, "broken" of a good one. None where compare says that it cannot judge. Of a
        network of which nothing was quantized "unjudged" is 1, "good" 0, all else 0.5.
    """
    if NOT_QUANTIZED in truths:
        return {"unjudged": 1.0, "good": 0.0}.get(said, 0.5)
    if said not in MEANS:
        return None
    return 1 - min(abs(LEVELS.index(MEANS[said]) - LEVELS.index(truth)) for truth in truths) / 2
