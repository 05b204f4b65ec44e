"""What export says of a detector's head."""

from stages.export.detector import detector_lines
from tests.core.heads.exporters import centerface, rockchip, yolov8
from tests.networks import tiny_classifier


def test_a_classifier_has_no_line():
    assert detector_lines(tiny_classifier()) == []


def test_joined_boxes_and_scores_are_said_with_where_to_cut():
    head, note = detector_lines(yolov8())
    assert head.startswith("detector: YOLOv8-like: 3 levels at strides 8, 16, 32")
    assert "and so one scale: at few bits every score may become 0" in note
    listed = note.partition("'model.outputs=[")[2].removesuffix("]'").split(", ")
    convolutions = {node.output[0] for node in yolov8().graph.node if node.op_type == "Conv"}
    assert len(listed) == 6
    assert set(listed) <= convolutions


def test_outputs_apart_need_no_cut():
    for model in (centerface(), rockchip()):
        lines = detector_lines(model)
        assert [line.partition(":")[0] for line in lines] == ["detector"]
