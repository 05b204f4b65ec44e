from dataclasses import replace

import numpy as np
import pytest

from stages.compare.gather.comparison import Comparison
from stages.compare.gather.observed_boxes import BoxObserver, in_picture
from stages.compare.gather.picture_sets import DebugPicture
from stages.core.data.preprocess import Placement
from stages.core.graph.session import Runner
from stages.core.heads.box_counts import BoxCounts
from stages.core.heads.detector import Detector
from stages.core.heads.head_file import ExportedHead
from stages.core.heads.output_reader import read_outputs
from stages.core.heads.recognize import recognize
from tests.compare.detected import detections, observed, picture, row
from tests.core.heads.exporters import HEIGHT, WIDTH, yolov8


def test_a_box_that_only_fell_below_the_threshold_is_not_lost():
    """Missed from the threshold on, since 0.3 is not shown; of 0.19 nothing is left at half the threshold, 0.2."""
    fainter = picture(row(3), detections((0, 0.8, 0), (1, 0.3, 0), (2, 0.19, 0)))
    assert fainter.matches.missed.tolist() == [1, 2]
    assert fainter.lost.tolist() == [2]


def test_a_box_that_only_rose_above_the_threshold_is_not_invented():
    risen = picture(detections((0, 0.3, 0), (1, 0.19, 0)), row(2))
    assert risen.matches.invented.tolist() == [0, 1]
    assert risen.invented.tolist() == [1]


def test_counts_over_the_pictures():
    boxes = observed(picture(row(3), row([0, 5])), picture(row(1, number=2), row(1)))
    assert boxes.counts == BoxCounts(pictures=2, count=4, quantized_count=3, lost=3, invented=2)
    assert boxes.lost_if_cut is None
    assert [len(side) for side in boxes.scores()] == [4, 3]


def test_what_would_be_lost_if_the_network_were_cut():
    assert observed(picture(row(3), row(0), row(2)), picture(row(2), row(0), row(2))).lost_if_cut == 1


def test_boxes_in_pixels_of_the_picture():
    placement = Placement((100, 200), (50, 100), 10, 0)
    boxes = np.array([[10, 20, 30, 40]], np.float32)
    np.testing.assert_array_equal(in_picture(boxes, placement), [[20, 20, 60, 60]])
    np.testing.assert_array_equal(in_picture(boxes, None), boxes)


@pytest.fixture(scope="module")
def whole():
    """A detector that decodes in its graph: outputs and values of the last convolutions of two pictures."""
    model = yolov8()
    head = recognize(model)
    model.graph.output.extend(type(model.graph.output[0])(name=name) for name in head.tensors)
    rng = np.random.default_rng(0)
    runner = Runner(model)
    return head, [runner.run({"images": rng.normal(0, 2, (1, 3, HEIGHT, WIDTH)).astype(np.float32)}) for _ in range(2)]


def of(head, cut, expected, actual):
    output = head.evidence.columns[0].tensor
    decode = head.decode if cut else lambda outputs: read_outputs(head, outputs)
    detector = Detector(decode, False, 0.5, 0.6, head.name)
    observer = BoxObserver(detector, head.tensors if cut else [output], ExportedHead(head, cut))
    observer.add(Comparison(0, DebugPicture("a.jpg", {}, {}), expected, actual, {}))
    return observer.observed().pictures[0]


def test_a_whole_graph_whose_scores_died_is_decoded_from_its_last_convolutions_too(whole):
    head, (values, _) = whole
    output = head.evidence.columns[0].tensor
    dead = values | {output: np.where(values[output] <= 1.0, np.float32(0), values[output])}
    found = of(head, False, values, dead)
    assert len(found.shown[0]) > 3
    assert len(found.quantized) == 0
    assert len(found.lost) == len(found.shown[0])
    assert found.decoded_in_float is not None
    ends = [
        np.sort(side.boxes[:, 2]) for side in (found.decoded_in_float, found.reference)
    ]  # of equal scores any order
    np.testing.assert_allclose(*ends, atol=1e-3)
    assert observed(replace(found)).lost_if_cut == 0


def test_a_network_that_is_cut_has_nothing_to_gain(whole):
    head, (values, _) = whole
    found = of(head, True, values, values)
    assert (len(found.lost), len(found.invented), found.decoded_in_float) == (0, 0, None)
    assert len(found.matches.pairs) == len(found.shown[0]) > 3
