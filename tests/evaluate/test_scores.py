import numpy as np
import pytest

from stages.core.base.errors import UserError
from stages.core.data.labels import class_count
from stages.evaluate.scores import (
    ACCURACY,
    AGREEMENT,
    MAP,
    OWN,
    ClassificationScore,
    ClassRow,
    OutputScore,
    classes_ranked,
)


def logits(*values):
    return {"logits": np.float32([values])}


@pytest.mark.parametrize(
    ("values", "ranked"),
    [
        ((0.1, 0.9, 0.5), [1, 2, 0]),
        ((1, 1, 0, 1), [0, 1, 3, 2]),
        ((0, 0, 0, 0, 0, 0, 0), [0, 1, 2, 3, 4]),
        ((1, 2, 3, 4, 5, 6, 7), [6, 5, 4, 3, 2]),
        ((-5, -1, -1), [1, 2, 0]),
    ],
)
def test_five_best_classes_and_ties(values, ranked):
    assert classes_ranked(np.float32([values])) == ranked


def test_the_shape_of_the_logits_does_not_matter():
    assert classes_ranked(np.float32([1, 3, 2]).reshape(1, 3, 1, 1)) == [1, 2, 0]


PAIRS = [
    (logits(1, 2, 3, 4, 5, 6, 9), logits(1, 2, 3, 4, 5, 9, 6)),  # of class 6: top-1 lost, still in the top 5
    (logits(9, 2, 3, 4, 5, 6, 7), logits(9, 2, 3, 4, 5, 6, 7)),  # of class 0: right in both
    (logits(1, 1, 3, 4, 5, 6, 7), logits(1, 2, 3, 4, 5, 6, 7)),  # of class 1: wrong in both, agreed
    (logits(9, 0, 1, 0, 0, 0, 0), logits(0, 0, 9, 0, 0, 0, 0)),  # of class 2: top-1 gained
]


def scored(labels, pairs=PAIRS):
    score = ClassificationScore(labels)
    return score, [score.add("a.png", None, *pair) for pair in pairs]


def test_classification_golden():
    score, rows = scored([6, 0, 1, 2])
    assert rows[0] == [6, "6 5 4 3 2", "5 6 4 3 2"]
    assert rows[3] == [2, "0 2 1 3 4", "2 0 1 3 4"]
    cosines = [(1 + 4 + 9 + 16 + 25 + 54 + 54) / (1 + 4 + 9 + 16 + 25 + 36 + 81), 1.0]
    cosines.append((1 + 2 + 9 + 16 + 25 + 36 + 49) / (137 * 140) ** 0.5)
    cosines.append(9 / (82**0.5 * 9))
    assert score.metrics() == {
        "float": {"top1": 0.5, "top5": 0.75},
        "quantized": {"top1": 0.5, "top5": 0.75},
        "agreement": 0.5,
        "cosine": pytest.approx(np.mean(cosines)),
        "count": 4,
    }
    assert (score.value(ACCURACY), score.value(AGREEMENT), score.value(MAP), score.value(OWN)) == (0.5, 0.5, None, None)


def test_each_class_has_its_own_accuracy():
    score, _ = scored([2, 0, 0, 2])
    # class 0: right in both, and class 6 instead of 0 in both; class 2: 6 and 5 instead of 2, then gained
    assert score.by_class() == [ClassRow(0, 2, 0.5, 0.5), ClassRow(2, 2, 0.0, 0.5)]


def test_without_labels_the_agreement_is_left():
    score, rows = scored(None)
    assert rows[0] == ["", "6 5 4 3 2", "5 6 4 3 2"]
    metrics = score.metrics()
    assert {*metrics} == {"agreement", "cosine", "count"}
    assert (metrics["agreement"], score.value(AGREEMENT), score.value(ACCURACY)) == (0.5, 0.5, None)
    assert score.by_class() == []


def test_fewer_than_five_classes():
    score, rows = scored([2], [(logits(3, 2, 1), logits(3, 2, 1))])
    assert rows == [[2, "0 1 2", "0 1 2"]]
    assert score.metrics()["float"] == {"top1": 0.0, "top5": 1.0}


@pytest.mark.parametrize("label", [3, 1000, None])
def test_a_label_out_of_range_is_refused(label):
    with pytest.raises(UserError, match=f"data.evaluation.labels: class {label}, but the network has 3 classes"):
        scored([label], [(logits(1, 2, 3), logits(1, 2, 3))])


def test_several_outputs_are_refused():
    outputs = logits(1, 2) | {"boxes": np.float32([1])}
    with pytest.raises(UserError, match="classification needs one output; the network has logits, boxes"):
        scored([0], [(outputs, outputs)])


def test_outputs_golden():
    score = OutputScore()
    reference = {"a": np.float32([1, 0]), "b": np.float32([[3, 4]])}
    turned = {"a": np.float32([0, 1]), "b": np.float32([[6, 8]])}
    assert score.add("a.png", None, reference, turned) == [0.5]
    assert score.add("b.png", None, reference, reference) == [1.0]
    assert score.metrics() == {"cosine": 0.75, "count": 2}


def test_columns_name_what_a_picture_gives():
    for score in (OutputScore(), ClassificationScore([0])):
        assert len(score.add("a.png", None, logits(1, 2), logits(2, 1))) == len(score.columns)


@pytest.mark.parametrize(("shape", "classes"), [([1, 10], 10), ([1, 1000, 1, 1], 1000)])
def test_classes_are_counted_from_the_output(shape, classes):
    assert class_count({"logits": shape}) == classes


@pytest.mark.parametrize("shape", [[1, 16, 32, 32], [10], [1, 1], [1, 1, 10]])
def test_an_output_of_another_shape_is_no_classifier(shape):
    with pytest.raises(UserError, match=r"needs an output \[1, classes\].*task=detection or none"):
        class_count({"features": shape})
