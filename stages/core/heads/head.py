"""What a head is: where its values are, and how they become boxes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import ClassVar

import numpy as np

from stages.core.heads.detections import Detections, Floats, Predictions

__all__ = [
    "LEAST_PROBABILITY",
    "BoxForm",
    "Columns",
    "Evidence",
    "Head",
    "Kind",
    "Level",
    "Stage",
    "View",
    "corners",
    "sigmoid",
    "softmax",
]


LEAST_PROBABILITY = np.float32(1e-7)
"""Where the inverse of the logistic function ends: 1 less it is still below 1 in float32."""


class Kind(StrEnum):
    """What the values of a cut tensor are."""

    boxes = "boxes"  # four values, or the distributions of four
    sizes = "sizes"  # of a centre-point head, whose boxes are apart: height and width
    objectness = "objectness"
    classes = "classes"
    keypoints = "keypoints"
    masks = "masks"  # coefficients of the mask prototypes


@dataclass(frozen=True)
class View:
    """The channels of a cut tensor that hold one kind of values: those of anchor a begin at `first + a * step`.

    Attributes:
        tensor: output of a last convolution, [1, C, H, W].
        first: channel.
        count: channels of an anchor.
        step: channels from an anchor to the next.
    """

    tensor: str
    first: int
    count: int
    step: int


@dataclass(frozen=True)
class Level:
    """One grid of cells.

    Attributes:
        stride: pixels of the input a cell.
        rows: cells from top to bottom.
        columns: cells from left to right.
        views: where the values are.
        anchors: width and height in pixels of each anchor of a cell; without anchors one of the cell's size for each
            row that a cell has.
    """

    stride: int
    rows: int
    columns: int
    views: dict[Kind, View]
    anchors: tuple[tuple[float, float], ...]

    @property
    def count(self) -> int:
        """Rows of the level: cells times anchors."""
        return self.rows * self.columns * len(self.anchors)

    def read(self, kind: Kind, outputs: Mapping[str, Floats]) -> Floats:
        """Give the values of one kind, [anchors, cells, count]; the cells row by row."""
        view = self.views[kind]
        channels = np.asarray(outputs[view.tensor], np.float32).reshape(-1, self.rows * self.columns)
        firsts = [view.first + anchor * view.step for anchor in range(len(self.anchors))]
        return np.stack([channels[first : first + view.count].T for first in firsts])


class Stage(IntEnum):
    """How far a graph decodes a kind of values."""

    raw = 0  # as they leave the convolutions
    activated = 1  # after the logistic function or softmax
    decoded = 2  # boxes and points in pixels or in parts of the input, scores with the objectness


class BoxForm(StrEnum):
    """How a graph's four columns give a box."""

    corners = "corners"  # x0, y0, x1, y1
    centre_size = "centre_size"  # x, y of the middle, width, height
    corner_size = "corner_size"  # x0, y0, width, height
    corners_y_first = "corners_y_first"  # y0, x0, y1, x1

    def write(self, boxes: Floats) -> Floats:
        """Give corners [N, 4] in this form."""
        first, last = boxes[:, :2], boxes[:, 2:]
        match self:
            case BoxForm.corners:
                return boxes
            case BoxForm.centre_size:
                return np.concatenate([(first + last) / 2, last - first], axis=1)
            case BoxForm.corner_size:
                return np.concatenate([first, last - first], axis=1)
            case BoxForm.corners_y_first:
                return np.concatenate([first[:, ::-1], last[:, ::-1]], axis=1)

    def read(self, values: Floats) -> Floats:
        """Give corners, [N, 4], from values of this form."""
        first, last = values[:, :2], values[:, 2:]
        match self:
            case BoxForm.corners:
                return values
            case BoxForm.centre_size:
                return corners(first, last)
            case BoxForm.corner_size:
                return np.concatenate([first, first + last], axis=1)
            case BoxForm.corners_y_first:
                return np.concatenate([first[:, ::-1], last[:, ::-1]], axis=1)


@dataclass(frozen=True)
class Columns:
    """Columns of a graph's tensor that hold values of a head.

    Attributes:
        kinds: what the values say; objectness and classes together where a score is their product.
        stage: how far they are decoded.
        tensor: that holds them.
        start: row of the head that is the tensor's first.
        stop: row of the head after the tensor's last.
        first: column.
        count: columns.
        form: of decoded boxes.
        relative: decoded boxes and points are parts of the input's size, not pixels.
    """

    kinds: tuple[Kind, ...]
    stage: Stage
    tensor: str
    start: int
    stop: int
    first: int
    count: int
    form: BoxForm | None = None
    relative: bool = False


