"""What is to be found in a picture: boxes, masks and key points of its objects."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.data.masks import MaskCode

__all__ = ["BOXES_ALONE", "ObjectLabels", "Objects", "Shapes"]


@dataclass(frozen=True)
class Shapes:
    """What is wanted of labels beside boxes.

    Attributes:
        masks: whether masks are.
        keypoints: how many key points an object has; 0: none are wanted.
    """

    masks: bool = False
    keypoints: int = 0


BOXES_ALONE = Shapes()


@dataclass(frozen=True)
class Objects:
    """What is to be found in a picture.

    Attributes:
        boxes: [N, 4], x0, y0, x1, y1 in pixels of the picture.
        classes: [N], counted from 0.
        crowd: [N], whether a box is a crowd, of which any part may be found.
        areas: [N], pixels of the picture that the object covers.
        masks: N run-length codes, None for an object that has a box alone; None where masks were not wanted.
        keypoints: [N, K, 3], x and y in pixels of the picture, and 0 for a point that has no label, 1 for a hidden one,
            2 for a visible one; None where key points were not wanted, or an object has more or fewer of them.
        keypoint_counts: [N], labelled points; an object with 0 need not be found.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    masks: tuple[MaskCode | None, ...] | None = None
    keypoints: NDArray[np.float64] | None = None
    keypoint_counts: NDArray[np.int64] | None = None

    @classmethod
    def of_boxes(cls, boxes: NDArray[np.float64], classes: NDArray[np.int64]) -> "Objects":
        """Objects that fill their boxes."""
        sides = boxes[:, 2:] - boxes[:, :2]
        return cls(boxes, classes, np.zeros(len(boxes), bool), sides[:, 0] * sides[:, 1])


class ObjectLabels(ABC):
    """The objects of every picture, by the picture's name.

    Args:
        key: the setting with its value, for messages.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    def of(self, name: str, height: int, width: int, shapes: Shapes = BOXES_ALONE) -> Objects:
        """Give a picture's objects.

        Args:
            name: of the picture inside its source.
            height: of the picture in pixels.
            width: of the picture in pixels.
            shapes: what is wanted beside boxes.

        Raises:
            UserError: if the labels have something else than objects for the picture, or masks of another size. COCO's
                must have the picture; one without a text file shows none of the classes.
        """
        return self._read(name, height, width, shapes)

    def check(self, pictures: Sequence[str], classes: int | None = None, shapes: Shapes = BOXES_ALONE) -> None:
        """Read the labels of some pictures, to find mistakes before work is done for nothing.

        Args:
            pictures: names of pictures inside their source.
            classes: how many the network has; None: that is not known.
            shapes: what will be wanted beside boxes.

        Raises:
            UserError: as of `of`, or for an object of a class that the network does not have.
        """
        for name in pictures:
            size = self._size(name)
            wanted = shapes if size else replace(shapes, masks=False)
            numbers = self.of(name, *(size or (1, 1)), wanted).classes
            if classes is not None and len(numbers) and numbers.max() >= classes:
                raise UserError(
                    f"{self._key}: {name} has an object of class {numbers.max()}, and the network has {classes} "
                    "classes, counted from 0"
                )

    @abstractmethod
    def _read(self, name: str, height: int, width: int, shapes: Shapes) -> Objects:
        """Do what `of` says."""

    @abstractmethod
    def _size(self, name: str) -> tuple[int, int] | None:
        """A height and a width that masks can be read at before the picture is; None where nothing says them."""
