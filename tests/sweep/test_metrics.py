import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Task
from stages.evaluate.__main__ import new_score
from stages.sweep.metrics import chosen_metric, known_metrics
from stages.track.run import flatten

METRICS = {"agreement": 1.0, "cosine": 0.9, "quantized.top1": 0.5, "cost.weight_bytes": 3.0}


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
def test_what_evaluate_finds_is_known(task):
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
