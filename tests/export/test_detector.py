"""What export says of a detector's head."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from stages.export.detector import detector_lines
from tests.core.heads.exporters import centerface, rockchip, yolov8, yolox
from tests.networks import tiny_classifier


def test_a_classifier_has_no_line():
    assert detector_lines(tiny_classifier()) == []


def test_joined_boxes_and_scores_are_said_with_where_to_cut():
    head, note = detector_lines(yolov8())
    assert head.startswith("detector: YOLOv8-like: 3 levels at strides 8, 16, 32")
    assert "and so one scale: at few bits every score may become 0" in note
    listed = note.partition("--keep 'model.outputs=[")[2].removesuffix("]'").split(",")
    convolutions = {node.output[0] for node in yolov8().graph.node if node.op_type == "Conv"}
    assert len(listed) == 6
    assert set(listed) <= convolutions


def test_outputs_apart_need_no_cut():
    for model in (centerface(), rockchip()):
        lines = detector_lines(model)
        assert [line.partition(":")[0] for line in lines] == ["detector"]


def test_offsets_and_scores_in_one_output_are_of_like_range():
    assert len(detector_lines(yolox())) == 1
    assert len(detector_lines(yolox(decoded=True))) == 2


def test_a_tail_that_random_values_lead_out_of_range_is_no_detector():
    graph = onnx.parser.parse_graph(
        """g (float[1, 3, 8, 8] x) => (float[1] y)
        <float[3, 3, 1, 1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}, float[2] table = {1, 2}> {
            c = Conv(x, w)
            m = ReduceMax<keepdims = 0>(c)
            i = Cast<to = 7>(m)
            n = Mul(i, i)
            s = Reshape(n, one)
            y = Gather(table, s)
        }"""
    )
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    assert detector_lines(model) == []
