"""The search for a minimal set of nodes whose staying in float restores the metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from stages.bisect.suspects import Suspect

__all__ = ["Found", "Trial", "Trials", "explain", "search"]


@dataclass(frozen=True)
class Trial:
    """One simulation.

    Attributes:
        nodes: what stayed in float, beside what the settings keep so anyway.
        kinds: the operator types whose nodes these all are; empty where single nodes were chosen.
        value: the metric.
        restored: whether it is good enough.
    """

    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    value: float
    restored: bool


class LimitError(Exception):
    """As many simulations as are allowed were run."""


@dataclass
class Trials:
    """Asks for the metric of skip lists, each at most once.

    It takes nodes in float to do no harm: what contains a set that restores the metric restores it, and what is part of
    one that does not, does not. Such questions cost no simulation.

    Attributes:
        measure: nodes to keep in float -> the metric; greater is better.
        below: the metric is restored where it is not below this.
        everything: nodes that are known to restore it together.
        limit: how many simulations may run; None for any number.
        done: the simulations, in order.
    """

    measure: Callable[[Sequence[str]], float]
    below: float
    everything: Sequence[str] = ()
    limit: int | None = None
    done: list[Trial] = field(default_factory=list)

    def restores(self, nodes: Sequence[str], kinds: Sequence[str] = ()) -> bool:
        """Say whether keeping these nodes in float restores the metric.

        Raises:
            LimitError: if that takes a simulation more than are allowed.
        """
        asked = frozenset(nodes)
        if self.everything and asked.issuperset(self.everything):
            return True
        for trial in self.done:
            if trial.restored and asked.issuperset(trial.nodes):
                return True
            if not trial.restored and asked.issubset(trial.nodes):
                return False
        if self.limit is not None and len(self.done) >= self.limit:
            raise LimitError
        value = self.measure(nodes)
        self.done.append(Trial(tuple(nodes), tuple(kinds), value, value >= self.below))
        return self.done[-1].restored

    @property
    def best(self) -> Trial:
        """The simulation with the fewest nodes in float that restores the metric; if none does, that of the best."""
        good = [trial for trial in self.done if trial.restored]
        if good:
            return min(good, key=lambda trial: (len(trial.nodes), -trial.value))
        return max(self.done, key=lambda trial: trial.value)


@dataclass(frozen=True)
class Found:
    """What the search ended with.

    Attributes:
        nodes: to keep in float; empty if the metric is good without or nothing restores it.
        complete: whether none can be left out; else, for instance where the limit ended the search, fewer may do.
    """

    nodes: tuple[str, ...]
    complete: bool


def search(trials: Trials, suspects: Sequence[Suspect], by_kind: bool) -> Found:
    """Find a set of nodes that restores the metric and of which none can be left out.

    First among operator types, then among the nodes of those types. All suspects together must restore the metric,
    none at all must not.

    Args:
        trials: asks for the metric.
        suspects: nodes that may stay in float, each with its weight.
        by_kind: search among types first.
    """
    left = list(suspects)
    try:
        if by_kind:
            left = _of_guilty_kinds(trials, left)
        left = sorted(left, key=lambda entry: -entry.weight)  # equal ones stay in graph order
        indices = explain(
            lambda chosen: trials.restores([left[i].name for i in sorted(chosen)]), [entry.weight for entry in left]
        )
    except LimitError:
        best = trials.best
        return Found(best.nodes if best.restored else (), complete=False)
    names = {left[i].name for i in indices}
    if (best := trials.best).restored and len(best.nodes) < len(names):  # nodes in float did harm
        return Found(best.nodes, complete=False)
    return Found(tuple(entry.name for entry in suspects if entry.name in names), complete=True)


def _of_guilty_kinds(trials: Trials, suspects: Sequence[Suspect]) -> list[Suspect]:
    """The suspects of the types that a minimal set of types has."""
    weights: dict[str, float] = {}
    for entry in suspects:
        weights[entry.kind] = weights.get(entry.kind, 0.0) + entry.weight
    kinds = sorted(weights, key=lambda kind: -weights[kind])

    def of(chosen: Sequence[str]) -> list[Suspect]:
        return [entry for entry in suspects if entry.kind in chosen]

    def restores(chosen: Sequence[int]) -> bool:
        named = [kinds[i] for i in sorted(chosen)]
        return trials.restores([entry.name for entry in of(named)], named)

    return of([kinds[i] for i in explain(restores, [weights[kind] for kind in kinds])])


def explain(restores: Callable[[Sequence[int]], bool], weights: Sequence[float]) -> list[int]:
    """Find a minimal subset that restores; of several one whose members come early.

    Source: QuickXplain (U. Junker, "QUICKXPLAIN: Preferred Explanations and Relaxations for Over-Constrained
    Problems", AAAI 2004). Parts are cut where their weight halves, as a Shannon-Fano code cuts them, so that a single
    culprit of weight w costs about log2(sum / w) questions. Whenever a member is found, those found so far are tried
    alone: where they do, nothing else needs to be asked.

    Args:
        restores: whether some indices restore; all together must. Asked for one set again, it answers the same.
        weights: of each index, positive, greatest first.

    Returns:
        Indices, in the order in which they were found.
    """
    found: list[int] = []

    def enough(assumed: Sequence[int]) -> bool:
        return restores(found) or bool(assumed and restores([*found, *assumed]))

    def visit(assumed: Sequence[int], grown: bool, part: Sequence[int]) -> None:
        """Add to `found` what of `part` is needed beside it and `assumed`; with all of `part` these restore."""
        if grown and enough(assumed):
            return
        if len(part) == 1:
            found.append(part[0])
            return
        cut = _half([weights[i] for i in part])
        front, back, before = part[:cut], part[cut:], len(found)
        visit([*assumed, *front], True, back)
        visit(assumed, len(found) > before, front)

    while not restores(found):  # once; again only where nodes in float did harm, and an answer was presumed in vain
        rest = [i for i in range(len(weights)) if i not in found]
        if not rest:
            break
        visit([], False, rest)
    return found


def _half(weights: Sequence[float]) -> int:
    """Where to cut a list of at least two so that both sides weigh as much as can be."""
    sums = list(accumulate(weights))
    return min(range(1, len(weights)), key=lambda cut: abs(2 * sums[cut - 1] - sums[-1]))
