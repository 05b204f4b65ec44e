"""Labels in Ultralytics' text form: a line an object, in parts of the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import SourceFile
from stages.core.data.masks import FARTHEST, MaskCode, area, mask_of_polygons
from stages.core.data.objects import ObjectLabels, Objects, Shapes

__all__ = ["YoloLabels"]

BOX_NUMBERS = 4
MOST_BOX_NUMBERS = 5
"""A line of a box may have one number more, which is left out: a score, or an object's number in a film."""
PERSON_AREA = 0.53
"""What of its box an object with key points covers: xtcocotools' and Ultralytics' estimate, for labels without area."""
LABELLED = 2.0
"""How visible a point is whose line does not say it."""


@dataclass(frozen=True)
class _Line:
    """An object, in parts of the picture.

    Attributes:
        number: of its class.
        box: x0, y0, x1, y1.
        polygon: x, y, x, y, ...; empty: it has none.
        keypoints: [K, 3], or empty.
        others: whether there are key points, but not as many as the network gives.
    """

    number: int
    box: Sequence[float]
    polygon: Sequence[float] = ()
    keypoints: Sequence[Sequence[float]] = ()
    others: bool = False


class YoloLabels(ObjectLabels):
    """Text files, one a picture and of its name.

    Args:
        key: the setting with its value, for messages.
        files: by name without suffix, with the folders or without.
    """

    def __init__(self, key: str, files: Mapping[str, SourceFile]) -> None:
        super().__init__(key)
        self._files = files

    def _read(self, name: str, height: int, width: int, shapes: Shapes) -> Objects:
        path = PurePosixPath(name)
        file = self._files.get(str(path.with_suffix(""))) or self._files.get(path.stem)
        if file is None:
            return _objects([], height, width, shapes)
        where = f"{self._key}: {file.name}"
        try:
            lines = enumerate(file.read().decode("utf-8-sig").splitlines(), 1)
        except UnicodeDecodeError as error:
            raise UserError(f"{where} is not UTF-8 text: {one_line(error)}") from error
        read = [_line(text, f"{where}:{index}", shapes.keypoints) for index, text in lines if text.strip()]
        return _objects(read, height, width, shapes)

    def _size(self, name: str) -> tuple[int, int]:
        return 1, 1  # lines are in parts of the picture


def _line(text: str, where: str, keypoints: int) -> _Line:
    """Read a line of a class and a box, a polygon, or a box with key points.

    A box is its centre and its size. Key points are x, y or x, y and how visible: only their number tells them from a
    polygon, so they are read where the network gives as many.
    """
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    numbers = values[1:]
    size = next((each for each in (3, 2) if keypoints and len(numbers) == BOX_NUMBERS + each * keypoints), 0)
    polygon = not size and len(numbers) > MOST_BOX_NUMBERS and len(numbers) % 2 == 0
    if not _plausible(values) or (not polygon and min(numbers[2:BOX_NUMBERS]) < 0):
        raise UserError(
            f"{where}: {text[:60]!r} is not class, centre x, centre y, width, height, or class, x, y, x, y, ... of a "
            "polygon, in parts of the picture"
        )
    if size:
        points = np.array(numbers[BOX_NUMBERS:]).reshape(keypoints, size)
        return _Line(int(values[0]), _corners(numbers), keypoints=_with_visibility(points).tolist())
    if polygon:
        x, y = numbers[::2], numbers[1::2]
        return _Line(int(values[0]), [min(x), min(y), max(x), max(y)], polygon=numbers)
    return _Line(int(values[0]), _corners(numbers), others=len(numbers) > MOST_BOX_NUMBERS)


def _plausible(values: Sequence[float]) -> bool:
    """Whether numbers can be a class and what follows it in parts of the picture."""
    points = values[1:3] if len(values) - 1 <= MOST_BOX_NUMBERS else values[1:]
    return (
        len(values) > BOX_NUMBERS
        and all(map(np.isfinite, values))
        and values[0] == int(values[0]) >= 0
        and all(abs(value) < FARTHEST for value in points)
    )


def _corners(numbers: Sequence[float]) -> list[float]:
    x_centre, y_centre, width, height = numbers[:BOX_NUMBERS]
    return [x_centre - width / 2, y_centre - height / 2, x_centre + width / 2, y_centre + height / 2]


def _with_visibility(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Key points [K, 2] or [K, 3] to [K, 3]: without a word on it those are labelled that have no negative number."""
    if points.shape[1] > 2:
        return points
    return np.concatenate([points, np.where((points < 0).any(axis=1), 0.0, LABELLED)[:, None]], axis=1)


def _objects(lines: Sequence[_Line], height: int, width: int, shapes: Shapes) -> Objects:
    """Lines in pixels of the picture; an object covers its polygon, else a part of its box, else all of it."""
    boxes = np.array([line.box for line in lines], np.float64).reshape(-1, BOX_NUMBERS) * ([width, height] * 2)
    objects = Objects.of_boxes(boxes, np.array([line.number for line in lines], np.int64))
    masks = tuple(_mask(line, height, width) for line in lines)
    areas = [
        area(mask) if mask is not None else whole * (PERSON_AREA if len(line.keypoints) else 1)
        for mask, whole, line in zip(masks, objects.areas.tolist(), lines, strict=True)
    ]
    objects = replace(objects, areas=np.array(areas, np.float64), masks=masks if shapes.masks else None)
    if not shapes.keypoints or any(line.others for line in lines):
        return objects
    keypoints = np.zeros((len(lines), shapes.keypoints, 3))
    for row, line in zip(keypoints, lines, strict=True):
        if len(line.keypoints):
            row[:] = np.array(line.keypoints) * [width, height, 1]
    return replace(objects, keypoints=keypoints, keypoint_counts=(keypoints[..., 2] > 0).sum(axis=1))


def _mask(line: _Line, height: int, width: int) -> MaskCode | None:
    """The filled polygon."""
    if not line.polygon:
        return None
    points = np.array(line.polygon).reshape(-1, 2) * [width, height]
    return mask_of_polygons([points.ravel().tolist()], height, width)
