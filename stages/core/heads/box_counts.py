"""How many of a detector's boxes quantizing loses and invents."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import as_number
from stages.core.heads.detections import Detections
from stages.core.heads.matching import match

__all__ = ["MARGIN", "BoxCounts", "invented_boxes", "lost_boxes"]

MARGIN = 0.5
"""A box whose score falls below the threshold is not lost as long as it keeps this part of the threshold."""


@dataclass(frozen=True)
class BoxCounts:
    """Boxes of both networks on a set of pictures.

    Attributes:
        pictures: how many there are.
        count: boxes that the float network shows.
        quantized_count: boxes that the quantized network shows.
        lost: boxes of the float network of which the quantized one has nothing, not even fainter.
        invented: boxes of the quantized network of which the float one has nothing, not even fainter.
    """

    pictures: int = 0
    count: int = 0
    quantized_count: int = 0
    lost: int = 0
    invented: int = 0

    @classmethod
    def of(cls, reference: Detections, quantized: Detections, threshold: float) -> "BoxCounts":
        """Count those of one picture.

        Args:
            reference: all that the float network finds, the faint ones too.
            quantized: the same of the quantized network.
            threshold: score from which a box is shown.
        """
        return cls(
            pictures=1,
            count=len(reference.above(threshold)),
            quantized_count=len(quantized.above(threshold)),
            lost=len(lost_boxes(reference, quantized, threshold)),
            invented=len(invented_boxes(reference, quantized, threshold)),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "BoxCounts":
        """Read the plain form.

        Raises:
            TypeError, KeyError, ValueError: if it holds another value.
        """
        counts = cls(**{field.name: int(as_number(content[field.name])) for field in fields(cls)})
        if not 0 <= counts.lost <= counts.count or not 0 <= counts.invented <= counts.quantized_count:
            raise ValueError("more boxes are lost or invented than there are")
        return counts

    def __add__(self, other: "BoxCounts") -> "BoxCounts":
        sides = (asdict(self), asdict(other))
        return BoxCounts(**{key: sides[0][key] + sides[1][key] for key in sides[0]})


def lost_boxes(reference: Detections, quantized: Detections, threshold: float) -> NDArray[np.int64]:
    """Indices of the float network's shown boxes of which the quantized one has nothing, not even fainter."""
    return match(reference.above(threshold), quantized.above(MARGIN * threshold)).missed


def invented_boxes(reference: Detections, quantized: Detections, threshold: float) -> NDArray[np.int64]:
    """Indices of the quantized network's shown boxes of which the float one has nothing, not even fainter."""
    return match(reference.above(MARGIN * threshold), quantized.above(threshold)).invented
