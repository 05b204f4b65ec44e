"""Which score an experiment has: by its task, its labels, its network and its own metric."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput
from stages.core.data.labels import class_count, labels_of, texts_of
from stages.core.data.object_labels import ObjectLabels, read_object_labels
from stages.core.data.sample_files import SampleFiles
from stages.core.heads.detector import Detector, load_detector
from stages.evaluate.detection import DetectionScore
from stages.evaluate.own_metric import OwnScore, load_metric
from stages.evaluate.scores import ACCURACY, AGREEMENT, MAP, OWN, ClassificationScore, OutputScore, Score

__all__ = ["Scoring", "default_metric", "score_of_metric", "score_of_task"]

Shapes = Mapping[str, Sequence[int | str]]
NO_DETECTOR = (
    "no detector's head is known in the network (docs/detectors.md); give model.detector.function=module:function"
)


@dataclass(frozen=True)
class Scoring:
    """How an evaluation set is scored.

    Attributes:
        new: gives a score that has seen no picture.
        greater_is_better: of the metric that it was asked for.
    """

    new: Callable[[], Score]
    greater_is_better: bool = True


def score_of_task(
    config: Config, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], outputs: Shapes
) -> Score:
    """Give the score of the task; a detector without labels is compared with the float network.

    Args:
        config: the experiment.
        files: the evaluation set.
        inputs: the network's.
        outputs: the network's, name -> shape.

    Raises:
        UserError: for labels that do not fit, a detection task of a network that is no detector, or a metric of the
            user's own that cannot be imported.
    """
    data = config.data.evaluation
    if data.metric is not None:
        metric, labels = load_metric(data.metric), _own_labels(config, files, inputs, outputs)
        task = _without_metric(config, files, inputs, outputs)
        return OwnScore(task, metric, labels, shows_labels=data.task is Task.custom)
    return _without_metric(config, files, inputs, outputs)


def score_of_metric(
    metric: str, config: Config, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], outputs: Shapes
) -> Scoring:
    """Give what measures one metric, on the evaluation set or a part of it, for many networks one after another.

    Args:
        metric: ACCURACY, MAP, AGREEMENT or OWN.
        config: the experiment.
        files: the samples.
        inputs: the network's.
        outputs: the network's, name -> shape.

    Raises:
        UserError: if the task, the labels or the network do not give the metric.
    """
    data = config.data.evaluation
    if metric == OWN:
        if data.metric is None:
            raise UserError("own: data.evaluation.metric names none; give module:Class (docs/evaluation.md)")
        own, of_samples = load_metric(data.metric), _own_labels(config, files, inputs, outputs)
        return Scoring(lambda: OwnScore(OutputScore(), own, of_samples), own.greater_is_better)
    if metric == ACCURACY:
        if data.task is not Task.classification:
            other = "cosine"
            if _detector(config, outputs) is not None:
                other = MAP if data.task is Task.detection and data.labels is not None else AGREEMENT
            raise UserError(f"accuracy: data.evaluation.task={data.task.value} has no labels of classes; take {other}")
        classes = labels_of(data, files, inputs, outputs)
        return Scoring(lambda: ClassificationScore(classes))
    detector = _detector(config, outputs)
    if metric == MAP:
        if data.task is not Task.detection or data.labels is None:
            raise UserError("map: needs data.evaluation.task=detection with labels; agreement needs none")
        found = _required(detector)
        objects = _objects(data.labels, files, found)
        return Scoring(lambda: DetectionScore(found, objects))
    if detector is not None:
        return Scoring(lambda: DetectionScore(detector, None))
    try:
        class_count(outputs)
    except UserError as error:
        raise UserError(f"agreement: the network is neither a detector nor a classifier ({error})") from error
    return Scoring(lambda: ClassificationScore(None))


def default_metric(config: Config, outputs: Shapes) -> str | None:
    """What a network is ranked by unless told otherwise; None where nothing speaks against the cosine.

    Args:
        config: the experiment.
        outputs: the network's, name -> shape.
    """
    data = config.data.evaluation
    if data.metric is not None:
        return OWN
    if data.task is Task.classification or _detector(config, outputs) is None:
        return None
    return MAP if data.task is Task.detection and data.labels is not None else AGREEMENT


def _without_metric(
    config: Config, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], outputs: Shapes
) -> Score:
    """The score of the task, without the user's own metric."""
    data = config.data.evaluation
    if data.task is Task.classification:
        return ClassificationScore(labels_of(data, files, inputs, outputs))
    detector = _detector(config, outputs)
    if data.task is Task.detection:
        found = _required(detector)
        return DetectionScore(found, _objects(data.labels, files, found) if data.labels else None)
    return OutputScore() if detector is None else DetectionScore(detector, None)


def _own_labels(
    config: Config, files: Sequence[SampleFiles], inputs: Sequence[NetworkInput], outputs: Shapes
) -> Sequence[Any]:
    """A class number or a text for each sample; None each without labels."""
    data = config.data.evaluation
    if data.labels is None:
        return [None] * len(files)
    if data.task is Task.classification:
        return labels_of(data, files, inputs, outputs)
    return texts_of(data.labels, files)


def _detector(config: Config, outputs: Shapes) -> Detector | None:
    return load_detector(DETECTOR, config.model.detector, outputs)


def _objects(labels: str, files: Sequence[SampleFiles], detector: Detector) -> ObjectLabels:
    """A detector's labels, all read once: a mistake in the last of them should not be found last."""
    names = [file.name for file in files]
    objects = read_object_labels(labels, names)
    objects.check(names, detector.classes)
    return objects


def _required(detector: Detector | None) -> Detector:
    if detector is None:
        raise UserError(f"data.evaluation.task=detection: {NO_DETECTOR}, or task=none")
    return detector
