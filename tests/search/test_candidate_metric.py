import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.base.paths import FLOAT_MODEL, INPUTS, METRICS, QUANTIZE
from stages.core.config.load import load_params
from stages.core.data.inputs import load_inputs
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.pipeline import Pipeline
from stages.quantize.simulation import BothOutputs, mean_cosine
from stages.search.candidate_metric import (
    ACCURACY,
    AGREEMENT,
    AGREEMENTS,
    COSINE,
    FIDELITY,
    MAP,
    OWN,
    PRECISIONS,
    metric_text,
    open_metric,
    relative_bound,
)
from stages.search.candidate_metric import METRICS as METRICS_OF_CANDIDATES
from tests.conftest import composed, detector_config
from tests.evaluate.detections import write_yolo_labels
from tests.networks import relative_error


@pytest.fixture
def exported(project):
    config = load_params(Path("params.yaml"))
    for stage in (export, calibset):
        stage(config)
    return config, onnx.load(FLOAT_MODEL), load_inputs(INPUTS)


def test_the_float_network_is_right_where_its_labels_say(exported):
    # six pictures of three classes, two a class; halves add up
    with open_metric(*exported, ACCURACY) as metric:
        whole, count = metric.of_float(), len(metric.pictures)
    halves = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        with open_metric(*exported, ACCURACY, part) as metric:
            halves.append(metric.of_float() * len(metric.pictures))
    assert sum(halves) == pytest.approx(whole * count)


def test_a_part_without_pictures_is_refused(exported):
    with (
        pytest.raises(UserError, match=r"data\.evaluation has too few samples"),
        open_metric(*exported, ACCURACY, slice(99, None)),
    ):
        pass


def test_the_least_similar_output_counts():
    # by hand: a is equal; b turns by 60 degrees on one of two pictures
    one, turned = np.array([1.0, 0.0], np.float32), np.array([0.5, np.sqrt(0.75)], np.float32)
    both = {"a": one, "b": one}
    pairs = [BothOutputs(both, both, {}), BothOutputs(both, {"a": one, "b": turned}, {})]
    assert mean_cosine(pairs) == pytest.approx(0.75)


def test_what_is_no_number_is_as_bad_as_can_be():
    one = np.ones(2, np.float32)
    assert mean_cosine([BothOutputs({"a": one}, {"a": np.array([np.nan, 1], np.float32)}, {})]) == 0.0


def test_the_fidelity_is_that_of_the_debug_pictures(exported):
    config, reference, inputs = exported
    calibrate(config)
    with open_metric(config, reference, inputs, FIDELITY) as metric:
        candidate = candidate_of(config)
        pairs = [*metric.simulation.simulated(candidate)]
        assert len(pairs) == 2
        error = relative_error([each.expected["logits"] for each in pairs], [each.actual["logits"] for each in pairs])
        assert metric.of(candidate) == pytest.approx(math.sqrt(1 - error))
        assert metric.with_interval(candidate) == (metric.of(candidate), None)
        assert metric.of_float() == 1
        assert metric.greater_is_better


# --- of detectors, and of the user's own


def opened(config, name, **arguments):
    return open_metric(config, onnx.load(FLOAT_MODEL), load_inputs(INPUTS), name, **arguments)


def candidate_of(config):
    """What quantize makes of an experiment."""
    pipeline = Pipeline.open(config, QUANTIZE.parent)
    return pipeline.choose_parameters(pipeline.network, config.quant)


@pytest.mark.slow
def test_a_detectors_agreement_is_what_evaluate_measures(detector):
    evaluate(detector)
    metrics = json.loads(METRICS.read_text())
    with opened(detector, AGREEMENT) as metric:
        assert metric.of_float() == pytest.approx(1)
        value, (low, high) = metric.with_interval(candidate_of(detector))
        assert value == metric.of(candidate_of(detector)) == metrics["agreement"]
        assert (low + 1, high + 1) == pytest.approx((metrics["agreement_low"], metrics["agreement_high"]))


@pytest.mark.slow
def test_a_detectors_map_is_what_evaluate_measures(detector):
    write_yolo_labels()
    config = detector_config("data.evaluation.task=detection", "data.evaluation.labels=file:labels")
    evaluate(config)
    metrics = json.loads(METRICS.read_text())
    with opened(config, MAP) as metric:
        assert metric.of_float() == metrics["float"]["map"] == pytest.approx(1)
        assert metric.of(candidate_of(config)) == metrics["quantized"]["map"] < 1


def test_pictures_that_do_not_give_the_metric_are_said(detector):
    detector.model.detector.score_threshold = 0.999
    with (
        opened(detector, AGREEMENT) as metric,
        pytest.raises(UserError, match="agreement: there is no box that the float network finds in 3 pictures"),
    ):
        metric.of_float()


def test_a_classifiers_agreement_needs_no_labels(quantized):
    evaluate(quantized)
    agreement = json.loads(METRICS.read_text())["agreement"]
    config = composed("data.evaluation.labels=null", "data.evaluation.task=none")
    with opened(config, AGREEMENT) as metric:
        assert (metric.of_float(), metric.of(candidate_of(config))) == (1.0, agreement)
        assert metric.with_interval(candidate_of(config)) == (agreement, None)


def test_the_users_own(quantized):
    config = composed("data.evaluation.metric=tests.evaluate.metrics:Right")
    evaluate(config)
    metrics = json.loads(METRICS.read_text())
    with opened(config, OWN) as metric:
        assert metric.of_float() == metrics["float"]["right"]
        assert metric.of(candidate_of(config)) == metrics["quantized"]["right"]
        assert metric.greater_is_better


@pytest.mark.slow
def test_many_large_outputs_are_not_held_in_memory(detector, monkeypatch):
    with opened(detector, AGREEMENT) as metric:
        kept = metric.of_float(), metric.of(candidate_of(detector))
    monkeypatch.setattr("stages.search.candidate_metric.MOST_KEPT_BYTES", 1000)
    with opened(detector, AGREEMENT) as metric:
        assert (metric.of_float(), metric.of(candidate_of(detector))) == kept
        assert not metric.simulation._kept


def test_what_is_worse_by_a_difference():
    assert relative_bound(0.75, -0.25) == pytest.approx(0.5)
    assert relative_bound(0.75, -0.25) < 0.5
    assert relative_bound(0.125, -0.25, greater_is_better=False) == pytest.approx(0.375)
    assert relative_bound(0.125, -0.25, greater_is_better=False) > 0.375


def test_values_are_shown_as_their_users_know_them():
    values = {ACCURACY: "12.5%", FIDELITY: "0.12500", COSINE: "0.12500", OWN: "0.125"} | dict.fromkeys(
        PRECISIONS, "0.1250"
    )
    values |= dict.fromkeys(AGREEMENTS, "0.1250")
    assert {name: metric_text(name, 0.125) for name in METRICS_OF_CANDIDATES} == values
