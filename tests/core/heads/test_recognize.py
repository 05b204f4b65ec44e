"""Heads of exporters' graphs are found, and none where there is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.core.base.errors import UserError
from stages.core.graph.session import Runner, with_outputs
from stages.core.heads.head import Head, Kind
from stages.core.heads.head_file import ExportedHead, load_head, to_json
from stages.core.heads.recognize import recognize
from stages.core.heads.tail import find_tail
from tests.core.heads import exporters
from tests.core.heads.exporters import ANCHORS, HEIGHT, WIDTH
from tests.core.heads.others import NO_DETECTORS

ULTRAFACE = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
RETINAFACE = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
TWO_ANCHORS = {16: ((10, 14), (23, 27)), 32: ((37, 58), (81, 82))}

DECODED: dict[str, tuple[onnx.ModelProto, str]] = {
    "yolov8": (exporters.yolov8(), "YOLOv8-like"),
    "yolov8, rows first": (exporters.yolov8(layout="rows"), "YOLOv8-like"),
    "yolov8, two outputs": (exporters.yolov8(layout="apart"), "YOLOv8-like"),
    "yolov8, as many classes as distances": (exporters.yolov8(classes=64), "YOLOv8-like"),
    "yolov8, another number of bins": (exporters.yolov8(bins=12), "YOLOv8-like"),
    "yolov8, one class": (exporters.yolov8(classes=1), "YOLOv8-like"),
    "yolov8-pose": (exporters.yolov8(classes=1, keypoints=17), "YOLOv8-like"),
    "yolov8-pose, x and y of three": (exporters.yolov8(classes=1, keypoints=3, visible=False), "YOLOv8-like"),
    "yolov8-seg": (exporters.yolov8(masks=8), "YOLOv8-like"),
    "yolo26 without its one-to-one head": (exporters.yolov8(bins=1), "YOLO26-like"),
    "yolov6": (exporters.yolov8(bins=1, layout="yolov6"), "YOLO26-like"),
    "yolov5": (exporters.yolov5(), "YOLOv5-like"),
    "yolov5, one class": (exporters.yolov5(classes=1), "YOLOv5-like"),
    "yolov5-seg": (exporters.yolov5(masks=8), "YOLOv5-like"),
    "yolov5-face": (exporters.yolov5_face(), "YOLOv5-like"),
    "yolov7": (exporters.yolov5("v7"), "YOLOv5-like"),
    "yolov3": (exporters.yolov5("v3"), "YOLOv3-like"),
    "yolov3-tiny": (exporters.yolov5("v3", anchors=TWO_ANCHORS), "YOLOv3-like"),
    "yolox": (exporters.yolox(decoded=True), "YOLOX-like"),
    "yolox, joined": (exporters.yolox(decoded=True, joined_convolution=True), "YOLOX-like"),
    "ultraface": (exporters.ssd(ULTRAFACE, even=True), "SSD-like"),
    "ssd": (exporters.ssd({8: (10, 16), 16: (32, 48)}, classes=4), "SSD-like"),
}


def of_picture(model: onnx.ModelProto, head: Head) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Cut tensors and outputs for a random picture."""
    picture = np.random.default_rng(5).random((1, 3, HEIGHT, WIDTH), np.float32)
    outputs = [output.name for output in model.graph.output]
    values = Runner(with_outputs(model, [*head.tensors, *outputs])).run({"images": picture})
    return {name: values[name] for name in head.tensors}, [values[name] for name in outputs]


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2])


@pytest.mark.parametrize(("model", "family"), DECODED.values(), ids=DECODED)
def test_decodes_as_the_graph_does(model: onnx.ModelProto, family: str) -> None:
    head = recognize(model)
    assert head is not None
    assert head.evidence is not None
    assert head.evidence.decoded
    assert head.evidence.difference < 1e-4
    assert str(head).startswith(f"{family}: ")
    predictions = head.predict(find_tail(model).cut_values)
    assert {predictions.boxes.dtype, predictions.scores.dtype} == {np.dtype(np.float32)}
    convolutions = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
    assert convolutions.issuperset(head.tensors)


