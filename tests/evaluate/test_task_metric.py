from stages.core.statistics.task_metric import TaskMetric
from stages.evaluate.own_metric import OwnMetric, OwnScore
from stages.evaluate.scores import ClassRow, OutputScore
from stages.evaluate.task_metric import task_metric


class Errors:
    greater_is_better = False

    def __init__(self):
        self.sum = 0.0

    def add(self, name, outputs, label):
        self.sum += outputs["y"]

    def result(self):
        return {"wer": self.sum, "other": 1.0}


def test_the_users_own_comes_first():
    score = OwnScore(OutputScore(), OwnMetric("mine:Errors", Errors), [None, None])
    for instance, values in zip(score._instances, ((1.0, 2.0), (2.0, 3.0)), strict=True):
        for value in values:
            instance.add("", {"y": value}, None)
    assert task_metric(score, {"count": 2}) == TaskMetric("wer", 3.0, 5.0, 2, greater_is_better=False)


def test_top_1_and_map_need_labels():
    score, sides = OutputScore(), {"float": {"top1": 0.9}, "quantized": {"top1": 0.8}}
    found = task_metric(score, {"count": 64, "agreement": 0.7, **sides})
    assert found == TaskMetric("top-1", 0.9, 0.8, 64, chance=0.0)
    sides = {"float": {"map": 0.4}, "quantized": {"map": 0.3}, "difference": {"map_low": -0.2, "map_high": 0.1}}
    assert task_metric(score, {"count": 64, **sides}) == TaskMetric("mAP50-95", 0.4, 0.3, 64, -0.2, 0.1, chance=0.0)


def test_chance_is_the_share_of_the_most_usual_label():
    class Labelled(OutputScore):
        def by_class(self):
            return [ClassRow(0, 20, 0.5, 0.5), ClassRow(3, 44, 0.5, 0.5)]

    found = task_metric(Labelled(), {"count": 64, "float": {"top1": 0.9}, "quantized": {"top1": 0.8}})
    assert found == TaskMetric("top-1", 0.9, 0.8, 64, chance=44 / 64)


def test_the_agreement_is_that_of_a_detector_with_enough_boxes():
    metrics = {"count": 64, "agreement": 0.75, "agreement_low": 0.5, "agreement_high": 1.0, "boxes": {"float": 10}}
    found = task_metric(OutputScore(), metrics)
    assert found == TaskMetric("agreement of the boxes", 1.0, 0.75, 64, -0.5, 0.0)
    assert task_metric(OutputScore(), metrics | {"boxes": {"float": 9}}) is None
    assert task_metric(OutputScore(), {"count": 64, "agreement": 0.75}) is None  # of a classifier: many are near ties
