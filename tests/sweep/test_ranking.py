from stages.sweep.ranking import metric_of, pareto, ranked
from tests.sweep.sweeps import failure, made_up, result

POINTS = [
    result(0, "4", "4", 0.50, 0.80, 1),
    result(1, "4", "8", 0.50, 0.85, 2),
    result(2, "8", "4", 0.90, 0.95, 2),
    result(3, "8", "8", 0.95, 0.99, 4),
    result(4, "10", "8", 0.95, 0.99, 5),
    result(5, "12", "8", 0.95, 0.999, 6),
    failure(6),
]


def numbers(results):
    return [point.number for point in results]


def test_the_best_is_first_of_equals_the_closer_then_the_cheaper():
    assert numbers(ranked(POINTS, made_up())) == [5, 3, 4, 2, 1, 0]


def test_minimizing_turns_it_round():
    assert numbers(ranked(POINTS, made_up(direction="minimize"))) == [1, 0, 2, 5, 3, 4]


def test_on_the_front_no_other_is_better_for_as_little():
    assert numbers(pareto(POINTS, made_up())) == [0, 2, 3]
    assert numbers(pareto(list(reversed(POINTS)), made_up())) == [0, 2, 3]


def test_no_point_no_front():
    assert pareto([failure(0)], made_up()) == ranked([failure(0)], made_up()) == []
    assert metric_of([failure(0)], made_up()) == ""
    assert metric_of(POINTS, made_up()) == "agreement"
