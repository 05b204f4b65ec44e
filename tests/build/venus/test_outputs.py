import pytest

from stages.build.venus.outputs import BoardOutput, Level, View, board_outputs, levels
from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.model import QuantParams
from stages.core.integer.qparams import FeatureParams, NetworkParams, RangeSource
from tests.networks import tiny_classifier

ANCHORS = [10.0, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]


def yolox(classes=80, **more):
    return DetectorConfig(kind=DetectorKind.yolox, classes=classes, **more)


def floats(*shapes):
    return [BoardOutput(f"y{index}", shape, None) for index, shape in enumerate(shapes)]


def feature(tensor):
    return FeatureParams(tensor, "node", 8, 0.5, 7, -3.5, 124.0, -3.0, 100.0, RangeSource.MSE)


V5 = DetectorConfig(kind=DetectorKind.yolov5, anchors=ANCHORS)


def test_an_output_with_codes_and_a_picture_shaped_one_lies_nhwc():
    model = tiny_classifier()
    model.graph.output.append(next(info for info in Graph(model).model.graph.output))
    model.graph.output[1].name = "r2"
    del model.graph.output[1].type.tensor_type.shape.dim[:]
    for size in (1, 8, 8, 4):
        model.graph.output[1].type.tensor_type.shape.dim.add().dim_value = size
    graph = Graph(model)
    graph.shapes["r2"] = [1, 8, 6, 4]
    found = board_outputs(graph, NetworkParams([feature("r1"), feature("r2")], []))
    assert found == [BoardOutput("logits", (1, 3), None), BoardOutput("r2", (1, 6, 4, 8), QuantParams(8, 0.5, 7))]


def test_yolox_in_one_tensor():
    # 416: grids of 52, 26 and 13 cells, 3549 rows of 4 + 1 + 80 numbers
    assert levels(yolox(), floats((1, 3549, 85)), 416, 416) == [
        Level(8, 52, 52, (), View(0, 0, 85), View(0, 4, 85), View(0, 5, 85)),
        Level(16, 26, 26, (), View(0, 229840, 85), View(0, 229844, 85), View(0, 229845, 85)),
        Level(32, 13, 13, (), View(0, 287300, 85), View(0, 287304, 85), View(0, 287305, 85)),
    ]


def test_an_output_a_stride():
    found = levels(yolox(classes=1), floats((1, 48, 80, 6), (1, 24, 40, 6), (1, 12, 20, 6)), 384, 640)
    assert found[1] == Level(16, 40, 24, (), View(1, 0, 6), View(1, 4, 6), View(1, 5, 6))


def test_box_objectness_and_classes_apart():
    shapes = [(1, side, side, channels) for side in (52, 26, 13) for channels in (4, 1, 80)]
    found = levels(yolox(), floats(*shapes), 416, 416)
    assert found[2] == Level(32, 13, 13, (), View(6, 0, 4), View(7, 0, 1), View(8, 0, 80))


def test_yolov5_has_anchors():
    detector = DetectorConfig(kind=DetectorKind.yolov5, anchors=ANCHORS)
    found = levels(detector, floats((1, 48, 80, 255), (1, 24, 40, 255), (1, 12, 20, 255)), 384, 640)
    assert [(level.columns, level.rows, level.anchors) for level in found] == [
        (80, 48, (10, 13, 16, 30, 33, 23)),
        (40, 24, (30, 61, 62, 45, 59, 119)),
        (20, 12, (116, 90, 156, 198, 373, 326)),
    ]


@pytest.mark.parametrize(
    ("detector", "shapes", "said"),
    [
        (yolox(classes=20), [(1, 3549, 85)], "take outputs of shape [1, 25, 52, 52] and [1, 25, 26, 26] and"),
        (yolox(strides=[8, 16]), [(1, 3549, 85)], "[1, 85, 26, 26], or [1, 3380, 85], or box, objectness and"),
        (yolox(), [(1, 52, 52, 85), (1, 13, 13, 85), (1, 26, 26, 85)], "are y0 [1, 85, 52, 52], y1 [1, 85, 13, 13]"),
        (V5, [(1, 3, 52, 52, 85)], "[1, 255, 52, 52] and"),
        (V5, [(1, 10647, 85)], "name the tensors in model.outputs"),
    ],
)
def test_other_outputs_are_refused(detector, shapes, said):
    with pytest.raises(UserError) as caught:
        levels(detector, floats(*shapes), 416, 416)
    assert str(caught.value).startswith(f"model.detector: kind={detector.kind.value}, strides {detector.strides}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
