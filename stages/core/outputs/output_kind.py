"""What an output is, by its shape and its float values: that decides what is read off it, and what an error costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from stages.core.outputs.reading import PlaceSummary, may_be_logits
from stages.core.outputs.row_summary import RowSummary

__all__ = ["OutputKind", "ValueSummary", "class_axis", "kind_of"]

Array = NDArray[np.float32]


class OutputKind(Enum):
    """Kinds of outputs; the value is what sentences call one."""

    number = "one number"
    probability = "one probability"
    probabilities = "probabilities"
    class_scores = "class scores"
    class_sequence = "class probabilities at each step"
    class_rows = "rows of class scores"
    segmentation = "class scores of each pixel"
    heat_map = "heat map"
    logits = "logits of places"
    embedding = "embedding"
    waveform = "waveform"
    map = "map"
    state = "state for the next step"
    head = "part of a detector's head"
    row = "one row of values"
    values = "values"

    @property
    def is_share(self) -> bool:
        """Whether its values are probabilities, each by itself."""
        return self in (OutputKind.probability, OutputKind.probabilities, OutputKind.heat_map)

    @property
    def has_classes(self) -> bool:
        """Whether the largest of several scores is the answer."""
        return self in (*ROWS, OutputKind.class_scores, OutputKind.segmentation)


ROWS = (OutputKind.class_sequence, OutputKind.class_rows)
"""Kinds of several rows of class scores."""
PICTURE_RANK = 4
LEAST_WAVEFORM = 64
"""Values of a waveform, at least."""
EMBEDDING_STEP = 64
"""Embeddings have a multiple of so many values; numbers of classes rarely do."""
LEAST_EMBEDDING, LEAST_COORDINATES = 16, 8
"""Values of unit length are one from here on; fewer of which none stands out are a few points' coordinates."""
SMOOTH = 0.5
"""Correlation of neighbouring values from which on a row of them is a waveform."""
CERTAIN = 0.9
"""No value of an embedding of unit length reaches it; a distribution that a network is sure of does."""
LEAST_SIDE = 8
"""Rows and columns of a map, at least; of fewer it is a grid of features."""
MOST_CLASSES = 512
"""Channels of a segmentation, at most."""
MOST_STRIDE = 4
"""Pixels of the input to one of a segmentation, at most; what is coarser is more often a detector's grid."""
COLORS = 3
"""Channels of a picture, which is no segmentation."""
SUM_TOLERANCE, RANGE_TOLERANCE, NORM_TOLERANCE = 1e-2, 1e-3, 1e-2
"""How far float16 and softmax's own rounding may put a sum, a range or a length off."""
OWN_VARIATION = 0.2
"""Class scores differ from picture to picture; where less of their variance than this does, the most is what all
pictures have in common, as with coordinates."""
LEAST_CLASSES, LEAST_ANSWERS = 10, 3
"""Scores of a row, at least, and different best ones over all pictures: what has fewer may be coordinates."""
LEAST_PICTURES = 8
"""Of fewer pictures it cannot be told whether a best score ever stands out."""


def class_axis(shape: Sequence[int]) -> int | None:
    """The axis that counts classes, if an output has any: axis 1 of a picture, else the last; None of other shapes."""
    rank = len(shape)
    if rank == PICTURE_RANK:
        flat = shape[1] == shape[2] == 1 < shape[3]
        return 3 if flat else 1 if shape[1] > 1 else None
    return rank - 1 if 0 < rank < PICTURE_RANK and shape[-1] > 1 else None


@dataclass
class ValueSummary:
    """What is seen of an output's float values, picture by picture.

    Attributes:
        shape: of the first picture's.
        places: the range of all values.
        sums_to_one: along the class axis all rows do.
        norms: least and greatest length of a picture's values.
        smoothness: of a picture's row of values with zero mean, the least correlation of neighbours.
        rows: of what may be rows of class scores.
    """

    shape: tuple[int, ...] = ()
    places: PlaceSummary = field(default_factory=PlaceSummary)
    sums_to_one: bool = True
    norms: tuple[float, float] = (np.inf, -np.inf)
    smoothness: float = 1.0
    rows: RowSummary = field(default_factory=RowSummary)

    def add(self, values: Array) -> None:
        """Take in one picture's values, which are finite."""
        if not self.shape:
            self.shape = values.shape
        self.places.add(values)
        axis = class_axis(values.shape)
        if axis is None:
            self.sums_to_one = False
        elif self.sums_to_one and self.in_unit_range:
            sums = values.sum(axis=axis, dtype=np.float64)
            self.sums_to_one = bool(np.abs(sums - 1.0).max() <= SUM_TOLERANCE)
        norm = float(np.linalg.norm(values.reshape(-1).astype(np.float64)))
        self.norms = min(self.norms[0], norm), max(self.norms[1], norm)
        if values.size >= LEAST_WAVEFORM and values.size == max(values.shape):
            self.smoothness = min(self.smoothness, _smoothness(values.reshape(-1)))
        if axis is not None and (values.ndim < PICTURE_RANK or values.size == values.shape[axis]):
            self.rows.add(np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis]))

    @property
    def low(self) -> float:
        """Least value."""
        return self.places.low

    @property
    def high(self) -> float:
        """Greatest value."""
        return self.places.high

    @property
    def in_unit_range(self) -> bool:
        """Whether all values lie in 0 .. 1."""
        return self.low >= -RANGE_TOLERANCE and self.high <= 1.0 + RANGE_TOLERANCE

    @property
    def probabilities_of_classes(self) -> bool:
        """Whether each row of class scores is a distribution."""
        return self.sums_to_one and self.in_unit_range

    @property
    def unit_length(self) -> bool:
        """Whether a picture's values always have length 1."""
        return max(abs(norm - 1.0) for norm in self.norms) <= NORM_TOLERANCE


