"""Mean average precision of masks and of key points as COCO defines it, computed by pycocotools."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.data.masks import MaskCode, area
from stages.core.data.objects import Objects
from stages.core.statistics.average_precision import (
    MOST_FOUND,
    Annotation,
    Evaluated,
    evaluate_annotations,
    true_annotations,
)

__all__ = ["MOST_POSES", "KeyPoints", "Masks", "evaluate_keypoints", "evaluate_masks", "oks_sigmas"]

PERSON_SIGMAS = (
    .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089,
)  # fmt: skip
"""COCO's, of the 17 points of a person: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles."""
MOST_POSES = 20
"""Objects with key points that count in a picture, as COCO has it: the best ones of each class."""
SIGMAS_KEY = "data.evaluation.kpt_oks_sigmas"


@dataclass(frozen=True)
class Masks:
    """Masks that were found in a picture.

    Attributes:
        codes: run-length codes of pycocotools, one an object.
        scores: [N].
        classes: [N].
    """

    codes: tuple[MaskCode, ...]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


@dataclass(frozen=True)
class KeyPoints:
    """Key points that were found in a picture.

    Attributes:
        points: [N, K, 2], x and y in pixels.
        scores: [N].
        classes: [N].
    """

    points: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int64]


def evaluate_masks(truth: Sequence[Objects], found: Sequence[Masks]) -> Evaluated:
    """Match the masks that were found in each picture with those that there are, by their overlap.

    Args:
        truth: for each picture, all with masks, of as many lines and columns as those found.
        found: for the same pictures.
    """
    annotations = [list(_true_masks(one)) for one in truth], [list(_found_masks(one)) for one in found]
    return evaluate_annotations(*annotations, "segm")


def evaluate_keypoints(
    truth: Sequence[Objects], found: Sequence[KeyPoints], sigmas: Sequence[float] = (), most: int = MOST_FOUND
) -> Evaluated:
    """Match key points by their object key point similarity (OKS): near ones, in parts of the object's size.

    Of the truth only labelled points count, and an object without any need not be found.

    Args:
        truth: for each picture, K points an object in all of them.
        found: for the same pictures.
        sigmas: K of them; empty: `oks_sigmas` has them.
        most: found ones of a class in a picture that count, the best ones.

    Raises:
        UserError: if there are not K sigmas.
    """
    count = max((one.points.shape[1] for one in found), default=0)
    annotations = [list(_true_keypoints(one)) for one in truth], [list(_found_keypoints(one)) for one in found]
    return evaluate_annotations(*annotations, "keypoints", oks_sigmas(count, sigmas), most)


def oks_sigmas(count: int, given: Sequence[float] = ()) -> NDArray[np.float64]:
    """How precisely each of the points can be placed: COCO's for 17, else alike for all, as Ultralytics has it.

    Args:
        count: of the points.
        given: the user's own, in place of those.

    Raises:
        UserError: if the user's are not as many.
    """
    if given and len(given) != count:
        raise UserError(
            f"{SIGMAS_KEY}={list(given)}: the network gives {count} key points; give {count} numbers, or []"
        )
    if given:
        return np.array(given, np.float64)
    return np.array(PERSON_SIGMAS) if count == len(PERSON_SIGMAS) else np.full(count, 1 / max(count, 1))


def _true_masks(objects: Objects) -> Iterator[Annotation]:
    assert objects.masks is not None
    for annotation, code in zip(true_annotations(objects), objects.masks, strict=True):
        yield annotation | {"segmentation": code}


def _found_masks(masks: Masks) -> Iterator[Annotation]:
    for code, score, number in zip(masks.codes, masks.scores, masks.classes, strict=True):
        yield {"category_id": int(number), "segmentation": code, "area": area(code), "score": float(score)}


def _true_keypoints(objects: Objects) -> Iterator[Annotation]:
    assert objects.keypoints is not None
    assert objects.keypoint_counts is not None
    for annotation, points, count in zip(
        true_annotations(objects), objects.keypoints, objects.keypoint_counts, strict=True
    ):
        yield annotation | {"keypoints": points.ravel().tolist(), "num_keypoints": int(count)}


def _found_keypoints(found: KeyPoints) -> Iterator[Annotation]:
    """As pycocotools reads results: an object is as large as what its points span."""
    for points, score, number in zip(found.points, found.scores, found.classes, strict=True):
        yield {
            "category_id": int(number),
            "keypoints": np.concatenate([points, np.ones((len(points), 1))], axis=1).ravel().tolist(),
            "area": float(np.ptp(points, axis=0).prod()),
            "score": float(score),
        }