@dataclass(frozen=True)
class Evidence:
    """Where a head's values are in a graph.

    Attributes:
        stages: how far the graph decodes each kind.
        tensors: what holds each kind, one tensor or one a level; outputs, or before the operators that choose rows.
        shapes: of these tensors.
        columns: of these tensors, to read the values from.
        difference: the largest between the head's number and the graph's, in pixels or relative to larger numbers.
        selectors: operators of the graph that choose rows, such as TopK.
        others: outputs that have other values, such as mask prototypes.
    """

    stages: dict[Kind, Stage]
    tensors: dict[Kind, tuple[str, ...]]
    shapes: dict[str, tuple[int, ...]]
    columns: tuple[Columns, ...]
    difference: float
    selectors: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def decoded(self) -> bool:
        """Whether the graph decodes boxes and key points, and scores at least to probabilities."""
        points = [self.stages[kind] for kind in (Kind.boxes, Kind.keypoints) if kind in self.stages]
        return min(points) is Stage.decoded and self.stages[Kind.classes] > Stage.raw

    def describe(self) -> str:
        """Say where the values are, such as `boxes and classes joined in output0 [1, 22, 2100]`."""
        holders: dict[tuple[str, ...], list[str]] = {}
        for kind, tensors in self.tensors.items():
            holders.setdefault(tensors, []).append(kind.value)
        clauses = []
        for tensors, kinds in holders.items():
            joined = " joined" if len(kinds) > 1 else ""
            more = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
            clauses.append(f"{_listed(kinds)}{joined} in {tensors[0]} {list(self.shapes[tensors[0]])}{more}")
        return ", ".join(clauses)


