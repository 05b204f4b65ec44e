"""Which score, and which metric by default, an experiment has."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR, FLOAT_MODEL, INPUTS
from stages.core.config.schema import Task
from stages.core.data.inputs import load_inputs
from stages.core.data.sample_files import select
from stages.core.graph.session import Runner
from stages.core.heads.detector import load_detector
from stages.evaluate.detection import DetectionScore
from stages.evaluate.own_metric import OwnScore
from stages.evaluate.scores import (
    ACCURACY,
    AGREEMENT,
    KEYPOINT_AGREEMENT,
    KEYPOINT_MAP,
    MAP,
    MASK_AGREEMENT,
    MASK_MAP,
    OWN,
    ClassificationScore,
    OutputScore,
)
from stages.evaluate.scoring import default_metric, score_of_metric, score_of_task
from tests.conftest import composed, detector_config

NO_LABELS = ("data.evaluation.labels=null", "data.evaluation.task=none")
OWN_OVERRIDE = "data.evaluation.metric=tests.evaluate.metrics:WordErrors"
CUSTOM = ("data.evaluation.labels=null", "data.evaluation.task=custom", OWN_OVERRIDE)


def network(config):
    """Files, inputs and outputs."""
    inputs = load_inputs(INPUTS)
    return select(config.data.evaluation, inputs, "data.evaluation"), inputs, Runner(FLOAT_MODEL).outputs


def kind_and_default(config):
    files, inputs, outputs = network(config)
    return type(score_of_task(config, files, inputs, outputs)), default_metric(config, outputs)


@pytest.fixture
def labelled(detector):
    """Overrides that give the detector's pictures labels."""
    Path("labels").mkdir()
    for path in Path("evaluation").iterdir():
        Path(f"labels/{path.stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return "data.evaluation.task=detection", "data.evaluation.labels=file:labels"


def test_of_a_classifier(quantized):
    assert kind_and_default(composed()) == (ClassificationScore, None)
    assert kind_and_default(composed(*NO_LABELS)) == (OutputScore, None)
    assert kind_and_default(composed(*CUSTOM)) == (OwnScore, OWN)
    assert kind_and_default(composed(OWN_OVERRIDE)) == (OwnScore, OWN)


@pytest.mark.slow
def test_of_a_detector(labelled):
    assert kind_and_default(detector_config(*labelled)) == (DetectionScore, MAP)
    assert kind_and_default(detector_config()) == (DetectionScore, AGREEMENT)
    unlabelled = ("data.evaluation.labels=null", "data.evaluation.task=detection")
    assert kind_and_default(detector_config(*unlabelled)) == (DetectionScore, AGREEMENT)
    assert kind_and_default(detector_config(*CUSTOM)) == (OwnScore, OWN)
    Path("out/export/detector.json").write_text(json.dumps({"head": None}))
    write_checksums(Path("out/export"))
    assert kind_and_default(detector_config()) == (OutputScore, None)


def test_the_metric_decides_what_is_counted(quantized):
    for config, metric in ((composed(), ACCURACY), (composed(*NO_LABELS), AGREEMENT), (composed(*CUSTOM), OWN)):
        files, inputs, outputs = network(config)
        scoring = score_of_metric(metric, config, files, inputs, outputs)
        assert scoring.new() is not scoring.new()
        assert scoring.greater_is_better == (metric != OWN)  # a rate of errors


def test_the_metric_of_a_detector(labelled):
    for config, metric in ((detector_config(*labelled), MAP), (detector_config(), AGREEMENT)):
        assert isinstance(score_of_metric(metric, config, *network(config)).new(), DetectionScore)


def test_a_detector_with_labels_is_ranked_by_them(labelled):
    assert "task=detection has no labels of classes; take map" in refused(detector_config(*labelled), ACCURACY)


def test_a_class_that_the_network_does_not_have_is_found_before_it_runs(labelled):
    Path("labels/002.txt").write_text("0 0.5 0.5 0.5 0.5\n99 0.5 0.5 0.5 0.5\n")
    config = detector_config(*labelled)
    for score in (score_of_task, lambda *network: score_of_metric(MAP, *network)):
        with pytest.raises(UserError, match=r"002\.png has an object of class 99, and the network has \d+ classes"):
            score(config, *network(config))


def test_mistakes_in_key_points_are_found_before_it_runs(detector, monkeypatch):
    annotation = {"image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [1, 2, "seen"]}
    images = [{"id": index, "file_name": f"00{index}.png"} for index in range(3)]
    content = {"images": images, "categories": [{"id": 1}], "annotations": [annotation]}
    Path("labels.json").write_text(json.dumps(content))
    data = detector.data.evaluation
    data.task, data.labels = Task.detection, "file:labels.json"
    files, inputs, outputs = network(detector)
    assert isinstance(score_of_task(detector, files, inputs, outputs), DetectionScore)
    boxes = load_detector(DETECTOR, detector.model.detector, outputs)
    monkeypatch.setattr("stages.evaluate.scoring.load_detector", lambda *_: replace(boxes, keypoints=1))
    with pytest.raises(UserError, match=r"labels\.json: an annotation of 002\.png: could not convert"):
        score_of_task(detector, files, inputs, outputs)


def refused(config, metric):
    with pytest.raises(UserError) as caught:
        score_of_metric(metric, config, *network(config))
    return str(caught.value)


def test_a_metric_that_a_classifier_does_not_give_is_refused(quantized):
    assert refused(composed(), OWN).startswith("own: data.evaluation.metric names none; give module:Class")
    assert "task=detection with labels; agreement needs none" in refused(composed(), MAP)
    assert refused(composed(), KEYPOINT_AGREEMENT) == "keypoint_agreement: the network is a classifier; take agreement"
    assert "task=none has no labels of classes; take fidelity" in refused(composed(*NO_LABELS), ACCURACY)


def test_a_metric_that_a_detector_does_not_give_is_refused(detector, labelled):
    assert "task=detection with labels; agreement needs none" in refused(detector, MAP)
    assert "task=detection with labels; mask_agreement needs none" in refused(detector, MASK_MAP)
    assert refused(detector_config(*labelled), KEYPOINT_MAP).endswith("(YOLOX-like) does not give it; take map")
    assert refused(detector, MASK_AGREEMENT).endswith("(YOLOX-like) does not give it; take agreement")
    assert "task=none has no labels of classes; take agreement" in refused(detector, ACCURACY)
    Path("out/export/detector.json").write_text(json.dumps({"head": None}))
    write_checksums(Path("out/export"))
    assert refused(detector, AGREEMENT).startswith("agreement: the network is neither a detector nor a classifier (")
    detector.data.evaluation.task = Task.detection
    files, inputs, outputs = network(detector)
    with pytest.raises(UserError, match=r"task=detection: no detector's head is known .*, or task=none$"):
        score_of_task(detector, files, inputs, outputs)
