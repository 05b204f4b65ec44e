"""Boxes, masks and key points that a network found: what of them is compared, and how."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.core.data.masks import MaskCode, area, mask_of_window
from stages.core.data.objects import Objects, Shapes
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import Detector, Prototypes
from stages.core.statistics.average_precision import Evaluated, FoundBoxes, evaluate_boxes
from stages.core.statistics.shape_precision import (
    MOST_POSES,
    KeyPoints,
    Masks,
    evaluate_keypoints,
    evaluate_masks,
    oks_sigmas,
)
from stages.evaluate.scores import BOXES, KEYPOINTS, MASKS, Outputs

__all__ = [
    "BoxShapes",
    "KeyPointShapes",
    "MaskShapes",
    "Seen",
    "ShapeKind",
    "instance_masks",
    "shape_kinds",
    "wanted_shapes",
]

FARTHEST = 1e6
"""Where a key point that a broken network throws far away is put: pixels from the picture."""
SEEN = 0.5
"""How visible a point of the float network is that the quantized one must find."""
VISIBLE = 2
"""COCO's flag of such a point."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a network makes of a picture.

    Attributes:
        detections: in the network's input.
        outputs: with the mask prototypes if there are any.
        placement: of the picture in the input; None: it is no picture.
    """

    detections: Detections
    outputs: Outputs
    placement: Placement | None

    @property
    def boxes(self) -> Doubles:
        """In pixels of the picture; of a sample that is no picture, of the input."""
        return _in_picture(self.detections.boxes, self.placement)


class ShapeKind(Protocol):
    """A kind of shape that a detector gives, of which a mean average precision is computed.

    Attributes:
        prefix: of its metrics' names.
    """

    prefix: str

    def found(self, seen: Seen) -> Any:
        """Give what is compared with labels, in pixels of the picture."""
        ...

    def agreeing(self, seen: Seen) -> Any:
        """Give what is compared with the float network's."""
        ...

    def shown(self, seen: Seen) -> Objects:
        """Give what the float network shows, as the truth for `agreeing`."""
        ...

    def lacking(self, labels: Sequence[Objects]) -> str | None:
        """Say why labels do not serve as the truth; None if they do."""
        ...

    def evaluate(self, truth: Sequence[Objects], found: Sequence[Any]) -> Evaluated:
        """Match what was found with the labels of the same pictures."""
        ...

    def evaluate_agreement(self, truth: Sequence[Objects], found: Sequence[Any]) -> Evaluated:
        """Match what agrees with what the float network shows in the same pictures."""
        ...


class BoxShapes:
    """The boxes themselves."""

    prefix = BOXES

    def found(self, seen: Seen) -> FoundBoxes:
        """In pixels of the picture; of a sample that is no picture, of the input."""
        return FoundBoxes(seen.boxes, seen.detections.scores.astype(np.float64), seen.detections.classes)

    def agreeing(self, seen: Seen) -> FoundBoxes:
        """The same."""
        return self.found(seen)

    def shown(self, seen: Seen) -> Objects:
        """Objects that fill their boxes."""
        return Objects.of_boxes(seen.boxes, seen.detections.classes)

    def lacking(self, labels: Sequence[Objects]) -> str | None:
        """Whether there is no object at all."""
        return None if any(len(each.classes) for each in labels) else "the pictures have no labelled object: no mAP"

    def evaluate(self, truth: Sequence[Objects], found: Sequence[FoundBoxes]) -> Evaluated:
        """By their overlap."""
        return evaluate_boxes(truth, found)

    def evaluate_agreement(self, truth: Sequence[Objects], found: Sequence[FoundBoxes]) -> Evaluated:
        """By their overlap."""
        return evaluate_boxes(truth, found)


