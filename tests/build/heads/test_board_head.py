import pytest

from stages.build.board_outputs import BoardOutput
from stages.build.heads.board_head import Place, board_head
from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind
from stages.core.heads.families.anchors import AnchorHead
from stages.core.heads.families.cells import CellHead
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.head import Kind, Level, View
from stages.core.heads.head_file import ExportedHead

ANCHORS = [10.0, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]
V5 = DetectorConfig(kind=DetectorKind.yolov5, anchors=ANCHORS, classes=80)


def yolox(classes=80, **more):
    return DetectorConfig(kind=DetectorKind.yolox, classes=classes, **more)


def floats(*shapes):
    return [BoardOutput(f"y{index}", shape, None) for index, shape in enumerate(shapes)]


def joined(tensor, classes):
    step = 5 + classes
    return {
        Kind.boxes: View(tensor, 0, 4, step),
        Kind.objectness: View(tensor, 4, 1, step),
        Kind.classes: View(tensor, 5, classes, step),
    }


def test_yolox_in_one_tensor():
    # 416: grids of 52, 26 and 13 cells, 3549 rows of 4 + 1 + 80 numbers
    board = board_head(None, yolox(), floats((1, 3549, 85)), 416, 416)
    names = [f"y0, stride {stride}" for stride in (8, 16, 32)]
    levels = [
        Level(stride, side, side, joined(name, 80), ((stride, stride),))
        for stride, side, name in zip((8, 16, 32), (52, 26, 13), names, strict=True)
    ]
    assert board.head == CellHead(416, 416, tuple(levels))
    assert board.places == dict(zip(names, (Place(0, 0, 85), Place(0, 229840, 85), Place(0, 287300, 85)), strict=True))
    assert not board.logits
    assert board.sizes == (3549 * 85,)


def test_an_output_a_stride():
    shapes = floats((1, 48, 80, 6), (1, 24, 40, 6), (1, 12, 20, 6))
    board = board_head(None, yolox(classes=1, logits=True), shapes, 384, 640)
    assert board.head.levels[1] == Level(16, 24, 40, joined("y1", 1), ((16, 16),))
    assert board.places == {"y0": Place(0, 0, 6), "y1": Place(1, 0, 6), "y2": Place(2, 0, 6)}
    assert board.logits


def test_box_objectness_and_classes_apart():
    shapes = [(1, side, side, channels) for side in (52, 26, 13) for channels in (4, 1, 80)]
    board = board_head(None, yolox(), floats(*shapes), 416, 416)
    views = {
        Kind.boxes: View("y6", 0, 4, 4),
        Kind.objectness: View("y7", 0, 1, 1),
        Kind.classes: View("y8", 0, 80, 80),
    }
    assert board.head.levels[2] == Level(32, 13, 13, views, ((32, 32),))
    assert board.places["y7"] == Place(7, 0, 1)


def test_yolov5_has_anchors():
    board = board_head(None, V5, floats((1, 48, 80, 255), (1, 24, 40, 255), (1, 12, 20, 255)), 384, 640)
    assert isinstance(board.head, AnchorHead)
    assert [(level.columns, level.rows, level.anchors) for level in board.head.levels] == [
        (80, 48, ((10, 13), (16, 30), (33, 23))),
        (40, 24, ((30, 61), (62, 45), (59, 119))),
        (20, 12, ((116, 90), (156, 198), (373, 326))),
    ]
    assert board.head.levels[0].views == joined("y0", 80)
    assert board.logits


SCORED = {Kind.boxes: View("b", 0, 4, 4), Kind.classes: View("c", 0, 2, 2)}
EXPORTED = DistanceHead(16, 24, (Level(8, 2, 3, SCORED, ((8, 8),)),))
CUT = [BoardOutput("prototypes", (1, 4, 6, 8), None), BoardOutput("c", (1, 2, 3, 2), None),
       BoardOutput("b", (1, 2, 3, 4), None)]  # fmt: skip


@pytest.mark.parametrize("kind", [DetectorKind.auto, DetectorKind.yolox])
def test_a_network_that_was_cut_has_the_exported_head(kind):
    board = board_head(ExportedHead(EXPORTED, cut=True), DetectorConfig(kind=kind), CUT, 16, 24)
    assert board.head is EXPORTED
    assert board.places == {"b": Place(2, 0, 4), "c": Place(1, 0, 2)}
    assert board.logits
    assert board.sizes == (192, 12, 24)


@pytest.mark.parametrize(
    ("exported", "config"),
    [
        (None, DetectorConfig()),
        (ExportedHead(EXPORTED, cut=False), DetectorConfig()),
        (ExportedHead(EXPORTED, cut=True), DetectorConfig(function="mine:decode")),
        (ExportedHead(EXPORTED, cut=True), DetectorConfig(kind=DetectorKind.none)),
        (None, yolox(function="mine:decode")),
    ],
)
def test_what_the_board_does_not_decode(exported, config):
    assert board_head(exported, config, CUT, 16, 24) is None


@pytest.mark.parametrize(
    ("detector", "shapes", "message"),
    [
        (yolox(classes=20), [(1, 3549, 85)], "need outputs of shape [1, 25, 52, 52] and [1, 25, 26, 26] and"),
        (yolox(strides=[8, 16]), [(1, 3549, 85)], "[1, 85, 26, 26], or [1, 3380, 85], or box, objectness and"),
        (yolox(), [(1, 52, 52, 85), (1, 13, 13, 85), (1, 26, 26, 85)], "are y0 [1, 85, 52, 52], y1 [1, 85, 13, 13]"),
        (V5, [(1, 3, 52, 52, 85)], "[1, 255, 52, 52] and"),
        (V5, [(1, 10647, 85)], "name the tensors in model.outputs"),
    ],
)
def test_other_outputs_are_refused(detector, shapes, message):
    with pytest.raises(UserError) as caught:
        board_head(None, detector, floats(*shapes), 416, 416)
    assert str(caught.value).startswith(f"model.detector: kind={detector.kind.value}, strides {detector.strides}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_exported_head_says_how_many_classes_there_are():
    config = DetectorConfig(kind=DetectorKind.yolox)
    exported = ExportedHead(EXPORTED, cut=False)
    shapes = floats(*((1, side, side, 5 + EXPORTED.classes) for side in (52, 26, 13)))
    assert board_head(exported, config, shapes, 416, 416).head.classes == EXPORTED.classes
    with pytest.raises(UserError, match=r"^model\.detector\.classes=null: no head is known that says how many"):
        board_head(None, config, shapes, 416, 416)


def test_a_yolov5_that_is_not_cut_needs_its_anchors():
    config = DetectorConfig(kind=DetectorKind.yolov5, classes=80)
    with pytest.raises(UserError, match=r"model\.detector\.anchors: give them, or leave model\.cut=true"):
        board_head(None, config, floats((1, 10647, 85)), 416, 416)
