from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.diagnosis import cell_decoding
from benchmarks.diagnosis.detector_faults import DETECTORS, FAULTS, DetectorFault
from benchmarks.diagnosis.detectors import base_overrides, hold_detector_bars
from benchmarks.diagnosis.head_graphs import boxes_in_cells, class_layers, last_join, scores_first
from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph

JOINED = DetectorFault("joined", "nudenet", "parts")
ROW = {"first_finding": "parts", "node": "join", "before": 0.1, "after": 0.985, "sound": 0.99}


def passed(fault: DetectorFault, **changes: object) -> list[bool]:
    return [result.passed for result in hold_detector_bars(fault, "join", ROW | changes)]


def test_bars() -> None:
    assert passed(JOINED) == [True, True, True]
    assert passed(JOINED, node="other") == [False, True, True]
    assert passed(JOINED, before=0.985) == [True, False, True]
    assert passed(JOINED, after=0.979) == [True, True, False]
    sound = DetectorFault("sound", "nudenet")
    assert [result.passed for result in hold_detector_bars(sound, None, ROW)] == [False]
    row = ROW | {"first_finding": None, "node": None}
    assert [result.passed for result in hold_detector_bars(sound, "join", row)] == [True]


def test_names_are_apart_and_have_no_comma() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert not any("," in name for name in names)
    assert {fault.detector for fault in FAULTS} == DETECTORS.keys()


def test_the_sound_experiments() -> None:
    data = Path("/a folder")
    assert 'data.evaluation.labels="file:/a folder/coco_train128/labels"' in base_overrides("yolox_nano", data)
    assert not any("labels" in override for override in base_overrides("nudenet", data))
    assert base_overrides("yunet", data) == ["model=yunet", "data=detection_demo", "quant=int8"]


def joined(op_type: str = "Concat") -> onnx.ModelProto:
    """Boxes [1, 4, 2] times strides and scores [1, 3, 2] joined by an operator."""
    nodes = [
        helper.make_node("Mul", ["cells", "strides"], ["boxes"], "scale"),
        helper.make_node(op_type, ["boxes", "scores"], ["y"], "join", axis=1),
    ]
    sizes = {"cells": 4, "scores": 3, "strides": 1, "y": 7}
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size, 2]) for name, size in sizes.items()]
    return helper.make_model(helper.make_graph(nodes, "g", infos[:3], infos[3:]))


def test_scores_before_boxes() -> None:
    model = joined()
    assert list(last_join(scores_first(model)).input) == ["scores", "boxes"]
    assert list(last_join(model).input) == ["boxes", "scores"]
    with pytest.raises(UserError, match="output y is no Concat's"):
        scores_first(joined("Gather"))


def test_boxes_in_cells() -> None:
    model = joined()
    changed = boxes_in_cells(model)
    assert [(node.op_type, list(node.input)) for node in changed.graph.node] == [("Concat", ["cells", "scores"])]
    assert model == joined()
    with pytest.raises(UserError, match="scores, the boxes, are no product with strides"):
        boxes_in_cells(scores_first(model))


def test_a_network_without_a_head_has_no_class_layers() -> None:
    with pytest.raises(UserError, match="no head"):
        class_layers(Graph(joined()), None)


def test_boxes_in_cells_become_pixels() -> None:
    """Columns 0, 40 * 40 and 40 * 40 + 20 * 20 are the first cells of strides 8, 16 and 32."""
    columns = np.zeros((1, 6, 2100), np.float32)
    columns[0, :, 0] = [1, 2, 2, 4, 0.2, 0.8]
    columns[0, :, 1600] = [1, 1, 1, 1, 0.25, 0]
    columns[0, :, 2000] = [2, 2, 2, 2, 0, 0]
    boxes, scores, classes = cell_decoding.decode({"decoded": columns})
    np.testing.assert_array_equal(boxes[[0, 1600, 2000]], [[0, 0, 16, 32], [8, 8, 24, 24], [32, 32, 96, 96]])
    np.testing.assert_allclose(scores[[0, 1600, 2000]], [0.8, 0.25, 0])
    np.testing.assert_array_equal(classes[[0, 1600]], [1, 0])
