import math

import numpy as np
import pytest

from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_findings import best_variant, input_findings
from stages.compare.diagnose.inputs.labelled_boxes import LabelledBoxes, log_likelihood
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from stages.core.config.schema import Color
from stages.core.data.objects import Objects
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector
from tests.compare.diagnose.inputs.fed_networks import TRAINED, changed, network, pictures, stored

AS_TRAINED = PreprocessingVariant(TRAINED)
WHOLE = np.array([[0.0, 0.0, 24.0, 24.0]])
"""Of a picture of 24 x 24 pixels, which the input has at half the size."""


def found(*boxes):
    """Detections of boxes x0, y0, x1, y1, score, class."""
    rows = np.array(boxes, np.float64).reshape(-1, 6)
    return Detections(rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64))


def objects(*classes):
    """Objects of 10 x 10 pixels in a row."""
    boxes = np.array([[20.0 * i, 0.0, 20.0 * i + 10.0, 10.0] for i in range(len(classes))])
    return Objects.of_boxes(boxes, np.array(classes, np.int64))


def test_objects_count_by_the_score_of_their_box_and_other_boxes_by_the_probability_that_they_are_wrong():
    assert log_likelihood(found((0, 0, 10, 10, 0.8, 3)), objects(3)) == pytest.approx(math.log(0.8))
    of_three = log_likelihood(found((0, 0, 10, 10, 0.8, 3), (50, 50, 60, 60, 0.3, 3)), objects(3, 3))
    assert of_three == pytest.approx((math.log(0.8) + math.log(0.01) + math.log(0.7)) / 2)


def test_a_box_of_another_class_or_place_shows_nothing():
    for box in ((0, 0, 10, 10, 0.5, 4), (6, 0, 16, 10, 0.5, 3)):
        assert log_likelihood(found(box), objects(3)) == pytest.approx(math.log(0.01) + math.log(0.5))
    assert log_likelihood(found(), objects(3)) == pytest.approx(math.log(0.01))


def test_a_certain_box_that_is_wrong_costs_as_much_as_an_object_that_is_missed():
    sure = log_likelihood(found((0, 0, 10, 10, 1.0, 4)), objects(3))
    assert sure == pytest.approx(2 * math.log(0.01))


def labelled_boxes(weight, network_input, count=24):
    """Pictures of one strong colour, each an object of the class that answers most if fed as trained."""
    rng = np.random.default_rng(0)
    samples = [np.full((12, 12, 3), rng.integers(0, 256, 3), dtype=np.uint8) for _ in range(count)]
    classes = [int((weight @ ((sample[0, 0] - 127.0) / 128.0)).argmax()) for sample in samples]
    return LabelledBoxes(
        stored(samples, network_input),
        [Placement((24, 24), (12, 12), 0, 0)] * count,
        [Objects.of_boxes(WHOLE, np.array([number])) for number in classes],
        Detector(decode, False, 0.3, 0.6, "of one box"),
    )


def decode(outputs):
    """One box, all of the input, of the class that answers most."""
    return found((0, 0, 12, 12, 0.9, outputs["y"].argmax()))


def test_a_planted_fault_is_found_by_the_boxes():
    model, weight = network(2)
    wrong = changed(Color.BGR)
    configured = PreprocessingVariant(wrong)
    evidence = InputEvidence(model, [], [], lambda: labelled_boxes(weight, wrong))
    best = best_variant(configured, evidence)
    assert (best.network_input.color, best.flipped) == (Color.RGB, True)
    (finding,) = input_findings(configured, best, evidence, [])
    assert finding.effect.metric == "log-likelihood of the labels in nats"
    assert finding.effect.after == pytest.approx(math.log(0.9), abs=1e-6)
    sound = InputEvidence(model, [], [], lambda: labelled_boxes(weight, TRAINED))
    assert best_variant(AS_TRAINED, sound) == AS_TRAINED


def test_boxes_of_other_classes_say_nothing():
    """Labels that are not the network's: no variant finds more than none would."""
    for seed in range(2):
        model, _ = network(seed)
        boxes = LabelledBoxes(
            pictures(12, seed),
            [Placement((24, 24), (12, 12), 0, 0)] * 12,
            [Objects.of_boxes(WHOLE, np.array([99]))] * 12,
            Detector(decode, False, 0.3, 0.6, "of one box"),
        )
        evidence = InputEvidence(model, [], [], lambda boxes=boxes: boxes)
        assert best_variant(AS_TRAINED, evidence) == AS_TRAINED


def test_a_variant_that_is_much_worse_does_not_see_all_pictures():
    model, weight = network(2)
    evidence = InputEvidence(model, [], [], lambda: labelled_boxes(weight, TRAINED, count=32))
    colours = PreprocessingVariant(changed(Color.BGR), flipped=True)
    assert evidence.unlikely(AS_TRAINED, colours)
    assert not evidence.unlikely(colours, AS_TRAINED)
    assert not evidence.unlikely(AS_TRAINED, AS_TRAINED)
    assert len(evidence.likelihoods(AS_TRAINED)) == 32
    assert best_variant(AS_TRAINED, evidence) == AS_TRAINED
    first, *others = evidence.tried()
    assert (first["color"], first["mean"][0]) == ("RGB", 127.0)
    assert first["log_likelihood"] == pytest.approx(math.log(0.9), abs=1e-6)
    exchanged = next(one for one in others if one["color"] == "BGR")
    assert exchanged["log_likelihood"] < first["log_likelihood"]  # of 8 pictures
