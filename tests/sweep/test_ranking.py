from dataclasses import replace

import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import Task
from stages.evaluate.scores import ClassificationScore
from stages.sweep.ranking import chosen_metric, is_share, known_metrics, metric_of_point
from stages.track.run import flatten
from tests.evaluate.detections import detection_score
from tests.evaluate.labelled_shapes import score, write_coco
from tests.sweep.sweeps import failure, ranking, result

METRICS = {"agreement": 1.0, "cosine": 0.9, "fidelity": 0.8, "quantized.top1": 0.5, "cost.weight_bytes": 3.0}
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


def test_of_points_that_look_equal_the_one_of_fewer_bits_is_on_the_front():
    """Weights of one size: features of 8, 10 and 12 bits differ in bit operations alone."""
    costs = {"8": 2.0, "10": 3.0, "12": 4.0}
    points = [
        replace(point, metrics=point.metrics | {"cost.bit_operations": costs[bits] * 1e9})
        for bits, agreement, fidelity in (("12", 0.95004, 0.999), ("10", 0.95002, 0.99), ("8", 0.94996, 0.98))
        for point in [result(int(bits), bits, "8", agreement, fidelity, 1)]
    ]
    for direction, turned in (("maximize", points), ("maximize", points[::-1]), ("minimize", points)):
        assert numbers(ranking(*turned, direction=direction, cost="weight_bytes").pareto) == [8]
        assert numbers(ranking(*turned, direction=direction, cost="bit_operations").pareto) == [8]
    assert numbers(ranking(*points).ranked) == [12, 10, 8]
    assert ranking(*points, cost="bit_operations").recommended.number == 8


def test_of_equal_points_the_cheapest_that_compare_finds_as_good_is_recommended():
    verdicts = {"12": "good", "10": "good", "8": "look", "4": "broken"}
    points = [
        result(int(bits), bits, "8", 0.95, int(bits) / 100, int(bits), verdict=verdict)
        for bits, verdict in verdicts.items()
    ]
    assert numbers(ranking(*points).ranked) == [12, 10, 8, 4]
    assert ranking(*points).recommended.number == 10
    assert ranking(*points[2:]).recommended.number == 8
    assert ranking(*points[3:]).recommended is None


def test_what_shows_is_what_counts():
    better = result(1, "10", "8", 0.9502, 0.9, 2)
    assert numbers(ranking(result(0, "8", "8", 0.95, 0.9, 1), better).pareto) == [0, 1]
    tiny = [result(0, "8", "8", 2e-6, 0.9, 1), result(1, "10", "8", 1e-6, 0.9, 2)]
    assert numbers(ranking(*tiny, direction="minimize").pareto) == [0, 1]  # decimals that show nothing: exact


def test_no_point_no_front():
    failed = ranking(failure(0))
    assert failed.pareto == failed.ranked == []
    assert failed.metric == ""
    assert ranking(*POINTS).metric == "agreement"


@pytest.mark.parametrize(
    ("wanted", "metrics", "name"),
    [
        (None, METRICS, "agreement"),
        (None, {"cosine": 0.9, "fidelity": 0.8}, "fidelity"),
        (None, {**METRICS, "quantized.map": 0.3}, "quantized.map"),
        ("map", {**METRICS, "quantized.map": 0.3}, "quantized.map"),
        ("top1", METRICS, "quantized.top1"),
        ("cosine", METRICS, "cosine"),
        ("fidelity", METRICS, "fidelity"),
        ("weight_bytes", METRICS, "cost.weight_bytes"),
    ],
)
def test_the_metric_to_rank_by(wanted, metrics, name):
    assert chosen_metric(wanted, metrics) == name


def test_an_unknown_metric_is_refused_with_what_there_is():
    with pytest.raises(UserError, match=r"^sweep\.metric=agremeent: no such metric; did you mean 'agreement'\?$"):
        chosen_metric("agremeent", METRICS)


def test_what_evaluate_measures_of_a_classifier_is_known():
    """The rest is held against a whole point in test_main; evaluate adds the fidelity."""
    score, outputs = ClassificationScore([2]), {"logits": np.float32([[1, 2, 3]])}
    score.add("a.png", None, outputs, outputs)
    assert {*known_metrics(Task.classification)} - {*flatten(score.metrics())} == {
        "similarity.cosine_min", "similarity.cosine_mean", "export.max_difference", "cost.bit_operations",
        "cost.weight_bytes", "fidelity",
    }  # fmt: skip
    assert {*flatten(score.metrics())} <= {*known_metrics(Task.classification)}


@pytest.mark.parametrize("labelled", [True, False])
def test_what_evaluate_measures_of_a_detector_is_known(labelled):
    score = detection_score(labelled)
    measured = {*flatten(score.metrics())}
    tasks = [Task.detection] if labelled else [Task.detection, Task.none, Task.custom]
    for task in tasks:
        assert measured <= {*known_metrics(task)}
    assert labelled == ("quantized.map" in measured)


def test_what_evaluate_measures_of_masks_and_key_points_is_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stages.core.statistics.average_precision.RESAMPLES", 2)
    write_coco("labels.json")
    measured = {*flatten(score("file:labels.json").metrics())}
    assert {"quantized.mask_map", "difference.keypoint_map_low", "mask_agreement_high"} <= measured
    assert measured <= {*known_metrics(Task.detection)}


def test_no_metric_is_known_twice():
    known = known_metrics(*Task)
    assert len(known) == len({*known})
    assert {*known} == {*known_metrics(Task.classification), *known_metrics(Task.detection)}


def test_a_share_ends_at_one():
    assert all(
        map(is_share, ("quantized.top1", "quantized.map50", "agreement_map", "similarity.cosine_min", "fidelity"))
    )
    assert all(map(is_share, ("quantized.mask_map", "keypoint_agreement_map", "float.keypoint_map50")))
    assert not any(map(is_share, ("count", "difference.map", "boxes.missed", "quantized.wer")))
    assert not is_share("difference.mask_map")


def test_a_point_that_ends_without_the_metric_says_so():
    assert metric_of_point("top1", METRICS) == "quantized.top1"
    with pytest.raises(UserError, match=r"^sweep\.metric=map_small: the point ended without it, its network or its ev"):
        metric_of_point("map_small", METRICS)


def test_points_are_ranked_by_what_all_have():
    labelled = result(0, "4", "4", 0.5, 0.8, 1)
    labelled.metrics["quantized.map"] = 0.1
    both = ranking(replace(labelled, value=0.1), result(1, "4", "8", 0.4, 0.85, 2))
    assert both.metric == "agreement"
    assert [(point.number, point.value) for point in both.ranked] == [(0, 0.5), (1, 0.4)]
    assert ranking(replace(labelled, value=0.1)).metric == "quantized.map"
