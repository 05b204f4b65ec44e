"""From a network's outputs to what it found: one way for the float network, the quantized one and the board's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.core.base.errors import UserError, one_line
from stages.core.base.user_code import import_callable
from stages.core.config.schema import Config, DetectorConfig
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.head import Head, Kind
from stages.core.heads.head_file import ExportedHead, load_head
from stages.core.heads.nms import nms
from stages.core.heads.output_reader import can_read, read_outputs

__all__ = [
    "LEAST_SCORE",
    "MOST_DETECTIONS",
    "Detector",
    "Prototypes",
    "check_function",
    "find_detector",
    "load_detector",
]

LEAST_SCORE = 0.01
"""Boxes below it do not count for a precision: on COCO they change mAP by less than .001 and take most of the time."""
MOST_DETECTIONS = 100
"""Boxes a picture, the best ones, as COCO counts them."""
FUNCTION_KEY = "model.detector.function"
FARTHEST = np.float32(1e6)
"""Where a box that a broken network throws far away is put: pixels from the picture."""


@dataclass(frozen=True)
class Prototypes:
    """Where a network returns what its objects' masks are mixed from.

    Attributes:
        output: its name; its value is [1, M, H, W].
        height: of the network's input in pixels, which the prototypes cover.
        width: of the network's input in pixels.
    """

    output: str
    height: int
    width: int


@dataclass(frozen=True)
class Detector:
    """A network's decoding.

    Attributes:
        decode: outputs -> all boxes, each with its best class, without suppression.
        one_to_one: no suppression is needed.
        score_threshold: from which a box is shown.
        nms_threshold: intersection over union from which the worse of two boxes of a class is dropped.
        name: of the head's family, for messages.
        prototypes: of its masks; None where it has none.
        classes: how many it tells apart; None where only the user's function knows.
        keypoints: how many key points an object has; 0: it gives none.
    """

    decode: Callable[[Mapping[str, Floats]], Detections]
    one_to_one: bool
    score_threshold: float
    nms_threshold: float
    name: str
    prototypes: Prototypes | None = None
    classes: int | None = None
    keypoints: int = 0

    def detect(self, outputs: Mapping[str, Floats], least_score: float = LEAST_SCORE) -> Detections:
        """Decode and suppress: the best `MOST_DETECTIONS` boxes, the best first.

        Args:
            outputs: name -> value, of the network as exported.
            least_score: below it boxes are dropped.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the exponential of a broken network's size
            found = self.decode(outputs)
        finite = np.isfinite(found.scores) & ~np.isnan(found.boxes).any(axis=1)
        found = found.select(finite).above(least_score)
        if self.one_to_one:
            kept = found.select(np.argsort(-found.scores, kind="stable")[:MOST_DETECTIONS])
        else:
            kept = nms(found, self.nms_threshold, MOST_DETECTIONS)
        return Detections(
            np.clip(kept.boxes, -FARTHEST, FARTHEST), kept.scores, kept.classes, kept.keypoints, kept.masks
        )


def load_detector(path: Path, config: DetectorConfig, outputs: Mapping[str, Sequence[int | str]]) -> Detector | None:
    """Give the exported network's decoding; None of a network that is no detector.

    Args:
        path: out/export/detector.json.
        config: `model.detector`; its function comes before the head.
        outputs: the network's, name -> shape.

    Raises:
        UserError: if the function cannot be imported, or if a head's boxes cannot be read from the outputs.
    """
    thresholds = config.score_threshold, config.nms_threshold
    if config.function is not None:
        decode = _user_decoding(config.function)
        return Detector(decode, False, *thresholds, config.function, classes=config.classes)
    exported = load_head(path)
    if exported is None or not (exported.cut or can_read(exported.head, outputs)):
        return None
    head = exported.head
    return Detector(
        _decoding(exported),
        head.one_to_one,
        *thresholds,
        head.name,
        _prototypes(head, outputs),
        head.classes,
        head.keypoint_count,
    )


def find_detector(path: Path, reference: Graph, config: Config) -> Detector | None:
    """The decoding of a detector; None of a network that is none, or whose outputs are not all float.

    Args:
        path: out/export/detector.json.
        reference: the float network.
        config: the experiment.
    """
    if not set(reference.outputs) <= set(reference.float_tensors):
        return None
    shapes = {name: reference.shapes.get(name, []) for name in reference.outputs}
    return load_detector(path, config.model.detector, shapes)


def _prototypes(head: Head, outputs: Mapping[str, Sequence[int | str]]) -> Prototypes | None:
    """The output that is not decoded and has a channel for each of the masks' coefficients."""
    if Kind.masks not in head.kinds or head.evidence is None:
        return None
    count = head.levels[0].views[Kind.masks].count
    for name in head.evidence.others:
        if len(outputs.get(name, ())) == PICTURE_RANK and outputs[name][1] == count:
            return Prototypes(name, head.height, head.width)
    return None


def _decoding(exported: ExportedHead) -> Callable[[Mapping[str, Floats]], Detections]:
    if exported.cut:
        return exported.head.decode
    return lambda outputs: read_outputs(exported.head, outputs)


def check_function(text: str, outputs: Mapping[str, Floats]) -> None:
    """Call the user's own decoding once, to find out early whether it can be.

    Args:
        text: `model.detector.function`.
        outputs: name -> value, of the network as exported, on any picture.

    Raises:
        UserError: if it cannot be imported, fails, or gives something else than boxes, scores and classes.
    """
    _called(import_callable(text, FUNCTION_KEY), text, outputs)


def _called(function: Callable[..., Any], text: str, outputs: Mapping[str, Floats]) -> Detections:
    try:
        boxes, scores, classes = function(dict(outputs))
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        scores = np.asarray(scores, np.float32).reshape(len(boxes))
        return Detections(boxes, scores, np.asarray(classes, np.int64).reshape(len(boxes)))
    except Exception as error:  # the user's own code may raise anything
        raise UserError(
            f"{FUNCTION_KEY}={text} failed: {type(error).__name__}: {one_line(error)}; it has to give boxes "
            "[N, 4], scores [N], classes [N]"
        ) from error


def _user_decoding(text: str) -> Callable[[Mapping[str, Floats]], Detections]:
    function = import_callable(text, FUNCTION_KEY)

    def decode(outputs: Mapping[str, Floats]) -> Detections:
        found = _called(function, text, outputs)
        if np.isnan(found.boxes).any() or np.isnan(found.scores).any():
            raise UserError(f"{FUNCTION_KEY}={text} gave a box or a score that is not a number")
        return found

    return decode
