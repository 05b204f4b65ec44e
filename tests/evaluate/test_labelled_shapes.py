"""Masks and key points against labels: the numbers of pycocotools, called by hand on the same pictures."""

import contextlib
import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR as DETECTOR_FILE
from stages.core.base.paths import FLOAT_MODEL, INPUTS, QUANTIZE
from stages.core.data.inputs import load_inputs
from stages.core.graph.session import Runner
from stages.core.heads.detector import load_detector
from stages.core.tables import accuracy_line
from stages.evaluate.__main__ import by_class_csv, evaluate
from stages.evaluate.scores import KEYPOINT_AGREEMENT, KEYPOINT_MAP, MASK_AGREEMENT, MASK_MAP
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from stages.quantize.pipeline import Pipeline
from stages.search.candidate_metric import open_metric
from tests.conftest import REPOSITORY, detector_config
from tests.core.heads.exporters import HEIGHT, WIDTH, yolov8
from tests.evaluate.labelled_shapes import (
    CATEGORIES,
    SCENES,
    SIGMAS,
    found_mask,
    score,
    write_coco,
    write_yolo,
)
from tests.networks import write_pictures

SIDES = ("float", "quantized")
STATS = {
    "segm": ("mask_map", "mask_map50", None, "mask_map_small", "mask_map_medium", "mask_map_large"),
    "keypoints": ("keypoint_map", "keypoint_map50", None, "keypoint_map_medium", "keypoint_map_large"),
}
"""What pycocotools' `stats` begin with."""


@pytest.fixture(scope="module", autouse=True)
def of_json(tmp_path_factory):
    """The score and the metrics with `labels.json`, in a folder that all tests work in."""
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(tmp_path_factory.mktemp("labels")):
        patch.setattr("stages.core.statistics.average_precision.RESAMPLES", 4)  # two hundred draws take seconds
        write_coco("labels.json")
        scored = score("file:labels.json")
        yield scored, scored.metrics()


