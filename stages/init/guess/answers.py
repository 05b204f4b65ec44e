"""How much a network says about pictures: what of its answers is sure, differs, and survives a small shift.

A network that is fed as it was trained tells pictures apart and says the same of a picture that is moved by a few
pixels. One that is fed otherwise answers alike whatever it sees, or changes its mind. Both show in one number: the
mutual information of the answers on the pictures and on the shifted pictures, in nats.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import PICTURE_RANK
from stages.core.heads.detections import Detections
from stages.core.heads.matching import match
from stages.core.outputs.output_kind import OutputKind, ValueSummary, class_axis, kind_of

__all__ = ["are_values", "box_information", "information", "shifted", "thinned", "thinning_stride"]

Floats = NDArray[np.float32]
Pairs = Sequence[tuple[Mapping[str, Floats], Mapping[str, Floats]]]
"""Of each picture the outputs on it and on the shifted one, by name."""

MOST_SIDE = 64
"""Rows and columns of a map that count, evenly over all: more would only take memory."""
MOST_CORRELATION = 0.999
"""Of values: beyond it more says nothing."""
SHIFTED_SIDES = 160
"""A picture is moved by a pixel for so many of its side."""

NO_BOXES = 0.1
"""Scores a picture that a detector must find to be believed half: one that finds next to nothing is not steady."""


def shifted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move a picture [H, W, C] down and to the right by a pixel for each 160 of its side, the border repeated."""
    step = max(min(picture.shape[:2]) // SHIFTED_SIDES, 1)
    padded = np.pad(picture, ((step, 0), (step, 0), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[: picture.shape[0], : picture.shape[1]])


def thinned(values: Floats, stride: int) -> Floats:
    """Leave out rows and columns of an output [N, C, H, W]; others stay as they are."""
    return values[..., ::stride, ::stride] if values.ndim == PICTURE_RANK else values


def thinning_stride(shape: Sequence[int | str]) -> int:
    """So that an output of this shape keeps at most 64 rows and columns."""
    sides = [int(side) for side in shape[2:]] if len(shape) == PICTURE_RANK else [1]
    return -(-max(sides) // MOST_SIDE)


def information(pairs: Pairs, sides: Mapping[str, int]) -> float:
    """The mutual information of the answers and those after a shift: the mean over outputs, in nats.

    Args:
        pairs: of each picture.
        sides: the outputs that answer -> rows of the network's picture, thinned as the output is.
    """
    measured = [_of_output([(a[name], b[name]) for a, b in pairs], side) for name, side in sides.items()]
    return float(np.mean(measured)) if measured else 0.0


def are_values(pairs: Pairs, sides: Mapping[str, int]) -> bool:
    """Whether an answer is neither probabilities nor scores of classes, but values such as coordinates.

    What these tell grows with the size of what is fed: far from what it was trained with a network is linear.
    """
    for name, side in sides.items():
        seen, kind = _summary([a[name] for a, _ in pairs], side)
        if not kind.is_share and not _has_classes(seen, kind):
            return True
    return False


def _summary(answers: Sequence[Floats], input_side: int) -> tuple[ValueSummary, OutputKind]:
    seen = ValueSummary()
    for answer in answers:
        seen.add(answer)
    return seen, kind_of(seen, 1.0, input_side)


def _has_classes(seen: ValueSummary, kind: OutputKind) -> bool:
    return class_axis(seen.shape) is not None and (kind.has_classes or seen.probabilities_of_classes)


def _of_output(pairs: Sequence[tuple[Floats, Floats]], input_side: int) -> float:
    values = np.array(list(pairs), np.float64)  # [pictures, 2, ...]
    if not np.isfinite(values).all():
        return 0.0
    seen, kind = _summary([first for first, _ in pairs], input_side)
    axis = class_axis(seen.shape)
    if kind.is_share:
        return _of_shares(values)
    if axis is not None and _has_classes(seen, kind):
        rows = np.moveaxis(values, 2 + axis, -1)
        rows = rows.reshape(len(pairs), 2, -1, rows.shape[-1])
        if not seen.probabilities_of_classes:
            rows = _softmax(rows)
        return _of_classes(rows[:, 0].reshape(-1, rows.shape[-1]), rows[:, 1].reshape(-1, rows.shape[-1]))
    return _of_values(values.reshape(len(pairs), 2, -1))


def _softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(rows - rows.max(axis=-1, keepdims=True))
    normalized: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return normalized


def _of_classes(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mutual information of two class distributions, [rows, classes] each, over the rows."""
    joint = first.T @ second / len(first)
    joint = (joint + joint.T) / 2
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    positive = (joint > 0) & (expected > 0)
    return float((joint[positive] * np.log(joint[positive] / expected[positive])).sum())


def _of_shares(values: NDArray[np.float64]) -> float:
    """Probabilities, each by itself: [pictures, 2, ...]; the mean over them, or over all pixels of a map together."""
    flat = np.clip(values.reshape(*values.shape[:2], -1), 0.0, 1.0)
    if values.ndim > 4:  # a map: its pixels are rows of one probability
        flat = np.moveaxis(flat, 2, 1).reshape(-1, 2, 1)
    measured = []
    for column in np.moveaxis(flat, 2, 0):
        first, second = (np.stack([1 - side, side], axis=1) for side in column.T)
        measured.append(_of_classes(first, second))
    return float(np.mean(measured))


def _of_values(values: NDArray[np.float64]) -> float:
    """Values, [pictures, 2, N], as if normal: from the correlation over the pictures, the mean over those that vary."""
    first, second = (side - side.mean(axis=0) for side in (values[:, 0], values[:, 1]))
    power = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    varying = power > 0
    if not varying.any():
        return 0.0
    correlation = np.clip((first * second).sum(axis=0)[varying] / power[varying], 0.0, MOST_CORRELATION)
    return float(-0.5 * np.log(1.0 - correlation**2).mean())


def box_information(pairs: Sequence[tuple[Detections, Detections]]) -> float:
    """What part of a detector's boxes survives a shift, by their scores; of no boxes 0.

    Args:
        pairs: of each picture the boxes on it and on the shifted one, after suppression.
    """
    kept = lost = 0.0
    for first, second in pairs:
        found = match(first, second)
        kept += float(np.minimum(first.scores[found.pairs[:, 0]], second.scores[found.pairs[:, 1]]).sum())
        lost += float(first.scores[found.missed].sum() + second.scores[found.invented].sum())
    return kept / (kept + lost / 2 + NO_BOXES * len(pairs)) if pairs else 0.0
