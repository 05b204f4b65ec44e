"""The curve of error against cost, and uniform widths to compare it with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.autotune.problem import FEATURE_BITS, WEIGHT_BITS, Problem
from stages.autotune.sensitivity import Sensitivities, error_tables
from stages.autotune.solve import Allotment, Limit, solve, value
from stages.core.config.schema import FLOAT_BITS

__all__ = ["BITS", "Point", "curve", "spent", "uniform_widths"]

BITS = "bits"
"""The cost that counts bits: the mean width of features and that of weights, halved and added."""


@dataclass(frozen=True)
class Point:
    """An allotment of least predicted error for its cost."""

    cost: float
    predicted: float
    allotment: Allotment


def spent(problem: Problem, kind: str, allotment: Allotment) -> float:
    """What an allotment costs, in the kind's unit."""
    if kind != BITS:
        return value(problem.tables(kind), problem.bit_widths, allotment)
    return (spent(problem, FEATURE_BITS, allotment) + spent(problem, WEIGHT_BITS, allotment)) / 2


def curve(problem: Problem, found: Sensitivities, kind: str, count: int) -> list[Point]:
    """Find allotments of least predicted error for costs from the least possible to the dearest.

    Args:
        problem: the variables.
        found: their errors, each alone.
        kind: of cost; with `BITS` the mean width of features and that of weights have the same bound.
        count: of bounds that are tried; equal allotments are one point.

    Returns:
        Points by rising cost and falling error.
    """
    errors, bit_widths = error_tables(found, problem, {}), problem.bit_widths
    kinds = (FEATURE_BITS, WEIGHT_BITS) if kind == BITS else (kind,)
    sums = [problem.tables(each) for each in kinds]
    low = max(value(tables, bit_widths, solve(bit_widths, tables, []) or {}) for tables in sums)
    high = max(value(tables, bit_widths, _widest(problem)) for tables in sums)
    points: list[Point] = []
    for share in np.linspace(0.0, 1.0, count):
        # costs that span decades are spread by ratio, widths evenly
        bound = low + (high - low) * share if kind == BITS or low <= 0 else low * (high / low) ** share
        allotment = solve(bit_widths, errors, [Limit(tables, float(bound)) for tables in sums])
        if allotment is not None:
            points.append(Point(spent(problem, kind, allotment), value(errors, bit_widths, allotment), allotment))
    return _front(points)


def uniform_widths(problem: Problem) -> list[tuple[int, int]]:
    """Pairs of feature and weight widths to compare with: equal ones or nearly, and 8-bit features."""
    sides = [
        sorted(
            {width for entry in problem.variables if entry.kind == kind for width in entry.bit_widths} - {FLOAT_BITS}
        )
        for kind in ("feature", "weight")
    ]
    features, weights = (side or [FLOAT_BITS] for side in sides)
    pairs = {(next((f for f in features if f >= w), features[-1]), w) for w in weights}
    pairs |= {(8, w) for w in weights if 8 in features}
    pairs |= {(f, weights[-1]) for f in features if f >= weights[-1] or len(weights) == 1}
    known: dict[tuple[int, ...], tuple[int, int]] = {}
    for pair in sorted(pairs):
        known.setdefault(tuple(problem.uniform(*pair).values()), pair)
    return list(known.values())


def _widest(problem: Problem) -> dict[str, int]:
    return {entry.name: entry.bit_widths[-1] for entry in problem.variables}


def _front(points: Sequence[Point]) -> list[Point]:
    """Leave out what another point beats or equals."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.predicted)):
        if not front or point.predicted < front[-1].predicted:
            front.append(point)
    return front
