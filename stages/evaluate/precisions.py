"""The mean average precision of one kind of shape, of both networks: against labels, and the agreement."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from stages.core.base.console import warn
from stages.core.data.objects import Objects
from stages.core.statistics.average_precision import Evaluated, spread
from stages.evaluate.scores import AGREEMENT, MAP
from stages.evaluate.shapes import Seen, ShapeKind

__all__ = ["SIDES", "Precisions"]

SIDES = ("float", "quantized")
SIZES = ("small", "medium", "large")


class Precisions:
    """Takes in pictures one by one; matches them when all are in.

    Args:
        kind: of shape.
    """

    def __init__(self, kind: ShapeKind) -> None:
        self._kind = kind
        self._truth: list[Objects] = []
        self._found: dict[str, list[Any]] = {side: [] for side in SIDES}
        self._shown: list[Objects] = []
        self._agreeing: list[Any] = []
        self._against_labels: dict[str, Evaluated] = {}

    @property
    def prefix(self) -> str:
        """Of the metrics' names."""
        return self._kind.prefix

    def add(self, shown: Seen, seen: Sequence[Seen], truth: Objects | None) -> None:
        """Take in one picture.

        Args:
            shown: what the float network shows.
            seen: all that the float network and the quantized one find.
            truth: the labelled objects; None: there are no labels.
        """
        self._shown.append(self._kind.shown(shown))
        self._agreeing.append(self._kind.agreeing(seen[-1]))
        if truth is not None:
            self._truth.append(truth)
            for side, of_side in zip(SIDES, seen, strict=True):
                self._found[side].append(self._kind.found(of_side))

    @cached_property
    def labelled(self) -> bool:
        """Whether there are labels that serve as the truth; a warning says why given ones do not."""
        lacking = self._kind.lacking(self._truth) if self._truth else None
        if lacking:
            warn(f"data.evaluation.labels: {lacking}")
        return bool(self._truth) and not lacking

    @cached_property
    def agreement(self) -> Evaluated:
        """The quantized network's against what the float network shows."""
        return self._kind.evaluate_agreement(self._shown, self._agreeing)

    def against_labels(self, side: str) -> Evaluated:
        """A network's against the labels, which must be there."""
        if side not in self._against_labels:
            self._against_labels[side] = self._kind.evaluate(self._truth, self._found[side])
        return self._against_labels[side]

    def label_metrics(self) -> dict[str, dict[str, float]]:
        """Precisions of each side, and their difference with its 95 % interval; nothing without labels."""
        if not self.labelled:
            return {}
        metrics = {side: self._summary(self.against_labels(side)) for side in SIDES}
        name = f"{self.prefix}{MAP}"
        values = [metrics[side].get(name) for side in SIDES]
        if values[0] is not None and values[1] is not None:
            metrics["difference"] = {name: values[1] - values[0]} | self._ends(name, self.interval(MAP))
        return metrics

    def agreement_metrics(self) -> dict[str, float]:
        """At an overlap of .5 with its 95 % interval, and averaged over .5 to .95."""
        name, evaluated = f"{self.prefix}{AGREEMENT}", self.agreement
        values = {name: evaluated.mean(at_half=True), f"{name}_map": evaluated.mean()}
        return _known(values) | self._ends(name, spread(len(self._shown), evaluated, at_half=True))

    def value(self, metric: str) -> float | None:
        """MAP or AGREEMENT of the quantized network; None if the pictures do not give it."""
        if metric == MAP:
            return self.against_labels("quantized").mean() if self.labelled else None
        return self.agreement.mean(at_half=True)

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of MAP or AGREEMENT less the float network's, by drawing the pictures anew."""
        count = len(self._shown)
        if metric == MAP:
            return spread(count, *map(self.against_labels, reversed(SIDES))) if self.labelled else None
        ends = spread(count, self.agreement, at_half=True)
        return None if ends is None else (ends[0] - 1.0, ends[1] - 1.0)

    def of_class(self, number: int) -> list[float | None]:
        """Both networks' mAP50-95 of a labelled class."""
        return [self.against_labels(side).of_class(number) for side in SIDES]

    def _summary(self, evaluated: Evaluated) -> dict[str, float]:
        name = f"{self.prefix}{MAP}"
        values = {name: evaluated.mean(), f"{name}50": evaluated.mean(at_half=True)}
        return _known(values | {f"{name}_{size}": evaluated.mean(size) for size in SIZES})

    def _ends(self, name: str, ends: tuple[float, float] | None) -> dict[str, float]:
        return {} if ends is None else {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _known(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
