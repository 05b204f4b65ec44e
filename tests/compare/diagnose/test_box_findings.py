import pytest

from stages.compare.diagnose.box_findings import box_findings, boxes_agree, boxes_words
from stages.core.config.schema import Config, ModelConfig
from stages.core.heads.box_counts import BoxCounts
from tests.compare.detected import detections, observed, picture, row

CONFIG = Config(model=ModelConfig(name="net"))


def findings(*pictures):
    boxes = observed(*pictures)
    return box_findings(boxes, boxes.counts, CONFIG, "these pictures")


def test_no_detector_has_none():
    assert box_findings(None, None, CONFIG, "these pictures") == []


def test_boxes_that_are_lost_are_said_by_size_and_class_and_by_example():
    reference = detections((0, 0.9, 3), (1, 0.8, 3), (2, 0.7, 3), (3, 0.6, 0))
    (finding,) = findings(picture(reference, row([3], 0.6)), picture(row(1), row(1), name="b/c.jpg"))
    assert finding.sentence == (
        "the quantized network has 2 of the float network's 5 boxes on these pictures; lost are 3 of 5 medium, most of "
        "class 3 (3 of 3); such as class 3 of score 0.90 in a.jpg, class 3 of score 0.80 in a.jpg, class 3 of score "
        "0.70 in a.jpg"
    )
    assert finding.evidence == {
        "float_boxes": 5, "quantized_boxes": 2, "lost": 3, "invented": 0, "score_threshold": 0.4, "lost_medium": 3,
    }  # fmt: skip
    assert (finding.kind, finding.cure, finding.effect) == ("boxes", None, None)


def test_cutting_is_the_cure_where_it_brings_boxes_back():
    (finding,) = findings(picture(row(5), row(0), row(4)))
    assert finding.cure == "model.cut=true"
    assert (finding.effect.metric, finding.effect.before, finding.effect.after) == (
        "boxes kept of the debug pictures' 5",
        0,
        4,
    )
    assert findings(picture(row(5), row(0), row(0)))[0].cure is None


def test_invented_boxes():
    (finding,) = findings(picture(row(2), row(8)))
    assert (
        finding.sentence
        == "the quantized network has 2 of the float network's 2 boxes and 6 of its own on these pictures"
    )


@pytest.mark.parametrize(
    "pictures",
    [
        [picture(row(1), row(0))],  # a single box tells nothing
        [picture(row(12), row(11))],
        [picture(row(12), row(12, score=0.3))],  # all fell below the threshold, and none is lost
        [picture(row(0), row(0))],
    ],
)
def test_what_a_sound_network_may_do_is_no_finding(pictures):
    assert findings(*pictures) == []


def test_what_is_lost_on_other_pictures_is_said_without_an_example():
    boxes, others = observed(picture(row(2), row(2))), observed(picture(row(20), row(8))).counts
    (finding,) = box_findings(boxes, others, CONFIG, "9 evaluation pictures")
    assert finding.sentence == "the quantized network has 8 of the float network's 20 boxes on 9 evaluation pictures"
    assert box_findings(observed(picture(row(5), row(0))), observed(picture(row(20), row(20))).counts, CONFIG, "") == []


def test_boxes_agree_only_if_they_are_enough():
    assert boxes_agree(BoxCounts(1, 10, 9, 1, 0))
    assert not boxes_agree(BoxCounts(1, 9, 9, 0, 0))
    assert not boxes_agree(BoxCounts(1, 10, 6, 4, 0))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((20, 17, 3, 0), "17 of the float network's 20 boxes (95 % CI 64 to 95 %) on 1 picture"),
        ((1, 1, 0, 0), "1 of the float network's 1 box on 1 picture, too few to go by"),
        ((4, 4, 0, 0), "4 of the float network's 4 boxes on 1 picture, and no others"),
        ((4, 5, 0, 1), "4 of the float network's 4 boxes and 1 of its own on 1 picture, too few to go by"),
    ],
)
def test_words(counts, words):
    assert boxes_words(BoxCounts(1, *counts), "1 picture") == f"the quantized network has {words}"


def test_words_where_the_float_network_finds_nothing():
    assert boxes_words(BoxCounts(1, 0, 2, 0, 2), "1 sample") == (
        "the float network shows no box on 1 sample, the quantized one 2"
    )


def test_scores_of_few_values_put_nothing_in_order():
    reference = detections(*((place, 0.5 + place / 100, 0) for place in range(12)))
    quantized = detections(*((place, 0.5 + (place % 4) / 100, 0) for place in range(12)))
    (finding,) = findings(picture(reference, quantized))
    assert (finding.kind, finding.evidence) == ("scores", {"float_values": 12, "quantized_values": 4})
    finer = detections(*((place, 0.5 + (place % 5) / 100, 0) for place in range(12)))
    assert findings(picture(reference, finer)) == []
