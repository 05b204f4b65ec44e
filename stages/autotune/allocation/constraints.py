"""What an allocation keeps within, and what it spares where that loses little."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.autotune.allocation.integer_program import Limit, Table, total
from stages.autotune.allocation.problem import AllocationProblem

__all__ = ["ERROR_SLACKS", "Constraints"]

ERROR_SLACKS = (0.05, 0.02, 0.01)
"""Shares of the least error that may go for a lower cost, so that bounds which leave a bit width free do not make it
wide. The first is the most that may really go; the prediction is no more precise than that, so smaller ones are tried
too."""


@dataclass(frozen=True)
class Constraints:
    """What bounds an allocation.

    Attributes:
        problem: the variables, and the rules that hold for every allocation.
        limits: what may be spent.
        spared: the cost that is kept low where it brings little.
    """

    problem: AllocationProblem
    limits: Sequence[Limit]
    spared: Sequence[Table]

    def within(self, *limits: Limit) -> "Constraints":
        """These, and further limits."""
        return replace(self, limits=[*self.limits, *limits])

    def cheapest(self, cost: Sequence[Table]) -> dict[str, int] | None:
        """The allocation of least cost; None if none is within the limits."""
        return self.problem.solve(cost, self.limits)

    def most_precise(self, errors: Sequence[Table], slack: float) -> dict[str, int] | None:
        """The allocation that spares most, of those within the limits whose errors are within `slack` of the least.

        Args:
            errors: what is to be least.
            slack: share of the least error.

        Returns:
            Variable -> bit width; None if no allocation is within the limits.
        """
        best = self.cheapest(errors)
        if best is None:
            return None
        most = total(errors, self.problem.bit_widths, best) * (1.0 + slack)
        return self.within(Limit(errors, most)).cheapest(self.spared) or best
