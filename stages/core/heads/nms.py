"""Non-maximum suppression, as the board computes it."""

import numpy as np

from stages.core.heads.detections import Detections, Floats

__all__ = ["intersection_over_union", "nms"]


def nms(detections: Detections, iou_threshold: float, max_detections: int | None = None) -> Detections:
    """Drop boxes that overlap a better one of their class by more than the threshold.

    Greedy: the best box is kept, then the best of those that it does not suppress, and so on. Of equal scores the
    earlier row is the better one, so that the result does not depend on the sort.

    Args:
        detections: those above the score threshold.
        iou_threshold: intersection over union above which the worse box is dropped.
        max_detections: keep at most so many, the best ones; None keeps all.

    Returns:
        What is kept, the best first.
    """
    order = np.argsort(-detections.scores, kind="stable")
    kept: list[np.int64] = []
    while len(order) and (max_detections is None or len(kept) < max_detections):
        best, rest = order[0], order[1:]
        kept.append(best)
        suppressed = detections.classes[rest] == detections.classes[best]
        overlaps = intersection_over_union(detections.boxes[best], detections.boxes[rest[suppressed]])
        suppressed[suppressed] = overlaps > np.float32(iou_threshold)
        order = rest[~suppressed]
    return detections.select(np.array(kept, np.int64))


def intersection_over_union(box: Floats, others: Floats) -> Floats:
    """Overlap of a box [4] with others [N, 4]: common area over the area of both; 0 where they only touch."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], np.float32(0))
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    union = area + areas - common
    overlaps: Floats = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return overlaps
