"""Which score an experiment has: by its task, its labels, its network and its own metric."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError
from stages.core.base.paths import DETECTOR
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput
from stages.core.data.labels import class_count, labels_of, texts_of
from stages.core.data.object_labels import read_object_labels
from stages.core.data.objects import ObjectLabels
from stages.core.data.sample_files import SampleFiles
from stages.core.heads.detector import Detector, load_detector
from stages.evaluate.detection import DetectionScore
from stages.evaluate.own_metric import OwnScore, load_metric
from stages.evaluate.scores import (
    ACCURACY,
    AGREEMENT,
    MAP,
    OWN,
    ClassificationScore,
    OutputScore,
    Score,
)
from stages.evaluate.shapes import ShapeKind, shape_kinds, wanted_shapes

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
        metric: ACCURACY, OWN, or MAP or AGREEMENT of boxes, masks or key points.
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
            other = default_metric(config, outputs) or "fidelity"
            raise UserError(f"accuracy: data.evaluation.task={data.task.value} has no labels of classes; take {other}")
        classes = labels_of(data, files, inputs, outputs)
        return Scoring(lambda: ClassificationScore(classes))
    return _of_detector(metric, config, files, outputs)


def default_metric(config: Config, outputs: Shapes) -> str | None:
    """What a network is ranked by unless told otherwise; None where nothing speaks against the outputs' fidelity.

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
        detector = _required(detector)
        labels = _objects(data.labels, files, detector) if data.labels else None
        return DetectionScore(detector, labels, shape_kinds(detector, data.kpt_oks_sigmas))
    if detector is None:
        return OutputScore()
    return DetectionScore(detector, None, shape_kinds(detector, data.kpt_oks_sigmas))


def _of_detector(metric: str, config: Config, files: Sequence[SampleFiles], outputs: Shapes) -> Scoring:
    """MAP or AGREEMENT of one kind of shape; the agreement of a classifier too.

    Raises:
        UserError: if the task, the labels or the network do not give it.
    """
    data, detector, labels = config.data.evaluation, _detector(config, outputs), None
    if metric.endswith(MAP):
        if data.task is not Task.detection or data.labels is None:
            agreement = metric.removesuffix(MAP) + AGREEMENT
            raise UserError(f"{metric}: needs data.evaluation.task=detection with labels; {agreement} needs none")
        detector = _required(detector)
        labels = _objects(data.labels, files, detector)
    if detector is not None:
        kind = _kind_of(metric, config, detector)
        return Scoring(lambda: DetectionScore(detector, labels, [kind]))
    try:
        class_count(outputs)
    except UserError as error:
        raise UserError(f"{metric}: the network is neither a detector nor a classifier ({error})") from error
    if metric != AGREEMENT:
        raise UserError(f"{metric}: the network is a classifier; take {AGREEMENT}")
    return Scoring(lambda: ClassificationScore(None))


def _kind_of(metric: str, config: Config, detector: Detector) -> ShapeKind:
    """The kind of shape that a metric is of.

    Raises:
        UserError: if the detector does not give it.
    """
    kinds = shape_kinds(detector, config.data.evaluation.kpt_oks_sigmas)
    for kind in kinds:
        if metric in (f"{kind.prefix}{MAP}", f"{kind.prefix}{AGREEMENT}"):
            return kind
    name = MAP if metric.endswith(MAP) else AGREEMENT
    known = ", ".join(f"{kind.prefix}{name}" for kind in kinds)
    raise UserError(f"{metric}: the network's head ({detector.name}) does not give it; take {known}")


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
    objects.check(names, detector.classes, wanted_shapes(detector))
    return objects


def _required(detector: Detector | None) -> Detector:
    if detector is None:
        raise UserError(f"data.evaluation.task=detection: {NO_DETECTOR}, or task=none")
    return detector