def by_hand(path, side, kind):
    """pycocotools on a label file and a list of results."""
    results = []
    for index, scene in enumerate(SCENES):
        for drawn, confidence in zip(scene.found[side], scene.scores[side].tolist(), strict=True):
            if kind == "segm":
                shape = {"segmentation": mask.encode(np.asfortranarray(found_mask(drawn, scene.size)))}
            else:
                shape = {"keypoints": drawn.keypoints.ravel().tolist()}
            results.append(
                {"image_id": 10 + index, "category_id": CATEGORIES[drawn.number], "score": confidence} | shape
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        if kind == "keypoints":
            evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    named = zip(STATS[kind], evaluation.stats, strict=False)
    return {name: value for name, value in named if name is not None and value > -1}


def check_by_hand(path, metrics):
    for side, name in enumerate(SIDES):
        expected = by_hand(path, side, "segm") | by_hand(path, side, "keypoints")
        assert len(expected) >= 7
        assert 0.05 < expected["mask_map"] < 0.95
        assert 0.05 < expected["keypoint_map"] < 0.95
        actual = {key: value for key, value in metrics[name].items() if key in expected}
        assert actual == pytest.approx(expected, abs=1e-12)
    assert metrics["float"]["mask_map"] > metrics["quantized"]["mask_map"]


def test_the_numbers_are_those_of_pycocotools(of_json):
    check_by_hand("labels.json", of_json[1])


def test_so_they_are_of_codes_crowds_and_objects_without_key_points():
    write_coco("forms.json", forms=True)
    check_by_hand("forms.json", score("file:forms.json").metrics())


def test_the_difference_has_an_interval(of_json):
    metrics = of_json[1]
    difference = metrics["difference"]
    for name in ("map", "mask_map", "keypoint_map"):
        assert difference[name] == metrics["quantized"][name] - metrics["float"][name]
        assert difference[f"{name}_low"] < difference[f"{name}_high"] < 0
    for name in ("mask_agreement", "keypoint_agreement"):
        assert metrics[f"{name}_low"] < metrics[f"{name}_high"]
    line = accuracy_line(metrics, "picture")
    assert f"masks mAP50-95 float {metrics['float']['mask_map']:.4f}, quantized" in line
    assert f"key points mAP50-95 float {metrics['float']['keypoint_map']:.4f}, quantized" in line
    assert line.count("mask_map") == 0


def test_polygons_as_text_give_what_they_give_as_json(of_json):
    write_yolo("polygons", "polygons")
    as_text = score("file:polygons", slice(2)).metrics()
    for key in (*SIDES, "difference", "boxes"):
        expected = {name: value for name, value in of_json[1][key].items() if not name.startswith("keypoint_")}
        assert as_text[key] == pytest.approx(expected, abs=1e-12)
    assert {"mask_map", "mask_map50", "mask_map_small"} <= as_text["float"].keys()


@pytest.mark.parametrize("form", ["points", pytest.param("points_alone", marks=pytest.mark.slow)])
def test_key_points_as_text_give_what_they_give_as_json(form):
    """But for the area, which the text does not have: .53 of the box stands for it."""
    content = json.loads(Path("labels.json").read_text())
    for one in content["annotations"]:
        one["area"] = 0.53 * one["bbox"][2] * one["bbox"][3]
    Path("areas.json").write_text(json.dumps(content))
    write_yolo(form, form)
    as_json, as_text = (score(f"file:{name}", slice(2, 3)).metrics() for name in ("areas.json", form))
    for side in SIDES:
        assert as_text[side] == pytest.approx(as_json[side], abs=1e-9)
        assert "keypoint_map" in as_json[side]


def test_each_class_has_the_precisions_of_all_shapes(of_json):
    scored, metrics = of_json
    table = list(csv.DictReader(by_class_csv(scored.by_class()).splitlines()))
    assert list(table[0]) == [
        "class", "count", "float", "quantized", "mask_float", "mask_quantized", "keypoint_float", "keypoint_quantized",
    ]  # fmt: skip
    assert [(row["class"], row["count"]) for row in table] == [("0", "8"), ("1", "4")]
    for side in SIDES:
        for prefix in ("mask", "keypoint"):
            values = [float(row[f"{prefix}_{side}"]) for row in table]
            assert np.mean(values) == pytest.approx(metrics[side][f"{prefix}_map"])


def test_one_metric_is_what_all_of_them_say(of_json):
    scored, metrics = of_json
    for name in (MASK_MAP, KEYPOINT_MAP):
        assert scored.value(name) == metrics["quantized"][name]
        difference = metrics["difference"]
        assert scored.interval(name) == (difference[f"{name}_low"], difference[f"{name}_high"])
    for name in (MASK_AGREEMENT, KEYPOINT_AGREEMENT):
        assert scored.value(name) == metrics[name]
        assert scored.interval(name) == (metrics[f"{name}_low"] - 1, metrics[f"{name}_high"] - 1)


def test_labels_without_shapes_are_said(capsys):
    write_yolo("boxes", "points")
    for path in Path("boxes").iterdir():
        lines = [" ".join(line.split()[:5]) for line in path.read_text().splitlines()]
        path.write_text("\n".join(lines))
    scored = score("file:boxes")
    metrics = scored.metrics()
    assert [key for key in metrics["float"] if not key.startswith("map")] == []
    assert {"mask_agreement", "keypoint_agreement"} <= metrics.keys()
    assert [row.of_shapes for row in scored.by_class()] == [{}, {}]
    assert (scored.value(MASK_MAP), scored.interval(KEYPOINT_MAP)) == (None, None)
    said = capsys.readouterr().err
    assert said.count("12 of 12 labelled objects have a box and no mask: no mAP of masks") == 1
    assert said.count("none of 12 labelled objects has key points: no mAP of key points") == 1


def test_sigmas_of_another_network_are_refused(monkeypatch):
    monkeypatch.setattr("tests.evaluate.labelled_shapes.SIGMAS", [0.1])
    with pytest.raises(UserError, match=r"kpt_oks_sigmas=\[0\.1\]: the network gives 3 key points"):
        score("file:labels.json", slice(2, 3))


# --- through the pipeline


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "prefix", "near"), [("masks", "mask", 0.02), ("keypoints", "keypoint", 1e-9)])
def test_a_network_with_the_float_networks_own_shapes_as_labels(kind, prefix, near, tmp_path, monkeypatch):
    """What it shows is the truth for all that it finds, both computed here; OpenCV's masks differ at their border."""
    monkeypatch.chdir(tmp_path)
    onnx.save(yolov8(**{kind: 4}), "detector.onnx")
    write_pictures(Path("calibration"), 6, seed=1)
    write_pictures(Path("evaluation"), 3, seed=10)
    Path("conf").symlink_to(REPOSITORY / "conf")
    config = detector_config()
    for stage in (export, calibset, calibrate, quantize):
        stage(config)
    results = own_shapes(config)
    count = write_labels(results)
    assert count > 5
    overrides = ["data.evaluation.task=detection", "data.evaluation.labels=file:own.json"]
    evaluate(detector_config(*overrides))
    metrics = json.loads(Path("out/evaluate/metrics.json").read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO("own.json")
        evaluation = COCOeval(truth, truth.loadRes(results), {"mask": "segm"}.get(prefix, "keypoints"))
        evaluation.params.kpt_oks_sigmas = np.full(4, 0.25)
        for step in (evaluation.evaluate, evaluation.accumulate, evaluation.summarize):
            step()
    expected = evaluation.stats[0]
    assert 0.4 < expected <= 1
    assert metrics["float"][f"{prefix}_map"] == pytest.approx(expected, abs=near)
    assert 0 < metrics["quantized"][f"{prefix}_map"] < metrics["float"][f"{prefix}_map"]
    assert f"{prefix}_map_low" in metrics["difference"]
    table = list(csv.DictReader(Path("out/evaluate/by_class.csv").read_text().splitlines()))
    assert sum(int(row["count"]) for row in table) == count
    assert np.mean([float(row[f"{prefix}_float"]) for row in table]) == pytest.approx(metrics["float"][f"{prefix}_map"])
    name = f"{prefix}_map"
    with open_metric(detector_config(*overrides), onnx.load(FLOAT_MODEL), load_inputs(INPUTS), name) as metric:
        assert metric.of_float() == metrics["float"][name]
        pipeline = Pipeline.open(detector_config(*overrides), QUANTIZE.parent)
        candidate = pipeline.choose_parameters(pipeline.network, config.quant)
        assert metric.of(candidate) == metrics["quantized"][name]


def own_shapes(config):
    """All that the float network finds, in pixels of the picture, as pycocotools reads results."""
    network, results = Runner(FLOAT_MODEL), []
    detector = load_detector(DETECTOR_FILE, config.model.detector, network.outputs)
    for index, path in enumerate(sorted(Path("evaluation").iterdir())):
        picture = cv2.imread(str(path))
        height, width = picture.shape[:2]
        ratio = min(HEIGHT / height, WIDTH / width)
        down, across = round(height * ratio), round(width * ratio)
        top, left = (HEIGHT - down) // 2, (WIDTH - across) // 2
        canvas = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
        canvas[top : top + down, left : left + across] = cv2.resize(picture, (across, down))
        outputs = network.run({"images": ((canvas[..., ::-1].astype(np.float32) - 128) / 64).transpose(2, 0, 1)[None]})
        found, scale = detector.detect(outputs), np.array([across / width, down / height])
        x = ((np.arange(width) + 0.5) * scale[0] + left) / 4 - 0.5
        y = ((np.arange(height) + 0.5) * scale[1] + top) / 4 - 0.5
        grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
        for row in range(len(found)):
            corners = (found.boxes[row].reshape(2, 2).astype(float) - [left, top]) / scale
            result = {
                "image_id": index, "category_id": int(found.classes[row]), "score": float(found.scores[row]),
                "corners": corners.ravel().tolist(), "size": [height, width],
            }  # fmt: skip
            if found.masks is None:
                points = (found.keypoints[row, :, :2].astype(float) - [left, top]) / scale
                result["keypoints"] = np.concatenate([points, np.full((4, 1), 2)], axis=1).ravel().tolist()
            else:
                sums = np.tensordot(found.masks[row], outputs[detector.prototypes.output][0], 1)
                drawn = cv2.remap(sums, *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) > 0
                columns, lines = np.arange(width)[None] + 0.5, np.arange(height)[:, None] + 0.5
                (x0, y0), (x1, y1) = corners
                drawn &= (columns >= x0) & (columns < x1) & (lines >= y0) & (lines < y1)
                result["segmentation"] = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
            results.append(result)
    return results


def write_labels(results):
    """Write the sure ones as labels; gives how many."""
    images, annotations = {}, []
    for result in results:
        index, (height, width) = result["image_id"], result.pop("size")
        images[index] = {"id": index, "file_name": f"{index:03}.png", "height": height, "width": width}
        x0, y0, x1, y1 = result.pop("corners")
        if result["score"] < 0.4:
            continue
        sides = [x1 - x0, y1 - y0]
        label = {key: value for key, value in result.items() if key != "score"}
        label |= {"id": len(annotations) + 1, "bbox": [x0, y0, *sides], "area": sides[0] * sides[1], "iscrowd": 0}
        if "keypoints" in label:
            label["num_keypoints"] = 4
        else:
            code = label["segmentation"]
            label["segmentation"] = {"size": code["size"], "counts": code["counts"].decode()}
        annotations.append(label)
    content = {"info": {}, "images": list(images.values()), "annotations": annotations}
    Path("own.json").write_text(json.dumps(content | {"categories": [{"id": number} for number in range(3)]}))
    return len(annotations)


def test_of_several_outputs_the_worst_is_named():
    metrics = {"count": 2, "fidelity": 0.5, "cosine": 0.9}
    assert accuracy_line(metrics, "picture", worst="b").startswith(
        "outputs on 2 pictures: fidelity 0.5000 (of b, the worst output)"
    )
    assert accuracy_line(metrics, "picture").startswith("outputs on 2 pictures: fidelity 0.5000, cosine 0.9000")
