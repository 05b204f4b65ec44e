"""QuickXplain: a minimal subset that restores what was lost."""

from collections.abc import Callable, Sequence
from itertools import accumulate

__all__ = ["explain"]


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
    members: list[int] = []

    def enough(assumed: Sequence[int]) -> bool:
        return restores(members) or bool(assumed and restores([*members, *assumed]))

    def visit(assumed: Sequence[int], grown: bool, part: Sequence[int]) -> None:
        """Add to `members` what of `part` is needed beside it and `assumed`; with all of `part` these restore."""
        if grown and enough(assumed):
            return
        if len(part) == 1:
            members.append(part[0])
            return
        cut = _half([weights[i] for i in part])
        front, back, before = part[:cut], part[cut:], len(members)
        visit([*assumed, *front], True, back)
        visit(assumed, len(members) > before, front)

    while not restores(members):  # once; again only where nodes in float did harm, and an answer was presumed in vain
        rest = [i for i in range(len(weights)) if i not in members]
        if not rest:
            break
        visit([], False, rest)
    return members


def _half(weights: Sequence[float]) -> int:
    """Where to cut a list of at least two so that both sides weigh as much as can be."""
    sums = list(accumulate(weights))
    return min(range(1, len(weights)), key=lambda cut: abs(2 * sums[cut - 1] - sums[-1]))