def _smoothness(row: Array) -> float:
    """The correlation of a row's neighbours; 0 where one sign prevails, as no waveform has it."""
    values = row.astype(np.float64)
    power = float(values @ values)
    if not power or abs(values.mean()) > 0.5 * np.sqrt(power / len(values)):
        return 0.0
    return float(values[1:] @ values[:-1]) / power


def kind_of(seen: ValueSummary, own_variation: float | None, input_side: int = 0) -> OutputKind:
    """Tell what an output is.

    Args:
        seen: of its float values.
        own_variation: the part of their variance that is from picture to picture, 0..1; the rest is what all pictures
            have in common. None: no pictures tell, so class scores, embeddings and coordinates are one row of values.
        input_side: rows of the network's picture; 0 where it takes none.
    """
    shape, elements = seen.shape, int(np.prod(seen.shape))
    if elements == 1:
        return OutputKind.probability if seen.in_unit_range else OutputKind.number
    if seen.probabilities_of_classes:
        return _kind_of_distributions(shape, elements)
    sides = [size for size in shape[1:] if size > 1] if len(shape) > 1 else [*shape]
    is_map = len(sides) >= 2 and min(sides[-2:]) >= LEAST_SIDE
    if (told := _kind_by_values(seen, elements, own_variation, input_side)) is not None:
        return OutputKind.heat_map if is_map and told is OutputKind.probabilities else told
    if elements == max(shape):
        return _kind_of_row(seen, elements, own_variation)
    return _kind_of_map(shape, len(sides), input_side) if is_map and len(shape) == PICTURE_RANK else OutputKind.values


def _kind_by_values(
    seen: ValueSummary, elements: int, own_variation: float | None, input_side: int
) -> OutputKind | None:
    """What the values tell whatever the shape; None where they tell nothing."""
    if elements >= LEAST_EMBEDDING and seen.unit_length and seen.high < CERTAIN:
        return OutputKind.embedding
    if seen.in_unit_range:
        return OutputKind.probabilities
    if input_side and may_be_logits(seen.shape) and seen.places.are_logits:
        return OutputKind.logits
    return OutputKind.class_rows if _are_class_rows(seen, elements, own_variation or 0.0) else None


def _are_class_rows(seen: ValueSummary, elements: int, own_variation: float) -> bool:
    """Whether each of several rows has one best class, another from row to row and from picture to picture."""
    axis = class_axis(seen.shape)
    if axis is None or len(seen.shape) == PICTURE_RANK or not LEAST_CLASSES <= seen.shape[axis] < elements:
        return False
    return seen.rows.stand_out and len(seen.rows.best) >= LEAST_ANSWERS and own_variation >= OWN_VARIATION


def _kind_of_distributions(shape: Sequence[int], elements: int) -> OutputKind:
    """Rows of class scores that add up to 1."""
    axis = class_axis(shape)
    if axis is None or elements == shape[axis]:
        return OutputKind.class_scores
    return OutputKind.segmentation if len(shape) == PICTURE_RANK else OutputKind.class_sequence


def _kind_of_map(shape: Sequence[int], sides: int, input_side: int) -> OutputKind:
    """Values for each place in a picture, not all of them in 0 .. 1."""
    if sides == 2:
        return OutputKind.map
    fine = shape[-2] * MOST_STRIDE >= input_side
    if fine and shape[1] <= MOST_CLASSES and shape[1] != COLORS:
        return OutputKind.segmentation
    return OutputKind.values


def _kind_of_row(seen: ValueSummary, elements: int, own_variation: float | None) -> OutputKind:
    """One row of values a picture, not all of them in 0 .. 1."""
    if elements >= LEAST_WAVEFORM and seen.smoothness >= SMOOTH:
        return OutputKind.waveform
    if own_variation is None:
        return OutputKind.row
    if own_variation < OWN_VARIATION or class_axis(seen.shape) is None:
        return OutputKind.values
    balanced = seen.rows.pictures >= LEAST_PICTURES and seen.rows.balanced
    if not elements % EMBEDDING_STEP or (balanced and elements >= LEAST_EMBEDDING):
        return OutputKind.embedding
    return OutputKind.values if balanced and elements >= LEAST_COORDINATES else OutputKind.class_scores
