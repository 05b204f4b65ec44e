import numpy as np
import pytest

from stages.autotune.allocation.constraints import Constraints
from stages.autotune.allocation.integer_program import total
from stages.autotune.options import Target
from stages.autotune.target_search import cheapest_that_keeps
from tests.autotune.stubs import bits, halving, made_up


def searched(predicted, target, measure):
    cost = bits(predicted.problem)
    constraints = Constraints(predicted.problem, [], cost)
    return cheapest_that_keeps(target, predicted, cost, constraints, measure), cost


@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("bound", [4e-3, 0.02, 0.2])
def test_the_cheapest_that_keeps_the_target(bound, factor):
    # the truth is the sum times a factor: then the best is that of the sum within bound / factor, found by trying all
    problem = made_up(2, 2, (2, 3, 4, 5, 6, 8))
    predicted = halving(problem, {"weight 0": 30.0, "feature 1": 3.0})
    steps, _ = searched(predicted, Target("error", bound), lambda each: factor * predicted.of(each))
    met = [step for step in steps if step.met]
    names = list(problem.bit_widths)
    best = min(
        sum(chosen)
        for chosen in np.ndindex(9, 9, 9, 9)
        if all(width in (2, 3, 4, 5, 6, 8) for width in chosen)
        and factor * predicted.of(dict(zip(names, chosen, strict=True))) <= bound
    )
    assert min(step.cost for step in met) == best
    assert all(step.value <= bound for step in met)
    assert len(steps) <= 14


def test_a_target_out_of_reach_takes_one_measurement():
    problem = made_up()
    steps, _ = searched(halving(problem, {}), Target("cosine", 0.99), lambda each: 0.5)
    assert len(steps) == 1
    assert not steps[0].met
    assert set(steps[0].allocation.values()) == {8}


def test_a_target_that_the_most_precise_just_misses_is_reached_by_one_that_is_nearly_so():
    """What is predicted to be the most precise need not measure so."""
    problem = made_up()
    predicted = halving(problem, {f"feature {i}": 1e-4 for i in range(3)})

    def measure(allocation):
        return 0.2 if set(allocation.values()) == {8} else predicted.of(allocation)

    steps, _ = searched(predicted, Target("error", 1e-2), measure)
    assert not steps[0].met
    assert any(step.met for step in steps)
    cheapest_met = min((step for step in steps if step.met), key=lambda step: step.cost)
    assert predicted.of(cheapest_met.allocation) <= 1e-2


def test_a_target_that_the_cheapest_keeps_takes_two_measurements():
    problem = made_up()
    steps, _ = searched(halving(problem, {}), Target("cosine", 0.99), lambda each: 0.999)
    assert [step.met for step in steps] == [True, True]
    assert set(steps[-1].allocation.values()) == {2}


@pytest.mark.parametrize(
    ("target", "of_error"),
    [
        (Target("cosine", 0.995), lambda error: 1.0 - error / 2),
        (Target("fidelity", 0.995), lambda error: (1.0 - error) ** 0.5),
    ],
)
def test_a_target_by_a_metric_of_another_kind(target, of_error):
    problem = made_up()
    predicted = halving(problem, {})
    steps, cost = searched(predicted, target, lambda each: of_error(predicted.of(each)))
    best = min((step for step in steps if step.met), key=lambda step: step.cost)
    assert best.value == pytest.approx(of_error(predicted.of(best.allocation)))
    assert best.value >= 0.995
    assert total(cost, problem.bit_widths, best.allocation) < 48
