"""The bounds that the command's arguments set, and whether an allocation keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.autotune.allocation.cost_tables import FEATURE_BITS, WEIGHT_BITS
from stages.autotune.allocation.integer_program import RELATIVE_GAP, BitAllocation, Limit, total
from stages.autotune.allocation.problem import AllocationProblem
from stages.autotune.options import COST_UNITS, Budget, MeanBits, plain_amount
from stages.core.base.errors import UserError

__all__ = ["Bound", "check_bounds", "find_bounds", "keeps"]


@dataclass(frozen=True)
class Bound:
    """A limit and how to speak of it.

    Attributes:
        argument: what the user typed.
        unit: of the limit.
        limit: what is bounded.
    """

    argument: str
    unit: str
    limit: Limit


def find_bounds(problem: AllocationProblem, budgets: Sequence[Budget], mean_bits: MeanBits | None) -> list[Bound]:
    """The bounds that the arguments set.

    Raises:
        UserError: for mean bits that bound nothing, or a latency where no times are known for the SOC.
    """
    return [*(_of_budget(problem, budget) for budget in budgets), *(_of_mean_bits(problem, mean_bits))]


def _of_budget(problem: AllocationProblem, budget: Budget) -> Bound:
    if budget.relative:
        shown, unit = f"{budget.amount:g}x", problem.costs.total(budget.cost, problem.uniform(8, 8))
    else:
        shown, unit = plain_amount(budget.amount), 1.0
    limit = Limit(problem.costs.of(budget.cost), budget.amount * unit)
    return Bound(f"--budget {budget.cost}={shown}", COST_UNITS[budget.cost], limit)


def _of_mean_bits(problem: AllocationProblem, mean_bits: MeanBits | None) -> list[Bound]:
    if mean_bits is None:
        return []
    argument = f"--mean-bits {mean_bits.features:g}/{mean_bits.weights:g}"
    widest = max(max(bit_widths) for bit_widths in problem.bit_widths.values())
    if max(mean_bits.features, mean_bits.weights) > widest:
        raise UserError(f"{argument}: that bounds nothing, the widest that may be chosen are {widest} bits")
    most = {FEATURE_BITS: mean_bits.features, WEIGHT_BITS: mean_bits.weights}
    return [Bound(argument, f"mean {cost}", Limit(problem.costs.of(cost), bits)) for cost, bits in most.items()]


def check_bounds(problem: AllocationProblem, bounds: Sequence[Bound], soc: str) -> None:
    """Refuse bounds that no allocation keeps, with the least that one would.

    Raises:
        UserError: naming the bounds.
    """
    for bound in bounds:
        cheapest = problem.solve(bound.limit.tables, [])
        least = total(bound.limit.tables, problem.bit_widths, cheapest or {})
        if least > bound.limit.most * (1 + RELATIVE_GAP):
            raise UserError(
                f"{bound.argument}: that is {plain_amount(bound.limit.most)} {bound.unit}; the least that this network "
                f"can have on the {soc} is {plain_amount(least)}"
            )
    if problem.solve([], [bound.limit for bound in bounds]) is None:
        arguments = " and ".join(dict.fromkeys(bound.argument for bound in bounds))
        raise UserError(f"{arguments}: each can be kept, but not all at once: loosen one")


def keeps(problem: AllocationProblem, allocation: BitAllocation, bounds: Sequence[Bound]) -> bool | None:
    """Whether an allocation keeps the bounds; None if there are none."""
    if not bounds:
        return None
    return all(
        total(bound.limit.tables, problem.bit_widths, allocation) <= bound.limit.most * (1 + RELATIVE_GAP)
        for bound in bounds
    )
