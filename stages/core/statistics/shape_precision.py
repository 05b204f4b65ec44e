"""Mean average precision of masks and of key points as COCO defines it, computed by pycocotools."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from stages.core.statistics.average_precision import Annotation, Evaluated, evaluate_annotations

__all__ = ["KeyPoints", "Masks", "evaluate_keypoints", "evaluate_masks", "oks_sigmas"]

PERSON_SIGMAS = (
    .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
)  # fmt: skip
"""COCO's, of the 17 points of a person: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles."""
SEEN = 0.5
"""How visible a point is that must be found."""


@dataclass(frozen=True)
class Masks:
    """Masks of the objects in a picture.

    Attributes:
        codes: run-length codes of pycocotools, one an object.
        scores: [N].
        classes: [N].
    """

    codes: tuple[dict[str, bytes | list[int]], ...]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, masks: NDArray[np.bool_], scores: NDArray[np.float32], classes: NDArray[np.int64]) -> "Masks":
        """Encode masks, [N, H, W]."""
        codes = mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), np.uint8))
        return cls(tuple(codes), scores.astype(np.float64), classes)


@dataclass(frozen=True)
class KeyPoints:
    """Key points of the objects in a picture.

    Attributes:
        points: [N, K, 3], x and y in pixels and how visible, 0..1.
        boxes: [N, 4], x0, y0, x1, y1 in pixels.
        scores: [N].
        classes: [N].
    """

    points: NDArray[np.float64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


def evaluate_masks(truth: Sequence[Masks], found: Sequence[Masks]) -> Evaluated:
    """Match the masks that were found in each picture with those that there are, by their overlap.

    Args:
        truth: for each picture; scores do not count.
        found: for the same pictures.
    """
    return evaluate_annotations(
        [list(_of_masks(one)) for one in truth], [list(_of_masks(one)) for one in found], "segm"
    )


def evaluate_keypoints(truth: Sequence[KeyPoints], found: Sequence[KeyPoints]) -> Evaluated:
    """Match key points by their object key point similarity (OKS): near ones, in parts of the object's size.

    Of the truth only visible points count, and an object without any need not be found.

    Args:
        truth: for each picture, K points an object in all of them; scores do not count.
        found: for the same pictures.
    """
    count = max((one.points.shape[1] for one in (*truth, *found)), default=0)
    annotations = [[list(_of_points(one)) for one in side] for side in (truth, found)]
    return evaluate_annotations(annotations[0], annotations[1], "keypoints", oks_sigmas(count))


def oks_sigmas(count: int) -> NDArray[np.float64]:
    """How precisely each of the points can be placed: COCO's for 17, else alike for all, as Ultralytics has it."""
    return np.array(PERSON_SIGMAS) if count == len(PERSON_SIGMAS) else np.full(count, 1 / max(count, 1))


def _of_masks(masks: Masks) -> Iterator[Annotation]:
    for code, score, number in zip(masks.codes, masks.scores, masks.classes, strict=True):
        yield {
            "category_id": int(number),
            "segmentation": code,
            "area": float(mask.area(code)),
            "bbox": mask.toBbox(code).tolist(),
            "score": float(score),
        }


def _of_points(objects: KeyPoints) -> Iterator[Annotation]:
    for points, (x0, y0, x1, y1), score, number in zip(
        objects.points, objects.boxes, objects.scores, objects.classes, strict=True
    ):
        seen = points[:, 2] >= SEEN
        flags = np.where(seen, 2, 0)
        yield {
            "category_id": int(number),
            "keypoints": np.concatenate([points[:, :2], flags[:, None]], axis=1).ravel().tolist(),
            "num_keypoints": int(seen.sum()),
            "area": float((x1 - x0) * (y1 - y0)),
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": float(score),
        }
