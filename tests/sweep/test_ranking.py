import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Task
from stages.evaluate.__main__ import new_score
from stages.sweep.ranking import chosen_metric, known_metrics
from stages.track.run import flatten
from tests.sweep.sweeps import failure, ranking, result

METRICS = {"agreement": 1.0, "cosine": 0.9, "quantized.top1": 0.5, "cost.weight_bytes": 3.0}
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
    assert numbers(ranking(*POINTS).ranked) == [5, 3, 4, 2, 1, 0]


def test_minimizing_turns_it_round():
    assert numbers(ranking(*POINTS, direction="minimize").ranked) == [1, 0, 2, 5, 3, 4]


def test_on_the_front_no_other_is_better_for_as_little():
    assert numbers(ranking(*POINTS).pareto) == [0, 2, 3]
    assert numbers(ranking(*reversed(POINTS)).pareto) == [0, 2, 3]


def test_no_point_no_front():
    failed = ranking(failure(0))
    assert failed.pareto == failed.ranked == []
    assert failed.metric == ""
    assert ranking(*POINTS).metric == "agreement"


@pytest.mark.parametrize(
    ("wanted", "metrics", "name"),
    [
        (None, METRICS, "agreement"),
        (None, {"cosine": 0.9}, "cosine"),
        ("top1", METRICS, "quantized.top1"),
        ("cosine", METRICS, "cosine"),
        ("weight_bytes", METRICS, "cost.weight_bytes"),
    ],
)
def test_the_metric_to_rank_by(wanted, metrics, name):
    assert chosen_metric(wanted, metrics) == name


def test_an_unknown_metric_is_refused_with_what_there_is():
    with pytest.raises(UserError, match=r"^sweep\.metric=agremeent: no such metric; did you mean 'agreement'\?$"):
        chosen_metric("agremeent", METRICS)


@pytest.mark.parametrize("task", list(Task))
def test_what_evaluate_measures_is_known(task):
    """The rest is held against a whole point in test_main."""
    score, outputs = new_score(task), {"logits": np.float32([[1, 2, 3]])}
    score.add(2, outputs, outputs)
    assert {*known_metrics(task)} - {*flatten(score.metrics())} == {
        "similarity.cosine_min", "similarity.cosine_mean", "export.max_difference", "cost.bit_operations",
        "cost.weight_bytes",
    }  # fmt: skip
    assert {*flatten(score.metrics())} <= {*known_metrics(task)}


def test_no_metric_is_known_twice():
    assert len(known_metrics(*Task)) == len({*known_metrics(*Task)}) == len(known_metrics(Task.classification))
