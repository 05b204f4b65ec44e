"""The curve of error against cost, and uniform bit widths to compare it with."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from stages.autotune.allocation.cost_tables import FEATURE_BITS, MEAN_BITS, WEIGHT_BITS
from stages.autotune.allocation.integer_program import BitAllocation, Limit, total
from stages.autotune.allocation.predicted_error import PredictedError
from stages.autotune.allocation.problem import AllocationProblem
from stages.autotune.allocation.variables import FEATURE, WEIGHT
from stages.core.config.schema import FLOAT_BITS

__all__ = ["Point", "curve", "uniform_bit_widths"]


@dataclass(frozen=True)
class Point:
    """An allocation of least predicted error for its cost.

    Attributes:
        cost: in the curve's unit.
        predicted: its error.
        in_float: how many convolutions and fully connected layers stay in float.
        allocation: the bit widths.
    """

    cost: float
    predicted: float
    in_float: int
    allocation: BitAllocation


def curve(predicted_error: PredictedError, cost: str, count: int) -> list[Point]:
    """Find allocations of least predicted error for costs from the least possible to the dearest.

    Args:
        predicted_error: what is to be least.
        cost: on the other axis; with `MEAN_BITS` the mean bits of features and those of weights have the same bound.
        count: of bounds that are tried; equal allocations are one point.

    Returns:
        Points by rising cost and falling error.
    """
    problem = predicted_error.problem
    sums = [problem.costs.of(each) for each in ((FEATURE_BITS, WEIGHT_BITS) if cost == MEAN_BITS else (cost,))]
    widest = {variable.name: variable.bit_widths[-1] for variable in problem.variables}
    low = max(total(tables, problem.bit_widths, problem.solve(tables, []) or {}) for tables in sums)
    high = max(total(tables, problem.bit_widths, widest) for tables in sums)
    allocations: list[BitAllocation] = []
    for share in np.linspace(0.0, 1.0, count):
        # bounds on costs that span decades lie at equal ratios, those on mean bits at equal distances
        bound = low + (high - low) * share if cost == MEAN_BITS or low <= 0 else low * (high / low) ** share
        limits = [Limit(tables, float(bound)) for tables in sums]
        allocation = problem.solve(predicted_error.tables, limits)
        if allocation is not None:
            allocations.append(allocation)
    front = _front([(problem.costs.total(cost, each), predicted_error.of(each), each) for each in allocations])
    return [Point(spent, error, len(problem.layers_in_float(each)), each) for spent, error, each in front]


def uniform_bit_widths(problem: AllocationProblem) -> list[tuple[int, int]]:
    """Pairs of feature and weight bits to compare with: equal ones or nearly, and 8-bit features."""
    features, weights = (problem.integer_bit_widths(kind) or [FLOAT_BITS] for kind in (FEATURE, WEIGHT))
    pairs = {(next((f for f in features if f >= w), features[-1]), w) for w in weights}
    pairs |= {(8, w) for w in weights if 8 in features}
    pairs |= {(f, weights[-1]) for f in features if f >= weights[-1] or len(weights) == 1}
    different: dict[tuple[int, ...], tuple[int, int]] = {}
    for pair in sorted(pairs):
        different.setdefault(tuple(problem.uniform(*pair).values()), pair)
    return list(different.values())


def _front(points: Sequence[tuple[float, float, BitAllocation]]) -> list[tuple[float, float, BitAllocation]]:
    """Leave out what another point beats or equals: cost, predicted error, allocation."""
    front: list[tuple[float, float, BitAllocation]] = []
    for point in sorted(points, key=itemgetter(0, 1)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front