class MaskShapes:
    """Masks: in the picture against labels, in the prototypes' pixels against the float network's.

    Args:
        prototypes: where the network returns what masks are mixed from.
    """

    prefix = MASKS

    def __init__(self, prototypes: Prototypes) -> None:
        self._prototypes = prototypes

    def found(self, seen: Seen) -> Masks:
        """In pixels of the picture; of a sample that is no picture, of the input."""
        size = self._prototypes.height, self._prototypes.width
        placement = seen.placement or Placement(size, size, 0, 0)
        codes = picture_masks(seen.detections, seen.outputs[self._prototypes.output], size, placement)
        return Masks(codes, seen.detections.scores.astype(np.float64), seen.detections.classes)

    def agreeing(self, seen: Seen) -> Masks:
        """In the prototypes' pixels; an object too small for one of them has no mask to compare."""
        codes, kept = self._codes(seen)
        return Masks(codes, kept.scores.astype(np.float64), kept.classes)

    def shown(self, seen: Seen) -> Objects:
        """Objects that cover their masks, without those that are too small for one."""
        codes, kept = self._codes(seen)
        objects = Objects.of_boxes(_in_picture(kept.boxes, seen.placement), kept.classes)
        return replace(objects, masks=codes, areas=np.array([area(code) for code in codes], np.float64))

    def lacking(self, labels: Sequence[Objects]) -> str | None:
        """Whether any object has a box alone: found masks of it would count as wrong."""
        masks = [mask for each in labels for mask in each.masks or ()]
        missing = sum(mask is None for mask in masks)
        if masks and not missing:
            return None
        return f"{missing} of {len(masks)} labelled objects have a box and no mask: no mAP of masks"

    def evaluate(self, truth: Sequence[Objects], found: Sequence[Masks]) -> Evaluated:
        """By their overlap."""
        return evaluate_masks(truth, found)

    def evaluate_agreement(self, truth: Sequence[Objects], found: Sequence[Masks]) -> Evaluated:
        """By their overlap."""
        return evaluate_masks(truth, found)

    def _codes(self, seen: Seen) -> tuple[tuple[MaskCode, ...], Detections]:
        """Masks in the prototypes' pixels that are not empty, and whose they are: an empty one agrees with nothing."""
        size = self._prototypes.height, self._prototypes.width
        masks = instance_masks(seen.detections, seen.outputs[self._prototypes.output], size)
        kept = np.flatnonzero(masks.any(axis=(1, 2)))
        return tuple(mask_of_window(mask, 0, 0, *mask.shape) for mask in masks[kept]), seen.detections.select(kept)


class KeyPointShapes:
    """Key points, near or far by their similarity (OKS).

    Args:
        sigmas: how precisely each can be placed; empty: COCO's or 1 over their number.
    """

    prefix = KEYPOINTS

    def __init__(self, sigmas: Sequence[float] = ()) -> None:
        self._sigmas = sigmas

    def found(self, seen: Seen) -> KeyPoints:
        """In pixels of the picture; of a sample that is no picture, of the input.

        Raises:
            UserError: if there are not as many as sigmas, which is better said before all pictures are in.
        """
        points = _points(seen)
        oks_sigmas(points.shape[1], self._sigmas)
        return KeyPoints(points, seen.detections.scores.astype(np.float64), seen.detections.classes)

    def agreeing(self, seen: Seen) -> KeyPoints:
        """The same."""
        return self.found(seen)

    def shown(self, seen: Seen) -> Objects:
        """Objects that fill their boxes, with the points that are visible."""
        assert seen.detections.keypoints is not None
        objects = Objects.of_boxes(seen.boxes, seen.detections.classes)
        visible = seen.detections.keypoints[..., 2] >= SEEN
        flags = np.where(visible, VISIBLE, 0)[..., None]
        points = np.concatenate([_points(seen), flags], axis=2)
        return replace(objects, keypoints=points, keypoint_counts=visible.sum(axis=1))

    def lacking(self, labels: Sequence[Objects]) -> str | None:
        """Whether there is no point at all, or some object has more or fewer than the network gives."""
        counts = [each.keypoint_counts for each in labels if each.keypoint_counts is not None]
        if len(counts) < len(labels):
            others = len(labels) - len(counts)
            return f"objects of {others} pictures have more or fewer key points than the network: no mAP of key points"
        if any(count.any() for count in counts):
            return None
        return f"none of {sum(map(len, counts))} labelled objects has key points: no mAP of key points"

    def evaluate(self, truth: Sequence[Objects], found: Sequence[KeyPoints]) -> Evaluated:
        """As COCO does, which counts the 20 best poses of a picture."""
        return evaluate_keypoints(truth, found, self._sigmas, MOST_POSES)

    def evaluate_agreement(self, truth: Sequence[Objects], found: Sequence[KeyPoints]) -> Evaluated:
        """Of as many objects as there are boxes."""
        return evaluate_keypoints(truth, found, self._sigmas)


def shape_kinds(detector: Detector, sigmas: Sequence[float] = ()) -> list[ShapeKind]:
    """What a detector gives: boxes, masks where it has prototypes, key points where it has them.

    Args:
        detector: the network's decoding.
        sigmas: the user's own, of key points (`data.evaluation.kpt_oks_sigmas`).
    """
    kinds: list[ShapeKind] = [BoxShapes()]
    if detector.prototypes is not None:
        kinds.append(MaskShapes(detector.prototypes))
    if detector.keypoints:
        kinds.append(KeyPointShapes(sigmas))
    return kinds


