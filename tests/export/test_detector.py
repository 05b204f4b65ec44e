"""A detector's head in export: found, cut off, and said."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stages.core.base.errors import UserError
from stages.core.config.schema import DetectorConfig, DetectorKind, ModelConfig
from stages.core.graph.session import Runner
from stages.export.detector import detector_lines, find_head, without_decoding
from tests.core.heads.exporters import HEIGHT, WIDTH, centerface, rockchip, yolov5, yolov8, yolox
from tests.networks import tiny_classifier

CONFIG = ModelConfig(name="net")
WHOLE = replace(CONFIG, cut=False)


def lines_of(model, config=CONFIG):
    return detector_lines(find_head(model, config), [info.name for info in model.graph.output])


def test_a_classifier_has_no_line():
    assert lines_of(tiny_classifier()) == []


def test_a_network_ends_at_its_last_convolutions():
    head, cut = lines_of(yolov8())
    assert head.startswith("detector: YOLOv8-like: 3 levels at strides 8, 16, 32")
    assert cut.startswith("cut: the network ends at its 6 last convolutions, and boxes are decoded in float")
    exported = find_head(yolov8(), CONFIG)
    model = without_decoding(yolov8(), exported.head)
    assert [info.name for info in model.graph.output] == exported.head.tensors
    picture = np.ones((1, 3, HEIGHT, WIDTH), np.float32)
    values = Runner(model).run({"images": picture})
    (expected,) = Runner(yolov8()).run({"images": picture}).values()
    scores = exported.head.predict(values).scores
    np.testing.assert_allclose(scores, expected[0, 4:].T, atol=1e-6)


def test_prototypes_stay_outputs():
    model = yolov8(masks=8)
    head = find_head(model, CONFIG).head
    ends = [info.name for info in without_decoding(model, head).graph.output]
    assert ends == [*head.tensors, model.graph.output[1].name]


def test_the_whole_graph_is_kept_for_who_asks_for_it():
    outputs = replace(CONFIG, outputs=[yolov8().graph.output[0].name])
    for config in (WHOLE, outputs):
        assert not find_head(yolov8(), config).cut
        head, note = lines_of(yolov8(), config)
        assert head.startswith("detector: YOLOv8-like")
        assert "joins boxes in pixels and scores" in note
        assert note.endswith("python -m stages.compose --keep model.cut=true model.outputs=[]")


def test_offsets_and_scores_in_one_output_are_of_like_range():
    assert len(lines_of(yolox(), WHOLE)) == 1
    assert len(lines_of(yolox(decoded=True), WHOLE)) == 2


def test_outputs_that_are_the_last_convolutions_are_as_good_as_cut():
    exported = find_head(yolov8(), CONFIG)
    model = without_decoding(yolov8(), exported.head)
    named = replace(CONFIG, outputs=exported.head.tensors, detector=DetectorConfig(kind=DetectorKind.none))
    assert find_head(model, named) is None
    for model in (centerface(), rockchip()):
        assert [line.partition(":")[0] for line in lines_of(model)] == ["detector", "cut"]


def test_anchors_that_the_graph_does_not_have_are_the_users():
    model = yolov5(end="sigmoid")
    assert find_head(model, CONFIG) is None
    anchors = [10.0, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]
    for kind in (DetectorKind.auto, DetectorKind.yolov5):
        detector = DetectorConfig(kind=kind, anchors=anchors)
        assert find_head(model, replace(CONFIG, detector=detector)).head.kind == "yolov5"


def test_a_named_kind_that_the_network_is_not_is_refused():
    config = replace(CONFIG, detector=DetectorConfig(kind=DetectorKind.yolox))
    assert find_head(yolox(), config).head.kind == "yolox"
    with pytest.raises(UserError, match=r"^model\.detector\.kind=yolox: the network's last convolutions are no such"):
        find_head(yolov8(), config)


def test_a_yolov5_that_is_none_is_not_told_to_have_anchors():
    config = replace(CONFIG, detector=DetectorConfig(kind=DetectorKind.yolov5))
    with pytest.raises(UserError, match=r"^model\.detector\.kind=yolov5: the network's last convolutions are no such"):
        find_head(yolov8(), config)
    assert find_head(yolov5(), config).head.kind == "yolov5"  # the graph has the anchors
    with pytest.raises(UserError, match=r"^model\.detector\.anchors=\[\]: .* w,h,w,h,\.\.\., 3 for each of the 3 stri"):
        find_head(yolov5(end="sigmoid"), config)


def test_another_number_of_classes_than_the_heads_is_refused():
    count = find_head(yolov8(), CONFIG).head.classes
    assert find_head(yolov8(), replace(CONFIG, detector=DetectorConfig(classes=count)))
    with pytest.raises(UserError) as caught:
        find_head(yolov8(), replace(CONFIG, detector=DetectorConfig(classes=count + 1)))
    assert str(caught.value) == (
        f"model.detector.classes={count + 1}: the network's YOLOv8-like head has {count}; leave it null"
    )


def test_rows_that_a_suppression_leaves_are_cut_or_refused():
    model = yolov8(select="nms")
    assert find_head(model, CONFIG).cut
    with pytest.raises(
        UserError, match=r"^the outputs have as many rows as NonMaxSuppression finds, .* model\.cut=true"
    ):
        find_head(model, WHOLE)
    assert not find_head(yolov8(bins=1, select="top_k"), WHOLE).cut


def test_a_function_of_the_users_needs_no_head():
    config = replace(CONFIG, detector=DetectorConfig(function="mine:decode"))
    assert find_head(yolov8(), config) is None


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
    assert lines_of(model) == []
