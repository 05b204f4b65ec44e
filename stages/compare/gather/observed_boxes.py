"""What a detector finds on the debug pictures, float against quantized."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Comparison
from stages.core.config.schema import Config
from stages.core.data.preprocess import Placement
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.box_counts import BoxCounts, invented_boxes, lost_boxes
from stages.core.heads.detections import Detections, Floats
from stages.core.heads.detector import Detector, find_detector
from stages.core.heads.head_file import ExportedHead, load_head
from stages.core.heads.matching import Matches, match

__all__ = ["BoxObserver", "ObservedBoxes", "PictureBoxes", "in_picture", "open_boxes"]


@dataclass(frozen=True)
class PictureBoxes:
    """What both networks find in a debug picture, in pixels of the input, the best first.

    Attributes:
        name: the picture's.
        placement: of the picture in the input; None for a sample that is no picture.
        reference: of the float network.
        quantized: of the quantized network.
        decoded_in_float: of the quantized network if it ended at the head's last convolutions; None if it does, or
            if the head is not known.
        threshold: score from which a box is shown.
    """

    name: str
    placement: Placement | None
    reference: Detections
    quantized: Detections
    decoded_in_float: Detections | None
    threshold: float

    @cached_property
    def shown(self) -> tuple[Detections, Detections]:
        """The boxes that reach the threshold, float and quantized."""
        return self.reference.above(self.threshold), self.quantized.above(self.threshold)

    @cached_property
    def matches(self) -> Matches:
        """Which of the shown boxes are the same."""
        return match(*self.shown)

    @cached_property
    def lost(self) -> NDArray[np.int64]:
        """Indices of the float network's shown boxes of which the quantized one has nothing, not even fainter."""
        return lost_boxes(self.reference, self.quantized, self.threshold)

    @cached_property
    def invented(self) -> NDArray[np.int64]:
        """Indices of the quantized network's shown boxes of which the float one has nothing, not even fainter."""
        return invented_boxes(self.reference, self.quantized, self.threshold)


@dataclass(frozen=True)
class ObservedBoxes:
    """What both networks find in the debug pictures.

    Attributes:
        detector: the decoding's name.
        threshold: score from which a box is shown.
        pictures: in their order.
    """

    detector: str
    threshold: float
    pictures: Sequence[PictureBoxes]

    @cached_property
    def counts(self) -> BoxCounts:
        """How many both networks show."""
        counts = (BoxCounts.of(each.reference, each.quantized, each.threshold) for each in self.pictures)
        return sum(counts, BoxCounts())

    @property
    def lost_if_cut(self) -> int | None:
        """Boxes that would be lost if the network ended at the head's last convolutions; None if it does."""
        lost = [
            None if (cut := each.decoded_in_float) is None else len(lost_boxes(each.reference, cut, each.threshold))
            for each in self.pictures
        ]
        return None if None in lost else sum(filter(None, lost))

    def scores(self) -> tuple[Floats, Floats]:
        """All scores of both networks' boxes, the faint ones too, [N] each."""
        sides = zip(*((picture.reference.scores, picture.quantized.scores) for picture in self.pictures), strict=True)
        reference, quantized = (np.concatenate(side) for side in sides)
        return reference, quantized


@dataclass
class BoxObserver:
    """Takes in pictures one by one.

    Attributes:
        detector: decodes the outputs.
        outputs: names of the network's outputs.
        head: of the network, if export recognized one.
    """

    detector: Detector
    outputs: Sequence[str]
    head: ExportedHead | None
    _pictures: list[PictureBoxes] = field(default_factory=list)

    def add(self, comparison: Comparison) -> None:
        """Take in one picture."""
        sides = (comparison.expected, comparison.actual)
        reference, quantized = (self.detector.detect({name: side[name] for name in self.outputs}) for side in sides)
        picture, threshold = comparison.picture, self.detector.score_threshold
        undecoded = self._decoded_in_float(comparison.actual)
        self._pictures.append(PictureBoxes(picture.name, picture.placement, reference, quantized, undecoded, threshold))

    def observed(self) -> ObservedBoxes:
        """What was found in the pictures so far."""
        return ObservedBoxes(self.detector.name, self.detector.score_threshold, self._pictures)

    def _decoded_in_float(self, values: Mapping[str, Floats]) -> Detections | None:
        """What the quantized network finds if its head's last convolutions are decoded in float."""
        if self.head is None or self.head.cut or not values.keys() >= set(self.head.head.tensors):
            return None
        return replace(self.detector, decode=self.head.head.decode).detect(values)


def open_boxes(path: Path, reference: Graph, config: Config) -> BoxObserver | None:
    """What looks at a detector's boxes; None of a network that is none, or whose outputs are not all float.

    Args:
        path: of what export says of the head.
        reference: the float network.
        config: the experiment.
    """
    detector = find_detector(path, reference, config)
    return BoxObserver(detector, reference.outputs, load_head(path)) if detector else None


def in_picture(boxes: Floats, placement: Placement | None) -> NDArray[np.float64]:
    """Boxes in pixels of the picture; of a sample that is none, of the input."""
    return boxes.astype(np.float64) if placement is None else placement.to_picture(boxes)
