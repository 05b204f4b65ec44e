from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from stages.autotune.allocation.constraints import Constraints
from stages.autotune.allocation.integer_program import BitAllocation, Limit
from stages.autotune.allocation.predicted_error import ErrorClass, PredictedError
from stages.autotune.budget_search import affordable, allocate
from stages.autotune.verifier import Verified
from tests.autotune.stubs import bits, halving, made_up


@dataclass
class Measure:
    """Errors by functions."""

    error: Callable[[BitAllocation], float]
    class_errors: Callable[[BitAllocation], Mapping[ErrorClass, float]] = lambda allocation: {}


def within(problem, tables, most):
    return Constraints(problem, [Limit(tables, most)], bits(problem))


def test_a_prediction_that_holds_is_left_alone():
    problem = made_up()
    predicted = halving(problem, {"weight 0": 100.0})

    def fail(allocation):
        raise AssertionError("no class had to be measured")

    (only,) = allocate(predicted, within(problem, bits(problem), 6 * 4.0), Measure(predicted.of, fail))
    assert only.error == pytest.approx(only.predicted)
    assert only.allocation["weight 0"] == 8


def test_a_class_that_was_predicted_wrong_is_corrected():
    # 2-bit weights are really a thousand times worse than each alone says; the first answer takes them, the second not
    problem = made_up()
    sensitivities = {
        name: {2: 0.02, 4: 0.01, 8: 0.0} if name.startswith("weight") else {2: 0.5, 4: 0.02, 8: 0.0}
        for name in problem.bit_widths
    }

    def true(allocation):
        return sum(
            sensitivities[name][width] * (1000.0 if name.startswith("weight") and width == 2 else 1.0)
            for name, width in allocation.items()
        )

    def classes(allocation):
        keys = {(name.split()[0], width) for name, width in allocation.items()}
        return {
            key: true({name: width for name, width in allocation.items() if (name.split()[0], width) == key})
            for key in keys
        }

    predicted = PredictedError(problem, sensitivities)
    tried = allocate(predicted, within(problem, bits(problem), 24.0), Measure(true, classes))
    assert 2 in [width for name, width in tried[0].allocation.items() if name.startswith("weight")]
    best = min(tried, key=lambda each: each.error)
    assert best is not tried[0]
    assert 2 not in [width for name, width in best.allocation.items() if name.startswith("weight")]
    assert best.error < tried[0].error / 10


def test_what_brings_nothing_is_spared():
    # features cost nothing of this budget, but more bits than 4 are worth less than a twentieth of the error
    problem = made_up()
    predicted = halving(problem, {f"feature {i}": 1e-9 for i in range(3)})
    weights = [table for table in bits(problem) if table.variables[0].startswith("weight")]
    tried = allocate(predicted, within(problem, weights, 12.0), Measure(predicted.of))
    last = tried[-1]
    assert [width for name, width in last.allocation.items() if name.startswith("feature")] == [2, 2, 2]
    assert last in affordable(tried, [])


def test_what_is_predicted_to_bring_nothing_but_measures_otherwise_is_not_spared():
    # narrow features are really far worse than each alone says
    problem = made_up()
    predicted = halving(problem, {f"feature {i}": 3e-3 for i in range(3)})
    weights = [table for table in bits(problem) if table.variables[0].startswith("weight")]

    def measure(allocation):
        narrow = [name for name, width in allocation.items() if name.startswith("feature") and width < 8]
        return predicted.of(allocation) * (1.0 + 0.1 * len(narrow))

    tried = allocate(predicted, within(problem, weights, 12.0), Measure(measure))
    (kept,) = affordable(tried, [])
    assert [width for name, width in kept.allocation.items() if name.startswith("feature")] == [8, 8, 8]
    assert len(tried) > 1


def test_nothing_is_taken_that_a_rival_beats():
    verified = [Verified({"a": 4}, 0.0, 1.04), Verified({"a": 8}, 0.0, 1.0)]
    assert affordable(verified, []) == verified
    assert affordable([*verified, verified[1]], [Verified({"a": 6}, 0.0, 1.02)]) == [verified[1], verified[1]]


def test_nothing_within_the_limits():
    problem = made_up()
    assert allocate(halving(problem, {}), within(problem, bits(problem), 1.0), Measure(lambda each: 0.0)) == []
