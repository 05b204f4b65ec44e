"""A detector's score, of boxes worked out by hand and of a small detector that goes through the pipeline."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from stages.core.base.artifacts import write_checksums
from stages.core.base.errors import UserError
from stages.core.data.object_labels import read_object_labels
from stages.evaluate.__main__ import evaluate
from stages.evaluate.detection import DetectionScore
from stages.evaluate.scores import ACCURACY, AGREEMENT, MAP, ClassRow
from tests.conftest import detector_config
from tests.evaluate.detections import (
    DETECTOR,
    LEFT,
    RIGHT,
    detection_score,
    labels,
    objects,
    outputs,
    placement,
    write_yolo_labels,
)

# class 0: one box right, one that overlaps by 72 %, enough at .5 to .7, before it at the others: then the precision is
# a half up to a recall of a half, which 51 of COCO's 101 recalls are
OF_CLASS_0 = (5 * 1 + 5 * 0.5 * 51 / 101) / 10
OF_CLASS_1 = 0.5  # a wrong box before the right one


def test_precisions_and_their_difference():
    metrics = detection_score(labelled=True).metrics()
    assert metrics["float"] == pytest.approx({"map": 1, "map50": 1, "map_small": 1, "map_large": 1})
    assert metrics["quantized"]["map"] == pytest.approx((OF_CLASS_0 + OF_CLASS_1) / 2)
    assert metrics["quantized"]["map50"] == pytest.approx(0.75)
    assert metrics["difference"]["map"] == pytest.approx((OF_CLASS_0 + OF_CLASS_1) / 2 - 1)
    assert metrics["difference"]["map_low"] <= metrics["difference"]["map"] <= metrics["difference"]["map_high"]
    assert metrics["boxes"] == {"float": 2, "missed": 0, "invented": 1}
    assert metrics["count"] == 2


def test_without_labels_the_float_networks_boxes_are_the_truth():
    score = detection_score(labelled=False)
    metrics = score.metrics()
    assert {"float", "quantized", "difference"}.isdisjoint(metrics)
    # of class 1 the float network shows no box: what is found of it does not count
    assert metrics["agreement"] == pytest.approx(1)
    assert metrics["agreement_map"] == pytest.approx(OF_CLASS_0)
    assert (score.value(MAP), score.value(AGREEMENT), score.value(ACCURACY)) == (None, pytest.approx(1), None)
    assert score.by_class() == []


@pytest.mark.slow
def test_one_metric_is_what_all_of_them_say():
    score = detection_score(labelled=True)
    metrics = score.metrics()
    assert score.value(MAP) == metrics["quantized"]["map"]
    assert score.interval(MAP) == (metrics["difference"]["map_low"], metrics["difference"]["map_high"])
    assert score.value(AGREEMENT) == metrics["agreement"]
    low, high = score.interval(AGREEMENT)
    assert (low + 1, high + 1) == (metrics["agreement_low"], metrics["agreement_high"])


def test_each_labelled_class_has_its_own_precision():
    rows = detection_score(labelled=True).by_class()
    assert rows == [
        ClassRow(0, 2, pytest.approx(1), pytest.approx(OF_CLASS_0)),
        ClassRow(1, 1, pytest.approx(1), pytest.approx(OF_CLASS_1)),
    ]


def test_a_row_a_picture():
    score = DetectionScore(DETECTOR, labels(a=objects((*LEFT, 0), (*RIGHT, 1))))
    pair = outputs((*LEFT, 0, 0.9), (*RIGHT, 1, 0.2)), outputs((*RIGHT, 0, 0.9), (*LEFT, 1, 0.5))
    # labelled; shown by the float network, by the quantized one; missed; invented
    assert score.add("a.png", placement(), *pair) == [2, 1, 2, 1, 2]
    assert len(score.columns) == 5
    unlabelled = DetectionScore(DETECTOR, None)
    assert unlabelled.add("a.png", None, pair[0], pair[0]) == ["", 1, 1, 0, 0]


def test_boxes_are_compared_in_pixels_of_the_picture():
    """The picture of 400 lies in the input at half its size, 30 pixels to the right."""
    score = DetectionScore(DETECTOR, labels(a=objects((*LEFT, 0))))
    found = outputs((35, 5, 85, 55, 0, 0.9))
    score.add("a.png", placement(0.5, left=30), found, found)
    assert score.metrics()["float"]["map"] == pytest.approx(1)


def test_labels_of_what_is_no_picture_are_refused():
    score = DetectionScore(DETECTOR, labels(a=objects((*LEFT, 0))))
    with pytest.raises(UserError, match=r"data\.evaluation\.labels: a\.npy is no picture"):
        score.add("a.npy", None, outputs(), outputs())


def test_pictures_without_a_box_are_said(capsys):
    score = DetectionScore(DETECTOR, labels(a=objects()))
    score.add("a.png", placement(), outputs((*LEFT, 0, 0.2)), outputs())
    metrics = score.metrics()
    assert {"agreement", "difference"}.isdisjoint(metrics)
    said = capsys.readouterr().err
    assert "the float network finds no box with a score of 0.3 or more in 1 pictures" in said
    assert "the pictures have no labelled object: no mAP" in said


# --- through the pipeline


def evaluated(*overrides):
    evaluate(detector_config(*overrides))
    rows = list(csv.DictReader(Path("out/evaluate/predictions.csv").read_text().splitlines()))
    return json.loads(Path("out/evaluate/metrics.json").read_text()), rows


@pytest.mark.slow
def test_yolo_labels_of_the_float_networks_own_boxes(detector, capsys):
    count = write_yolo_labels()
    assert count > 5
    metrics, rows = evaluated("data.evaluation.task=detection", "data.evaluation.labels=file:labels")
    assert sum(int(row["labelled"]) for row in rows) == sum(int(row["float_boxes"]) for row in rows) == count
    assert metrics["boxes"]["float"] == count
    # boxes below the threshold come after those above it, and cost nothing
    assert metrics["float"]["map"] == pytest.approx(1)
    assert 0.2 < metrics["quantized"]["map"] <= 1
    assert metrics["quantized"]["map50"] == pytest.approx(metrics["agreement"])
    assert "mAP50-95 float 1.0000" in capsys.readouterr().out
    table = list(csv.DictReader(Path("out/evaluate/by_class.csv").read_text().splitlines()))
    assert sum(int(row["count"]) for row in table) == count
    assert np.mean([float(row["quantized"]) for row in table]) == pytest.approx(metrics["quantized"]["map"])


@pytest.mark.slow
def test_coco_labels_give_the_same(detector):
    write_yolo_labels()
    yolo, _ = evaluated("data.evaluation.task=detection", "data.evaluation.labels=file:labels")
    known = read_object_labels("file:labels", ["000.png"])
    images, annotations = [], []
    for index, path in enumerate(sorted(Path("evaluation").iterdir())):
        found = known.of(path.name, *cv2.imread(str(path)).shape[:2])
        images.append({"id": index, "file_name": path.name})
        for (x0, y0, x1, y1), number in zip(found.boxes.tolist(), found.classes.tolist(), strict=True):
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"image_id": index, "bbox": box, "category_id": number, "area": box[2] * box[3]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": number} for number in range(3)]}
    Path("labels.json").write_text(json.dumps(content))
    coco, _ = evaluated("data.evaluation.task=detection", "data.evaluation.labels=file:labels.json")
    assert coco["quantized"] == pytest.approx(yolo["quantized"])


@pytest.mark.slow
def test_without_labels_boxes_are_compared(detector, capsys):
    metrics, _ = evaluated("data.evaluation.labels=null", "data.evaluation.task=none")
    assert "float" not in metrics
    assert 0.2 < metrics["agreement"] <= 1
    assert "agreement with the float network's boxes (mAP50)" in capsys.readouterr().out
    assert Path("out/evaluate/by_class.csv").read_text() == "class,count,float,quantized\n"


def test_a_network_that_is_no_detector_is_refused(detector):
    Path("out/export/detector.json").write_text('{"head": null}')
    write_checksums(Path("out/export"))
    with pytest.raises(UserError, match=r"data\.evaluation\.task=detection: no detector's head is known"):
        evaluated("data.evaluation.task=detection", "data.evaluation.labels=null")
