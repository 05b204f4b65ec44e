"""The cheapest allocation that keeps a target: bisection on the bound of the predicted error, each step measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stages.autotune.allocation.constraints import ERROR_SLACKS, Constraints
from stages.autotune.allocation.integer_program import BitAllocation, Limit, Table, total
from stages.autotune.allocation.predicted_error import PredictedError
from stages.autotune.options import ERROR, Target
from stages.search.candidate_metric import COSINE, FIDELITY

__all__ = ["TargetStep", "cheapest_that_keeps"]

CLOSE_BOUNDS_RATIO = 1.05
"""Ratio of error bounds at which the search ends."""


@dataclass(frozen=True)
class TargetStep:
    """A step of the search.

    Attributes:
        allocation: what was tried.
        predicted: its error by the sum of its parts.
        cost: what is to be least.
        value: the metric, measured.
        met: whether that keeps the target.
    """

    allocation: BitAllocation
    predicted: float
    cost: float
    value: float
    met: bool


def cheapest_that_keeps(
    target: Target,
    predicted_error: PredictedError,
    cost: Sequence[Table],
    constraints: Constraints,
    measure: Callable[[BitAllocation], float],
) -> list[TargetStep]:
    """Find the allocation of least cost that keeps a target, by bisection on the bound of the predicted error.

    The prediction only orders the allocations; what counts is what each measures.

    Args:
        target: what is to be kept.
        predicted_error: the error by the sum of its parts.
        cost: what is to be least.
        constraints: what else is bounded, and what is spared where it brings little.
        measure: the metric's true value of an allocation.

    Returns:
        All that was tried. First come the most precise within the limits, and what is predicted to be nearly so: if all
        these miss the target, nothing else is tried. Empty if nothing is within the limits.
    """
    search = _TargetSearch(target, predicted_error, cost, constraints, measure)
    search.run()
    return search.steps


class _TargetSearch:
    def __init__(
        self,
        target: Target,
        predicted_error: PredictedError,
        cost: Sequence[Table],
        constraints: Constraints,
        measure: Callable[[BitAllocation], float],
    ) -> None:
        self._target, self._predicted_error, self._cost = target, predicted_error, cost
        self._constraints, self._measure = constraints, measure
        self.steps: list[TargetStep] = []

    def run(self) -> None:
        most_precise = (
            self._constraints.most_precise(self._predicted_error.tables, slack)
            for slack in (0.0, *reversed(ERROR_SLACKS))
        )
        if not any(self._attempt(allocation) for allocation in most_precise if allocation is not None):
            return
        met, coarsest = self.steps[-1].predicted, self._cheapest(self._constraints)
        if coarsest is None or self._attempt(coarsest):
            return
        missed = self.steps[-1].predicted
        self._bisect(max(met, missed * 1e-9), missed)

    def _bisect(self, met: float, missed: float) -> None:
        """Narrow down between a predicted error that kept the target and one that missed it."""
        guess = _guess(self._target)
        while missed / met > CLOSE_BOUNDS_RATIO:
            middle = guess if met < guess < missed else math.sqrt(met * missed)
            allocation = self._cheapest(self._constraints.within(Limit(self._predicted_error.tables, middle)))
            if allocation is None:  # the solver's tolerance at the very end
                break
            if self._attempt(allocation):
                met = middle
            else:
                missed = middle
            guess = 0.0

    def _attempt(self, allocation: BitAllocation) -> bool:
        """Measure an allocation unless that was done; gives whether it keeps the target."""
        step = next((step for step in self.steps if step.allocation == allocation), None)
        if step is None:
            value, predicted = self._measure(allocation), self._predicted_error.of(allocation)
            cost = total(self._cost, self._constraints.problem.bit_widths, allocation)
            step = TargetStep(allocation, predicted, cost, value, self._target.met(value))
            self.steps.append(step)
        return step.met

    def _cheapest(self, constraints: Constraints) -> dict[str, int] | None:
        """The allocation of least cost, and of those that have it the most precise one."""
        allocation = constraints.cheapest(self._cost)
        if allocation is None:
            return None
        least = Limit(self._cost, total(self._cost, constraints.problem.bit_widths, allocation))
        return constraints.within(least).most_precise(self._predicted_error.tables, ERROR_SLACKS[0]) or allocation


def _guess(target: Target) -> float:
    """An error that may go with a target: of unit vectors the squared distance is 2 (1 - cosine)."""
    bounds = {ERROR: target.bound, FIDELITY: 1.0 - target.bound**2, COSINE: 2.0 * (1.0 - target.bound)}
    return bounds.get(target.metric, 0.0)
