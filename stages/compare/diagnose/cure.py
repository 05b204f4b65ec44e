"""A cure that was tried: its line, and what it did to the outputs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.compare.diagnose.finding import BOXES, FIDELITY, Effect
from stages.compare.diagnose.outcome import Outcome
from stages.core.config.overrides import split_overrides
from stages.core.outputs.output_judge import Level

__all__ = ["Cure", "best_first", "by_task", "effect_of", "helps", "may_help"]

HELPS = 0.9
"""A cure helps if it leaves no more than this part of what was lost."""
MOST_EVALUATED = 512
"""Evaluation samples: with more, a trial goes by boxes or outputs, on a part of them."""
LEAST_LOSS = 0.0004
"""Of the outputs' variance: of less, 2 % of their variation, there is nothing to mend."""


@dataclass(frozen=True)
class Cure:
    """A cure that was tried.

    Attributes:
        override: what to type for `python -m stages.compose --keep`.
        effect: on the outputs, on the samples that the verdict goes by.
        level: of the network with it.
        converter: whether a vendor's converter takes it: none takes a scale a channel of features.
        number: of the trial; the earlier ones cost the network less.
        preparation: what to run before, a command of the project and its arguments; empty for most.
    """

    override: str
    effect: Effect
    level: Level
    converter: bool
    number: int
    preparation: Sequence[str] = ()

    @property
    def helps(self) -> bool:
        """Whether it leaves clearly less of what was lost."""
        return helps(self.effect)

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        effect = self.effect
        return {
            "override": self.override,
            "preparation": f"python -m stages.{' '.join(self.preparation)}" if self.preparation else None,
            "metric": effect.metric,
            "before": effect.before,
            "after": effect.after,
            "level": self.level.value,
            "converter": self.converter,
            "helps": self.helps,
        }


def helps(effect: Effect) -> bool:
    """Whether an effect leaves clearly less of what was lost, if anything was.

    Of an error the squares count, as they add up.
    """
    if effect.is_fidelity:
        lost = 1.0 - effect.before**2
        return lost > LEAST_LOSS and 1.0 - effect.after**2 <= HELPS * lost
    return effect.before < 1.0 and 1.0 - effect.after <= HELPS * (1.0 - effect.before)


def by_task(outcome: Outcome) -> bool:
    """Whether cures are measured by the task's metric: it decides, and a trial may take as long as evaluate does."""
    return outcome.by_task is not None and outcome.task is not None and outcome.task.count <= MOST_EVALUATED


def may_help(outcome: Outcome) -> bool:
    """Whether there is anything that a cure could leave less of."""
    same = effect_of(outcome, outcome)
    return helps(replace(same, after=1.0))


def effect_of(before: Outcome, after: Outcome) -> Effect:
    """The effect of a cure: on the task's metric where that decides, on boxes if there are enough, else on outputs."""
    good, samples = after.level is Level.good, before.samples
    if by_task(before) and before.task is not None and after.task is not None:
        metric = f"{before.task.name}, in parts of the float network's,"
        return Effect(metric, 1.0 - before.task.loss, 1.0 - after.task.loss, good, samples)
    if before.enough_boxes and after.enough_boxes:
        return Effect(BOXES, before.box_agreement, after.box_agreement, good, samples)
    return Effect(FIDELITY, before.fidelity, after.fidelity, good, samples)


def best_first(cures: Iterable[Cure]) -> list[Cure]:
    """Those that help: what a converter takes first, then what helps most; of like effects what was tried first.

    A line that adds overrides to another one's and helps no more is left out.
    """
    helping = [cure for cure in cures if cure.helps]
    found = [cure for cure in helping if not any(_says_no_more(cure, other) for other in helping)]
    return sorted(
        found, key=lambda cure: (not cure.converter, cure.level.severity, -round(cure.effect.after, 2), cure.number)
    )


def _says_no_more(cure: Cure, other: Cure) -> bool:
    """Whether a line has another one's overrides and some more, which help no more."""
    more = set(split_overrides(cure.override)) > set(split_overrides(other.override))
    alike = round(cure.effect.after, 2) <= round(other.effect.after, 2) and cure.level is other.level
    return more and alike and (other.converter or not cure.converter)