def wanted_shapes(detector: Detector) -> Shapes:
    """What is wanted of labels, beside boxes, to score all that a detector gives."""
    return Shapes(detector.prototypes is not None, detector.keypoints)


def instance_masks(detections: Detections, prototypes: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Masks of YOLO's kind (Bolya et al., YOLACT, 2019), [N, H, W] in the prototypes' pixels.

    A pixel belongs to an object if it is inside its box and the sum of the prototypes there, each times its
    coefficient, is positive.

    Args:
        detections: with M coefficients each.
        prototypes: [1, M, H, W].
        size: height and width of the network's input, in which the boxes are.
    """
    inside = _mixed(detections, prototypes) > 0
    height, width = inside.shape[1:]
    boxes = detections.boxes * np.array([width / size[1], height / size[0]] * 2, np.float32)
    columns, lines = np.arange(width), np.arange(height)
    x0, y0, x1, y1 = (edge[:, None] for edge in boxes.T)
    across = (columns >= x0) & (columns < x1)
    down = (lines >= y0) & (lines < y1)
    masks: NDArray[np.bool_] = inside & down[:, :, None] & across[:, None]
    return masks


def picture_masks(
    detections: Detections, prototypes: Floats, size: tuple[int, int], placement: Placement
) -> tuple[MaskCode, ...]:
    """The same masks in pixels of the picture, as run-length codes.

    A pixel belongs to an object if its middle is inside the box and the sum there, interpolated linearly between the
    middles of the prototypes' pixels, is positive.

    Args:
        detections: N, with M coefficients each.
        prototypes: [1, M, H, W].
        size: height and width of the network's input, in which the boxes are.
        placement: of the picture in the input.
    """
    (height, width), mixed = placement.picture, _mixed(detections, prototypes)
    lines = _positions(height, placement.scaled[0], placement.top, mixed.shape[1] / size[0])
    columns = _positions(width, placement.scaled[1], placement.left, mixed.shape[2] / size[1])
    # the first pixel whose middle is at an edge or behind it
    edges = np.ceil(placement.to_picture(detections.boxes) - 0.5)
    edges = np.clip(edges, 0, [width, height, width, height]).astype(int)
    codes = []
    for values, (left, top, right, bottom) in zip(mixed, edges.tolist(), strict=True):
        window = _interpolated(_interpolated(values, lines[top:bottom]).T, columns[left:right]).T
        codes.append(mask_of_window(window > 0, top, left, height, width))
    return tuple(codes)


def _mixed(detections: Detections, prototypes: Floats) -> Floats:
    """The prototypes' sums with each object's coefficients, [N, H, W]."""
    assert detections.masks is not None
    count, height, width = prototypes.shape[1:]
    return (detections.masks @ prototypes.reshape(count, -1)).reshape(-1, height, width)


def _positions(count: int, scaled: int, offset: int, ratio: float) -> Doubles:
    """Where the middles of a picture's lines or columns lie in the prototypes, whose first pixel's middle is at 0.

    Args:
        count: of lines or columns.
        scaled: lines or columns that they are in the input.
        offset: in the input.
        ratio: of the prototypes' size to the input's.
    """
    middles = np.arange(count, dtype=np.float64) + 0.5
    return (middles * (scaled / count) + offset) * ratio - 0.5


def _interpolated(values: Floats, positions: Doubles) -> Floats:
    """Linearly between the lines of an array [H, W], beyond the outer ones the same as there: [positions, W]."""
    last = len(values) - 1
    places = np.clip(positions, 0, last)
    below = np.minimum(places.astype(int), max(last - 1, 0))
    part = (places - below).astype(np.float32)[:, None]
    mixed: Floats = values[below] * (1 - part) + values[np.minimum(below + 1, last)] * part
    return mixed


def _points(seen: Seen) -> Doubles:
    """Key points, [N, K, 2], in pixels of the picture; of a sample that is no picture, of the input."""
    assert seen.detections.keypoints is not None
    xy = seen.detections.keypoints[..., :2]
    flat = np.nan_to_num(xy.reshape(-1, 2), nan=FARTHEST, posinf=FARTHEST, neginf=-FARTHEST)
    flat = np.clip(flat, -FARTHEST, FARTHEST).astype(np.float32)
    points: Doubles = _in_picture(np.concatenate([flat, flat], axis=1), seen.placement)[:, :2].reshape(xy.shape)
    return points


def _in_picture(boxes: Floats, placement: Placement | None) -> Doubles:
    """Corners [N, 4] in pixels of the picture; of a sample that is no picture, of the input."""
    return boxes.astype(np.float64) if placement is None else placement.to_picture(boxes)
