"""What is read from a whole graph's outputs is what the head decodes from its last convolutions."""

import json

import numpy as np
import pytest

from stages.core.graph.session import Runner, with_outputs
from stages.core.heads.head_file import ExportedHead, from_json, to_json
from stages.core.heads.output_reader import can_read, read_outputs
from stages.core.heads.recognize import recognize
from tests.core.heads import exporters

MODELS = {
    "YOLOv8": exporters.yolov8(),
    "YOLOv8, rows": exporters.yolov8(layout="rows"),
    "YOLOv6": exporters.yolov8(layout="yolov6"),
    "YOLOv8, apart": exporters.yolov8(layout="apart"),
    "YOLOv8-pose": exporters.yolov8(classes=1, keypoints=4),
    "YOLOv8-seg": exporters.yolov8(masks=8),
    "YOLOv8 as it trains": exporters.yolov8_levels(),
    "YOLO26": exporters.yolov8(bins=1),
    "Rockchip": exporters.rockchip(),
    "YOLOv5": exporters.yolov5(),
    "YOLOv3": exporters.yolov5("v3"),
    "YOLOv5-face": exporters.yolov5_face(),
    "YOLOX": exporters.yolox(),
    "YOLOX, decoded": exporters.yolox(decoded=True),
    "NanoDet-Plus": exporters.nanodet_plus(),
    "UltraFace": exporters.ssd({8: (10, 16), 16: (32, 48)}),
    "SSD of three classes": exporters.ssd({8: (10, 16), 16: (32, 48)}, classes=4),
    "CenterFace": exporters.centerface(),
    "FastestDet": exporters.fastestdet(),
}


def values_of(model, head):
    """The graph's outputs and its last convolutions' on a random picture."""
    picture = np.random.default_rng(5).uniform(0, 1, (1, 3, exporters.HEIGHT, exporters.WIDTH)).astype(np.float32)
    outputs = [info.name for info in model.graph.output]
    values = Runner(with_outputs(model, [*outputs, *head.tensors])).run({"images": picture})
    return {name: values[name] for name in outputs}, {name: values[name] for name in head.tensors}


@pytest.mark.parametrize("name", MODELS)
def test_the_outputs_hold_what_the_head_decodes(name):
    model = MODELS[name]
    head = recognize(model)
    outputs, cut_values = values_of(model, head)
    assert can_read(head, {key: value.shape for key, value in outputs.items()})
    read, expected = read_outputs(head, outputs), head.decode(cut_values)
    np.testing.assert_allclose(read.boxes, expected.boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(read.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(read.classes, expected.classes)
    for one, other in ((read.keypoints, expected.keypoints), (read.masks, expected.masks)):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_head_comes_back_from_its_file(name):
    head = recognize(MODELS[name])
    for cut in (False, True):
        content = json.loads(json.dumps(to_json(ExportedHead(head, cut))))
        assert from_json(content) == ExportedHead(head, cut)
    assert from_json(to_json(None)) is None


def test_values_go_back_to_where_they_were_read():
    head = recognize(exporters.yolov5())
    _, cut_values = values_of(exporters.yolov5(), head)
    again = head.unread({kind: head.read(kind, cut_values) for kind in head.kinds})
    assert set(again) == set(cut_values)
    for name, value in cut_values.items():
        np.testing.assert_array_equal(again[name], value)


def test_rows_that_were_chosen_are_read_where_they_have_score_and_class():
    model = exporters.yolov8(bins=1, select="top_k")
    head = recognize(model)
    assert not can_read(head, {"y": (1, 20, 5)})
    assert can_read(head, {"y": (1, 20, 6)})
    found = read_outputs(head, {"y": np.array([[[1, 2, 3, 4, 0.5, 7]]], np.float32)})
    assert (found.boxes.tolist(), found.scores.tolist(), found.classes.tolist()) == ([[1, 2, 3, 4]], [0.5], [7])
