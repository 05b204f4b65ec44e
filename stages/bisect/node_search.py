"""The search for a minimal set of nodes whose staying in float restores the metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.bisect.quickxplain import explain
from stages.bisect.suspects import Suspect
from stages.bisect.trials import LimitError, Trials

__all__ = ["FloatNodes", "search"]


@dataclass(frozen=True)
class FloatNodes:
    """Nodes to keep in float.

    Attributes:
        names: empty if the metric is good without or nothing restores it.
        minimal: whether none can be left out; else, for instance where the limit ended the search, fewer may do.
    """

    names: tuple[str, ...]
    minimal: bool


def search(trials: Trials, suspects: Sequence[Suspect], by_kind: bool) -> FloatNodes:
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
        left = sorted(left, key=lambda suspect: -suspect.weight)  # equal ones stay in graph order
        indices = explain(
            lambda chosen: trials.restores([left[i].name for i in sorted(chosen)]), [each.weight for each in left]
        )
    except LimitError:
        best = trials.best
        return FloatNodes(best.nodes if best.restored else (), minimal=False)
    names = {left[i].name for i in indices}
    if (best := trials.best).restored and len(best.nodes) < len(names):  # nodes in float did harm
        return FloatNodes(best.nodes, minimal=False)
    return FloatNodes(tuple(suspect.name for suspect in suspects if suspect.name in names), minimal=True)


def _of_guilty_kinds(trials: Trials, suspects: Sequence[Suspect]) -> list[Suspect]:
    """The suspects of the types that a minimal set of types has."""
    weights: dict[str, float] = {}
    for suspect in suspects:
        weights[suspect.kind] = weights.get(suspect.kind, 0.0) + suspect.weight
    kinds = sorted(weights, key=lambda kind: -weights[kind])

    def of(chosen: Sequence[str]) -> list[Suspect]:
        return [suspect for suspect in suspects if suspect.kind in chosen]

    def restores(chosen: Sequence[int]) -> bool:
        named = [kinds[i] for i in sorted(chosen)]
        return trials.restores([suspect.name for suspect in of(named)], named)

    return of([kinds[i] for i in explain(restores, [weights[kind] for kind in kinds])])
