"""A detector's outputs to boxes in NumPy, from the tensors as they are exported (NCHW): to hold the C++ against."""

import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def cells(height, width, stride):
    """Column and row of each cell, row by row."""
    rows, columns = np.indices((height // stride, width // stride))
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


def yolox(rows, height, width, strides, logits=False):
    """Corners, scores and classes of [n, 5 + classes] rows, all strides after each other."""
    rows = rows.astype(np.float64)
    grid = np.concatenate([cells(height, width, stride) for stride in strides])
    steps = np.concatenate([np.full(len(cells(height, width, stride)), stride) for stride in strides])[:, np.newaxis]
    centres, sizes = (rows[:, :2] + grid) * steps, np.exp(rows[:, 2:4]) * steps
    scores = logistic(rows[:, 4:]) if logits else rows[:, 4:]
    return _best(centres, sizes, scores)


def yolov5(maps, height, width, strides, anchors):
    """The same of [1, anchors * (5 + classes), h, w] maps, a stride each; `anchors` [strides, n, 2]."""
    boxes = []
    for values, stride, sides in zip(maps, strides, anchors, strict=True):
        _, channels, h, w = values.shape
        split = logistic(values.astype(np.float64).reshape(len(sides), channels // len(sides), h, w))
        grid = cells(height, width, stride)
        for part, side in zip(split, sides, strict=True):
            rows = part.reshape(len(part), h * w).T
            centres, sizes = (rows[:, :2] * 2 - 0.5 + grid) * stride, (rows[:, 2:4] * 2) ** 2 * side
            boxes.append(_best(centres, sizes, rows[:, 4:]))
    return tuple(np.concatenate(parts) for parts in zip(*boxes, strict=True))


def _best(centres, sizes, scores):
    product = scores[:, :1] * scores[:, 1:]
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    return corners, product.max(axis=1), product.argmax(axis=1)


def suppressed(corners, scores, classes, threshold, overlap):
    """Those that stay, the best first: [n, 6] of left, top, right, bottom, score, class."""
    kept = scores >= threshold
    boxes = np.column_stack([corners[kept], scores[kept], classes[kept]])
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    low = np.maximum(boxes[:, np.newaxis, :2], boxes[:, :2])
    high = np.minimum(boxes[:, np.newaxis, 2:4], boxes[:, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1)
    union = areas[:, np.newaxis] + areas - shared
    worse = (shared / union > overlap) & (boxes[:, np.newaxis, 5] == boxes[:, 5])
    stays = np.ones(len(boxes), bool)
    for index in range(len(boxes)):
        if stays[index]:
            stays[index + 1 :] &= ~worse[index, index + 1 :]
    return boxes[stays]
