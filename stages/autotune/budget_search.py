"""The allocation of least error within bounds: predicted, measured, and predicted anew where the sum was wrong."""

from collections.abc import Sequence

from stages.autotune.allocation.constraints import ERROR_SLACKS, Constraints
from stages.autotune.allocation.integer_program import BitAllocation, Table, total
from stages.autotune.allocation.predicted_error import ErrorClass, PredictedError
from stages.autotune.verifier import UNPREDICTED_RATIO, ErrorMeasure, Verified

__all__ = ["affordable", "allocate"]

MAX_CORRECTIONS = 3
"""How often the prediction is corrected at most."""


def allocate(
    predicted_error: PredictedError, constraints: Constraints, measure: ErrorMeasure, rivals: Sequence[Verified] = ()
) -> list[Verified]:
    """Find the allocation of least error within limits, and correct the prediction where it is wrong.

    Errors of few bits may be so large that they do not add up. Then the error of each class of variables (features or
    weights of a bit width) is measured alone, the sensitivities of the class are scaled to it, and bits are allocated
    anew. At the end cheaper allocations are tried that are predicted to err little more, until one measures so: see
    `affordable`.

    Args:
        predicted_error: the error by the sum of its parts.
        constraints: what may be spent, and what is spared.
        measure: the true error.
        rivals: what was measured before, and must not be better.

    Returns:
        All that was tried, in order. Empty if nothing is within the limits.
    """
    tried: list[Verified] = []
    used: list[list[Table]] = []  # the prediction that each was found by

    def attempt(allocation: BitAllocation, tables: list[Table]) -> Verified:
        tried.append(Verified(allocation, predicted_error.of(allocation), measure.error(allocation)))
        used.append(tables)
        return tried[-1]

    factors: dict[ErrorClass, float] = {}
    for _ in range(1 + MAX_CORRECTIONS):
        tables = predicted_error.scaled(factors)
        allocation = constraints.most_precise(tables, 0.0)
        if allocation is None or _known(allocation, tried):
            break
        predicted = total(tables, constraints.problem.bit_widths, allocation)
        if attempt(allocation, tables).error <= UNPREDICTED_RATIO * predicted:
            break
        factors |= _class_factors(predicted_error, allocation, measure)
    if not tried:
        return []
    best = used[min(range(len(tried)), key=lambda index: tried[index].error)]
    for slack in ERROR_SLACKS:
        allocation = constraints.most_precise(best, slack)
        if allocation is None or _known(allocation, tried):
            continue
        if attempt(allocation, best) in affordable([*tried, *rivals], rivals):
            break
    return tried


def _known(allocation: BitAllocation, tried: Sequence[Verified]) -> bool:
    return allocation in [each.allocation for each in tried]


def _class_factors(
    predicted_error: PredictedError, allocation: BitAllocation, measure: ErrorMeasure
) -> dict[ErrorClass, float]:
    """Class of an allocation's variables -> its measured error over the predicted one."""
    factors: dict[ErrorClass, float] = {}
    for error_class, measured in measure.class_errors(allocation).items():
        predicted = predicted_error.of_class(allocation, error_class)
        if predicted > 0.0 and measured > 0.0:
            factors[error_class] = measured / predicted
    return factors


def affordable(verified: Sequence[Verified], rivals: Sequence[Verified]) -> list[Verified]:
    """Those whose measured error is within the slack of the least, and no more than any rival's."""
    least = min(each.error for each in verified)
    most = min([least * (1.0 + ERROR_SLACKS[0]), *(rival.error for rival in rivals)])
    return [each for each in verified if each.error <= most]