@pytest.mark.parametrize("name", ["yolov8", "yolov8, rows first", "yolo26 without its one-to-one head"])
def test_boxes_of_a_picture_are_the_graphs(name: str) -> None:
    model, _ = DECODED[name]
    head = recognize(model)
    cuts, (output,) = of_picture(model, head)
    rows = output[0] if output.shape[2] == 7 else output[0].T
    predictions = head.predict(cuts)
    np.testing.assert_allclose(predictions.boxes, corners(rows[:, :4]), atol=1e-3)
    np.testing.assert_allclose(predictions.scores, rows[:, 4:], atol=1e-5)
    detections = head.decode(cuts)
    np.testing.assert_array_equal(detections.classes, rows[:, 4:].argmax(axis=1))
    np.testing.assert_allclose(detections.scores, rows[:, 4:].max(axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["yolov5", "yolov7", "yolov3", "yolox", "yolox, joined"])
def test_scores_with_objectness_are_products(name: str) -> None:
    model, _ = DECODED[name]
    head = recognize(model)
    cuts, (output,) = of_picture(model, head)
    predictions = head.predict(cuts)
    np.testing.assert_allclose(predictions.boxes, corners(output[0, :, :4]), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(predictions.scores, output[0, :, 4:5] * output[0, :, 5:], atol=1e-5)


def test_anchors_are_read_from_the_decoding() -> None:
    for coding in ("v5", "v7", "v3"):
        head = recognize(exporters.yolov5(coding))
        found = [level.anchors for level in head.levels]
        np.testing.assert_allclose(found, list(ANCHORS.values()), rtol=1e-4)


def test_priors_and_their_pitch_are_read_from_the_decoding() -> None:
    head = recognize(exporters.ssd(ULTRAFACE, even=True))
    assert [len(level.anchors) for level in head.levels] == [3, 2, 2, 3]
    np.testing.assert_allclose(head.levels[1].anchors, [(32, 32), (48, 48)], rtol=1e-4)
    assert head.even
    assert not recognize(exporters.ssd(ULTRAFACE, even=False)).even


def test_background_is_no_class() -> None:
    model = exporters.ssd({8: (10, 16), 16: (32, 48)}, classes=4)
    head = recognize(model)
    cuts, (boxes, scores) = of_picture(model, head)
    assert head.classes == 3
    predictions = head.predict(cuts)
    np.testing.assert_allclose(predictions.scores, scores[0, :, 1:], atol=1e-5)
    np.testing.assert_allclose(predictions.boxes, boxes[0] * [WIDTH, HEIGHT, WIDTH, HEIGHT], atol=1e-3)


def test_pose_has_key_points_and_segmentation_coefficients() -> None:
    model, _ = DECODED["yolov8-pose"]
    head = recognize(model)
    cuts, (output,) = of_picture(model, head)
    np.testing.assert_allclose(head.decode(cuts).keypoints.reshape(-1, 51), output[0, 5:].T, atol=1e-3)
    model, _ = DECODED["yolov8-seg"]
    head = recognize(model)
    cuts, (output, _) = of_picture(model, head)
    np.testing.assert_allclose(head.decode(cuts).masks, output[0, 7:].T, atol=1e-5)
    assert len(head.evidence.others) == 1


@pytest.mark.parametrize(("points", "visible"), [(3, False), (6, False), (2, True)])
def test_what_the_graph_computes_tells_points_with_a_score_from_those_without(points: int, visible: bool) -> None:
    model = exporters.yolov8(bins=1, keypoints=points, visible=visible)
    head = recognize(model)
    assert head.keypoint_count == points
    cuts, (output,) = of_picture(model, head)
    keypoints = head.decode(cuts).keypoints[..., : 3 if visible else 2]
    np.testing.assert_allclose(keypoints.reshape(head.count, -1), output[0, 7:].T, atol=1e-3)


def test_points_that_no_graph_decodes_are_scrfds_x_and_y() -> None:
    channels = {"classes": 1, "boxes": 4, "points": 6}
    assert recognize(exporters.levels_apart(channels, anchors=2, sigmoid=("classes",))).keypoint_count == 3


@pytest.mark.parametrize(("bins", "name"), [(16, "YOLOv10-like"), (1, "YOLO26-like")])
def test_one_to_one_head_is_known_by_its_top_k(bins: int, name: str) -> None:
    head = recognize(exporters.yolov8(bins=bins, select="top_k"))
    assert head.name == name
    assert head.one_to_one
    assert "TopK after it" in str(head)


@pytest.mark.parametrize("select", ["nms", "trt"])
def test_head_before_a_suppression_in_the_graph(select: str) -> None:
    head = recognize(exporters.yolov8(select=select))
    assert head.name == "YOLOv8-like"
    assert not head.one_to_one
    assert recognize(exporters.yolov5(end="nms")).name == "YOLOv5-like"


UNDECODED: dict[str, tuple[onnx.ModelProto, str]] = {
    "yolox": (exporters.yolox(), "YOLOX-like"),
    "yunet": (
        exporters.levels_apart(
            {"classes": 1, "objectness": 1, "boxes": 4, "points": 10}, sigmoid=("classes", "objectness")
        ),
        "YuNet-like",
    ),
    "nanodet": (exporters.levels_apart({"classes": 80, "boxes": 32}, sigmoid=("classes",)), "NanoDet-like"),
    "pp-yoloe": (exporters.levels_apart({"classes": 3, "boxes": 68}, sigmoid=("classes",)), "YOLOv8-like"),
    "nanodet-plus": (exporters.nanodet_plus(), "NanoDet-Plus-like"),
    "yolov8, rockchip": (exporters.rockchip(), "YOLOv8-like"),
    "yolov8, as it trains": (exporters.yolov8_levels(), "YOLOv8-like"),
    "scrfd": (
        exporters.levels_apart({"classes": 1, "boxes": 4, "points": 10}, anchors=2, sigmoid=("classes",)),
        "SCRFD-like",
    ),
    "ultraface": (exporters.ssd(ULTRAFACE, decoded=False), "UltraFace-like"),
    "retinaface": (exporters.ssd(RETINAFACE, decoded=False, keypoints=True), "RetinaFace-like"),
    "centerface": (exporters.centerface(), "CenterFace-like"),
    "fastestdet": (exporters.fastestdet(), "FastestDet-like"),
}


@pytest.mark.parametrize(("model", "family"), UNDECODED.values(), ids=UNDECODED)
def test_says_what_is_trusted_where_the_graph_does_not_decode(model: onnx.ModelProto, family: str) -> None:
    head = recognize(model)
    assert head is not None
    assert str(head).startswith(f"{family}: ")
    assert "; not decoded by the graph: " in str(head)
    assert not head.evidence.decoded


def test_says_so_if_scores_are_logits() -> None:
    assert str(recognize(exporters.yolov8_levels())).endswith(", scores taken as logits")
    assert "logits" not in str(recognize(exporters.rockchip()))


@pytest.mark.parametrize("network", NO_DETECTORS, ids=lambda network: network.__name__)
def test_no_head(network: Callable[[], onnx.ModelProto]) -> None:
    assert recognize(network()) is None


def test_anchors_that_the_graph_lacks_are_given() -> None:
    model = exporters.yolov5(end="sigmoid")
    assert recognize(model) is None
    anchors = [side for level in ANCHORS.values() for anchor in level for side in anchor]
    head = recognize(model, anchors)
    assert "with the anchors given" in str(head)
    decoded = recognize(exporters.yolov5())
    cuts, _ = of_picture(model, head)
    same = replace(decoded, levels=head.levels)
    np.testing.assert_array_equal(head.decode(cuts).boxes, same.decode(cuts).boxes)


def test_description_in_one_line() -> None:
    model = exporters.yolov8(classes=18)
    said, checked = str(recognize(model)).rsplit(" to ", 1)
    name = model.graph.output[0].name
    assert said == (
        "YOLOv8-like: 3 levels at strides 8, 16, 32, 16 distance bins, 18 classes, "
        f"boxes and classes joined in {name} [1, 22, 126]; decoded by the graph, checked"
    )
    assert float(checked) < 1e-4


def test_kinds_of_a_seg_head() -> None:
    assert recognize(exporters.yolov5(masks=8)).kinds == [Kind.boxes, Kind.objectness, Kind.classes, Kind.masks]


def test_a_head_of_an_earlier_version_asks_for_export(tmp_path: Path) -> None:
    head = recognize(exporters.yolov8(bins=1, keypoints=3, visible=False))
    content, path = to_json(ExportedHead(head, cut=True)), tmp_path / "out/export/detector.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    assert load_head(path) == ExportedHead(head, cut=True)
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "keypoint_size"}))
    with pytest.raises(
        UserError,
        match=r"detector\.json is damaged \(no 'keypoint_size'\): run `dvc repro --force --single-item export`",
    ):
        load_head(path)


def test_a_picture_without_a_static_size_is_an_error() -> None:
    with pytest.raises(UserError, match=r"images has the shape \[1, 3, 0, 96\]"):
        recognize(exporters.Exporter().model(height="height"))