@dataclass(frozen=True)
class Head(ABC):
    """A detector's head, recognized.

    Attributes:
        height: of the network's input in pixels.
        width: of the network's input in pixels.
        levels: the grids, the finest first.
        evidence: where a graph has the values; None for a head that was named by hand.
    """

    height: int
    width: int
    levels: tuple[Level, ...]
    evidence: Evidence | None = None

    cells_first: ClassVar[bool] = False
    """Whether a cell's anchors are rows beside each other; otherwise each anchor's cells are."""
    activated: ClassVar[tuple[Kind, ...]] = (Kind.objectness, Kind.classes)
    """Kinds that go through the logistic function or softmax."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """How boxes are coded in one word; `model.detector.kind`'s where the board program knows it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The family, as its papers and exporters call it."""

    @property
    @abstractmethod
    def coding(self) -> str:
        """A clause on how boxes are coded, such as `16 distance bins`."""

    @abstractmethod
    def boxes(self, outputs: Mapping[str, Floats]) -> Floats:
        """Boxes of all rows, [N, 4], x0, y0, x1, y1 in pixels."""

    @abstractmethod
    def scores(self, outputs: Mapping[str, Floats]) -> Floats:
        """Scores of all rows and classes, [N, C], 0..1."""

    def keypoints(self, outputs: Mapping[str, Floats]) -> Floats | None:
        """Key points of all rows, [N, K, 3], or None."""
        return None

    def probabilities(self, kind: Kind, outputs: Mapping[str, Floats]) -> Floats:
        """A kind that is activated, for all rows, [N, count], after the logistic function or softmax."""
        return sigmoid(self.read(kind, outputs))

    def logits(self, kind: Kind, probabilities: Floats) -> Floats:
        """The inverse of `probabilities`, up to what these do not tell apart; of 0 and 1 a large finite number."""
        del kind
        inside = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        logits: Floats = np.log(inside / (1 - inside))
        return logits

    def trusted(self, evidence: Evidence) -> str | None:
        """What has to be taken on trust where the graph does not decode; None if that would be too much."""
        return None

    def __str__(self) -> str:
        strides = ", ".join(str(level.stride) for level in self.levels)
        levels = (
            f"{len(self.levels)} levels at strides {strides}"
            if len(self.levels) > 1
            else f"1 level at stride {strides}"
        )
        classes = "1 class" if self.classes == 1 else f"{self.classes} classes"
        said = f"{self.name}: {levels}, {self.coding}, {classes}"
        if self.evidence is None:
            return said
        said = f"{said}, {self.evidence.describe()}"
        if not self.evidence.decoded:
            logits = ", scores taken as logits" if self.evidence.stages[Kind.classes] is Stage.raw else ""
            return f"{said}; not decoded by the graph: {self.trusted(self.evidence)}{logits}"
        chosen = f"{_listed(self.evidence.selectors)} after it" if self.evidence.selectors else ""
        others = f"other outputs: {_listed(self.evidence.others)}" if self.evidence.others else ""
        checked = f"decoded by the graph, checked to {self.evidence.difference:.0e}"
        return "; ".join(filter(None, (said, checked, chosen, others)))

    @property
    def one_to_one(self) -> bool:
        """Whether each object has one row, so that no NMS is needed."""
        return False

    @property
    def tensors(self) -> list[str]:
        """Where to cut: the outputs of the last convolutions, level by level."""
        return list(dict.fromkeys(view.tensor for level in self.levels for view in level.views.values()))

    @property
    def kinds(self) -> list[Kind]:
        """What the head returns of each row."""
        return list(self.levels[0].views)

    @property
    def classes(self) -> int:
        """Classes, without the background."""
        return self.levels[0].views[Kind.classes].count

    @property
    def keypoint_count(self) -> int:
        """Key points of a row, x and y each; 0 where the head gives none."""
        return self.levels[0].views[Kind.keypoints].count // 2 if Kind.keypoints in self.kinds else 0

    @property
    def count(self) -> int:
        """Rows: cells times anchors of all levels."""
        return sum(level.count for level in self.levels)

    def predict(self, outputs: Mapping[str, Floats]) -> Predictions:
        """Decode all rows.

        Args:
            outputs: cut tensor -> its value, [1, C, H, W].
        """
        masks = self.read(Kind.masks, outputs) if Kind.masks in self.kinds else None
        return Predictions(self.boxes(outputs), self.scores(outputs), self.keypoints(outputs), masks)

    def decode(self, outputs: Mapping[str, Floats]) -> Detections:
        """Decode all rows, each with its best class: what goes to the score threshold and to NMS.

        Args:
            outputs: cut tensor -> its value, [1, C, H, W].
        """
        return self.predict(outputs).best()

    def read(self, kind: Kind, outputs: Mapping[str, Floats]) -> Floats:
        """Give the values of one kind for all rows as they leave the convolutions, [N, count]."""
        return np.concatenate([self.ordered(level.read(kind, outputs)) for level in self.levels])

    def ordered(self, values: Floats) -> Floats:
        """Bring a level's values, [anchors, cells, count], into the order of its rows, [anchors * cells, count]."""
        rows = values.transpose(1, 0, 2) if self.cells_first else values
        return rows.reshape(-1, values.shape[-1])

    def unread(self, rows: Mapping[Kind, Floats]) -> dict[str, Floats]:
        """The inverse of `read`: cut tensors, [1, C, H, W], from the values of all rows of each kind, [N, count].

        Channels of other kinds are 0.
        """
        tensors: dict[str, Floats] = {}
        for kind, values in rows.items():
            first = 0
            for level in self.levels:
                anchors, cells, view = len(level.anchors), level.rows * level.columns, level.views[kind]
                part = values[first : first + level.count]
                first += level.count
                by_anchor = self.unordered(part, level)
                channels = max(other.first + (anchors - 1) * other.step + other.count
                               for other in level.views.values() if other.tensor == view.tensor)  # fmt: skip
                tensor = tensors.setdefault(view.tensor, np.zeros((1, channels, level.rows, level.columns), np.float32))
                flat = tensor.reshape(channels, cells)
                for anchor in range(anchors):
                    at = view.first + anchor * view.step
                    flat[at : at + view.count] = by_anchor[anchor].T
        return tensors

    def unordered(self, rows: Floats, level: Level) -> Floats:
        """The inverse of `ordered`: a level's rows, [anchors * cells, count], as [anchors, cells, count]."""
        anchors, cells = len(level.anchors), level.rows * level.columns
        if self.cells_first:
            return rows.reshape(cells, anchors, -1).transpose(1, 0, 2)
        return rows.reshape(anchors, cells, -1)

    @cached_property
    def cells(self) -> Floats:
        """Column and line of each row's cell, [N, 2]."""
        return np.concatenate([self._each_anchor(level, _cells(level)) for level in self.levels])

    @cached_property
    def strides(self) -> Floats:
        """Stride of each row's level, [N, 1]."""
        return np.concatenate([np.full((level.count, 1), level.stride, np.float32) for level in self.levels])

    @cached_property
    def anchors(self) -> Floats:
        """Width and height of each row's anchor in pixels, [N, 2]."""
        return np.concatenate(
            [
                self.ordered(
                    np.repeat(np.array(level.anchors, np.float32)[:, None], level.rows * level.columns, axis=1)
                )
                for level in self.levels
            ]
        )

    def _each_anchor(self, level: Level, cells: Floats) -> Floats:
        return self.ordered(np.repeat(cells[None], len(level.anchors), axis=0))


def _cells(level: Level) -> Floats:
    lines, columns = np.divmod(np.arange(level.rows * level.columns), level.columns)
    return np.stack([columns, lines], axis=1).astype(np.float32)


def corners(centres: Floats, sizes: Floats) -> Floats:
    """Boxes from centres [N, 2] and sizes [N, 2]: x0, y0, x1, y1."""
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def sigmoid(x: Floats) -> Floats:
    """The logistic function, without overflow: exp of a negative number alone."""
    exponential = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + exponential), exponential / (1 + exponential))


def softmax(x: Floats) -> Floats:
    """Probabilities along the last axis."""
    exponential = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(exponential / exponential.sum(axis=-1, keepdims=True), np.float32)


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
