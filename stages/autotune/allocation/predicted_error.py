"""The predicted error of an allocation: the sum of what each tensor alone does to the outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.autotune.allocation.integer_program import BitAllocation, Table, total
from stages.autotune.allocation.problem import AllocationProblem

__all__ = ["ErrorClass", "PredictedError", "Sensitivities"]

Sensitivities = Mapping[str, Mapping[int, float]]
"""Variable -> bit width -> relative squared error of the outputs when it alone is quantized; float is left out: 0."""
ErrorClass = tuple[str, int]
"""The features, or the weights, of one bit width: (kind, bit width)."""


@dataclass(frozen=True)
class PredictedError:
    """Predicts errors of allocations.

    Attributes:
        problem: the variables.
        sensitivities: the error of each variable alone.
    """

    problem: AllocationProblem
    sensitivities: Sensitivities

    @cached_property
    def tables(self) -> list[Table]:
        """The summands."""
        return self.scaled({})

    def scaled(self, factors: Mapping[ErrorClass, float]) -> list[Table]:
        """The summands, those of some classes times a factor."""
        return [
            Table(
                (variable.name,),
                np.array(
                    [
                        self.sensitivities[variable.name].get(bits, 0.0) * factors.get((variable.kind, bits), 1.0)
                        for bits in variable.bit_widths
                    ]
                ),
            )
            for variable in self.problem.variables
        ]

    def of(self, allocation: BitAllocation) -> float:
        """The predicted error of an allocation."""
        return total(self.tables, self.problem.bit_widths, allocation)

    def of_class(self, allocation: BitAllocation, error_class: ErrorClass) -> float:
        """What the variables of an allocation that are of one class add to it."""
        kind, bits = error_class
        return sum(
            self.sensitivities[variable.name][bits]
            for variable in self.problem.of_kind(kind)
            if allocation[variable.name] == bits
        )
