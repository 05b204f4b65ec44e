"""Masks and key points of a detector: how those of the quantized network agree with the float network's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import Detector
from stages.core.statistics.average_precision import Evaluated
from stages.core.statistics.shape_precision import KeyPoints, Masks, evaluate_keypoints, evaluate_masks
from stages.evaluate.scores import Outputs

__all__ = ["ShapeAgreement", "instance_masks"]


class ShapeAgreement:
    """The mean average precision of masks and key points, with the float network's as the truth."""

    def __init__(self, detector: Detector) -> None:
        self._prototypes = detector.prototypes
        self._masks: tuple[list[Masks], list[Masks]] = ([], [])
        self._points: tuple[list[KeyPoints], list[KeyPoints]] = ([], [])

    def add(
        self,
        found: tuple[Detections, Detections],
        outputs: tuple[Outputs, Outputs],
        placement: Placement | None,
    ) -> None:
        """Take in one picture, of the float network and of the quantized one.

        Args:
            found: what the float network shows, and all that the quantized one finds.
            outputs: of both, with the mask prototypes if there are any.
            placement: of the picture in the input; None: it is no picture.
        """
        for side, (detections, values) in enumerate(zip(found, outputs, strict=True)):
            if self._prototypes is not None and detections.masks is not None:
                size = self._prototypes.height, self._prototypes.width
                masks = instance_masks(detections, values[self._prototypes.output], size)
                self._masks[side].append(Masks.of(masks, detections.scores, detections.classes))
            if detections.keypoints is not None:
                self._points[side].append(_in_picture(detections, placement))

    def metrics(self) -> dict[str, Any]:
        """At an overlap of .5 and averaged over .5 to .95; nothing of a detector that has boxes alone."""
        metrics: dict[str, Any] = {}
        if self._masks[0]:
            metrics |= _agreement("mask_agreement", evaluate_masks(*self._masks))
        if self._points[0]:
            metrics |= _agreement("keypoint_agreement", evaluate_keypoints(*self._points))
        return metrics


def instance_masks(detections: Detections, prototypes: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Masks of YOLO's kind (Bolya et al., YOLACT, 2019), [N, H, W] in the prototypes' pixels.

    A pixel belongs to an object if it is inside its box and the sum of the prototypes there, each times its
    coefficient, is positive.

    Args:
        detections: with M coefficients each.
        prototypes: [1, M, H, W].
        size: height and width of the network's input, in which the boxes are.
    """
    assert detections.masks is not None
    count, height, width = prototypes.shape[1:]
    inside = (detections.masks @ prototypes.reshape(count, -1)).reshape(-1, height, width) > 0
    boxes = detections.boxes * np.array([width / size[1], height / size[0]] * 2, np.float32)
    columns, lines = np.arange(width), np.arange(height)
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.T)
    across = (columns >= x0) & (columns < x1)
    down = (lines >= y0) & (lines < y1)
    masks: NDArray[np.bool_] = inside & down[:, :, None] & across[:, None]
    return masks


def _in_picture(detections: Detections, placement: Placement | None) -> KeyPoints:
    """In pixels of the picture; of a sample that is no picture, of the input."""
    assert detections.keypoints is not None
    points, boxes = detections.keypoints.astype(np.float64), detections.boxes.astype(np.float64)
    if placement is not None:
        boxes = placement.to_picture(detections.boxes)
        xy = detections.keypoints[..., :2].reshape(-1, 2)
        points[..., :2] = placement.to_picture(np.concatenate([xy, xy], axis=1))[:, :2].reshape(points[..., :2].shape)
    return KeyPoints(points, boxes, detections.scores.astype(np.float64), detections.classes)


def _agreement(name: str, evaluated: Evaluated) -> dict[str, float]:
    values = {name: evaluated.mean(at_half=True), f"{name}_map": evaluated.mean()}
    return {key: value for key, value in values.items() if value is not None}
