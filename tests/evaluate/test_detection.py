"""A detector's score, of boxes worked out by hand and of a small detector that goes through the pipeline."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.data.object_labels import read_object_labels
from stages.core.graph.session import Runner
from stages.core.heads.nms import nms
from stages.core.heads.recognize import recognize
from stages.evaluate.__main__ import evaluate
from stages.evaluate.detection import DetectionScore
from stages.evaluate.scores import ACCURACY, AGREEMENT, MAP, ClassRow
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.conftest import write_params
from tests.core.heads.exporters import HEIGHT, WIDTH, yolox
from tests.evaluate.detections import DETECTOR, LEFT, RIGHT, detection_score, labels, objects, outputs, placement
from tests.networks import write_pictures

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


OVERRIDES = (
    "model=onnx",
    "model.source=file:detector.onnx",
    "model.inputs=[{mean: [128], normal: [64]}]",
    "model.preprocess.fit=letterbox",
    "model.detector.score_threshold=0.2",
    "data=folder",
    "data.calibration.source=file:calibration",
    "data.debug.source=file:evaluation",
    "data.evaluation.source=file:evaluation",
)


@pytest.fixture(scope="module")
def detector_files(project_files, tmp_path_factory):
    """A project with a small YOLOX, quantized, and no labels."""
    folder = tmp_path_factory.mktemp("detector")
    onnx.save(yolox(), folder / "detector.onnx")
    write_pictures(folder / "calibration", 6, seed=1)
    write_pictures(folder / "evaluation", 3, seed=10)
    (folder / "conf").symlink_to((project_files / "conf").resolve())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = write_params(*OVERRIDES, "data.evaluation.labels=null", "data.evaluation.task=none")
        for stage in (export, calibset, calibrate, quantize):
            stage(config)
    return folder


@pytest.fixture
def project(detector_files, tmp_path, monkeypatch):
    shutil.copytree(detector_files, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(*overrides):
    evaluate(write_params(*OVERRIDES, *overrides))
    rows = list(csv.DictReader(Path("out/evaluate/predictions.csv").read_text().splitlines()))
    return json.loads(Path("out/evaluate/metrics.json").read_text()), rows


def float_boxes(name):
    """What the float network shows in pixels of the picture, computed without the stages: boxes, classes."""
    picture = cv2.imread(f"evaluation/{name}")
    height, width = picture.shape[:2]
    ratio = min(HEIGHT / height, WIDTH / width)
    rows, columns = round(height * ratio), round(width * ratio)
    top, left = (HEIGHT - rows) // 2, (WIDTH - columns) // 2
    canvas = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
    canvas[top : top + rows, left : left + columns] = cv2.resize(picture, (columns, rows))
    values = ((canvas[:, :, ::-1].astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None]
    head = recognize(yolox())
    network = onnx.load("out/export/model.onnx")  # cut, under the names of the head's tensors
    found = nms(head.decode(Runner(network).run({"images": values})).above(0.2), 0.6)
    corners = np.clip(found.boxes, -1e6, 1e6)  # random weights give a box of a million pixels
    boxes = (corners - np.array([left, top, left, top])) / np.array([columns / width, rows / height] * 2)
    return boxes, found.classes, (height, width)


def write_yolo():
    """Label the pictures with the float network's own boxes, as YOLO text files."""
    Path("labels").mkdir()
    count = 0
    for path in sorted(Path("evaluation").iterdir()):
        boxes, classes, (height, width) = float_boxes(path.name)
        size = np.array([width, height])
        lines = [
            " ".join(map(str, [number, *((box[:2] + box[2:]) / 2 / size), *((box[2:] - box[:2]) / size)]))
            for box, number in zip(boxes, classes, strict=True)
        ]
        Path(f"labels/{path.stem}.txt").write_text("\n".join(lines))
        count += len(lines)
    return count


def test_yolo_labels_of_the_float_networks_own_boxes(project, capsys):
    count = write_yolo()
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


def test_coco_labels_give_the_same(project):
    write_yolo()
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


def test_without_labels_boxes_are_compared(project, capsys):
    metrics, _ = evaluated("data.evaluation.labels=null", "data.evaluation.task=none")
    assert "float" not in metrics
    assert 0.2 < metrics["agreement"] <= 1
    assert "agreement with the float network's boxes (mAP50)" in capsys.readouterr().out
    assert Path("out/evaluate/by_class.csv").read_text() == "class,count,float,quantized\n"


def test_a_network_that_is_no_detector_is_refused(project):
    Path("out/export/detector.json").write_text('{"head": null}')
    with pytest.raises(UserError, match=r"data\.evaluation\.task=detection: no detector's head is known"):
        evaluated("data.evaluation.task=detection", "data.evaluation.labels=null")
