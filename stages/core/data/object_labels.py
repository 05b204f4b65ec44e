"""Labels of a detector's pictures: YOLO text files, or a JSON file as COCO has it."""

import json
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import warn
from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import SourceFile, open_source

__all__ = ["ObjectLabels", "Objects", "read_object_labels"]

LABELS_KEY = "data.evaluation.labels"
BOX_NUMBERS = 4
FARTHEST = 10.0
"""A centre is in parts of the picture: as far outside as this it must be in pixels."""


@dataclass(frozen=True)
class Objects:
    """What is to be found in a picture.

    Attributes:
        boxes: [N, 4], x0, y0, x1, y1 in pixels of the picture.
        classes: [N], counted from 0.
        crowd: [N], whether a box is a crowd, of which any part may be found.
        areas: [N], pixels of the picture that the object covers.
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]

    @classmethod
    def of_boxes(cls, boxes: NDArray[np.float64], classes: NDArray[np.int64]) -> "Objects":
        """Objects that fill their boxes."""
        sides = boxes[:, 2:] - boxes[:, :2]
        return cls(boxes, classes, np.zeros(len(boxes), bool), sides[:, 0] * sides[:, 1])


class ObjectLabels:
    """The objects of every picture, by the picture's name."""

    def __init__(self, key: str, of_yolo: Mapping[str, SourceFile] | None, of_coco: Mapping[str, Objects]) -> None:
        self._key = key
        self._of_yolo = of_yolo
        self._of_coco = of_coco

    def of(self, name: str, height: int, width: int) -> Objects:
        """Give a picture's objects.

        Args:
            name: of the picture inside its source.
            height: of the picture in pixels.
            width: of the picture in pixels.

        Raises:
            UserError: if a line of a YOLO text file is not five numbers, or COCO's file does not have the picture.
        """
        path = PurePosixPath(name)
        if self._of_yolo is None:
            found = self._of_coco.get(name) or self._of_coco.get(path.name)
            if found is None:
                raise UserError(
                    f"{self._key}: no picture {path.name!r} among its {len(self._of_coco)} (`file_name`); "
                    f"{did_you_mean(path.name, self._of_coco)}"
                )
            return found
        file = self._of_yolo.get(str(path.with_suffix(""))) or self._of_yolo.get(path.stem)
        if file is None:  # a picture without a file shows none of the classes
            return _yolo_objects("", "", height, width)
        where = f"{self._key}: {file.name}"
        try:
            text = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{where} is not UTF-8 text: {one_line(error)}") from error
        return _yolo_objects(text, where, height, width)

    def check(self, pictures: Sequence[str], classes: int | None = None) -> None:
        """Read the labels of some pictures, to find mistakes before work is done for nothing.

        Args:
            pictures: names of pictures inside their source.
            classes: how many the network has; None: that is not known.

        Raises:
            UserError: as of `of`, or for an object of a class that the network does not have.
        """
        for name in pictures:
            numbers = self.of(name, 1, 1).classes
            if classes is not None and len(numbers) and numbers.max() >= classes:
                raise UserError(
                    f"{self._key}: {name} has an object of class {numbers.max()}, and the network has {classes} "
                    "classes, counted from 0"
                )


def read_object_labels(labels: str, pictures: Sequence[str]) -> ObjectLabels:
    """Read a detector's labels.

    Args:
        labels: a source: text files, one a picture and of its name, or one JSON file.
        pictures: the names of the pictures, to tell a folder of other labels.

    Raises:
        UserError: if the source cannot be read, or has labels of none of the pictures.
    """
    key = f"{LABELS_KEY}={labels}"
    files = open_source(labels, LABELS_KEY)
    tables = [file for file in files if file.name.endswith(".json")]
    texts = {str(PurePosixPath(file.name).with_suffix("")): file for file in files if file.name.endswith(".txt")}
    if tables and not texts:
        if len(tables) > 1:
            listed = ", ".join(file.name for file in tables[:3])
            raise UserError(f"{key}: holds {len(tables)} JSON files ({listed}); name one")
        return ObjectLabels(key, None, _coco_objects(tables[0], key))
    by_stem = {PurePosixPath(name).name: file for name, file in texts.items()} | texts
    wanted = {PurePosixPath(name).stem for name in pictures}
    if not wanted & {PurePosixPath(name).name for name in texts}:
        example = PurePosixPath(pictures[0]).stem
        raise UserError(f"{key}: has labels of none of the {len(pictures)} pictures; expected {example}.txt and others")
    paths = [PurePosixPath(name) for name in pictures]
    missing = sum(str(path.with_suffix("")) not in by_stem and path.stem not in by_stem for path in paths)
    if missing:
        warn(f"{key}: {missing} of {len(paths)} pictures have no label file, and count as showing none of the classes")
    return ObjectLabels(key, by_stem, {})


def _yolo_objects(text: str, where: str, height: int, width: int) -> Objects:
    """Lines of class, centre x, centre y, width, height in parts of the picture; a polygon's box is taken."""
    boxes, classes = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            values = []
        if not _is_object(values):
            raise UserError(
                f"{where}:{number}: {line[:60]!r} is not class, centre x, centre y, width, height, in parts of it"
            )
        boxes.append(_yolo_box(values[1:]))
        classes.append(int(values[0]))
    corners = np.array(boxes, np.float64).reshape(-1, BOX_NUMBERS) * np.array([width, height] * 2)
    return Objects.of_boxes(corners, np.array(classes, np.int64))


def _is_object(values: Sequence[float]) -> bool:
    """Whether numbers are a class and a box, or a polygon, in parts of the picture."""
    if len(values) <= BOX_NUMBERS or not all(map(math.isfinite, values)):
        return False
    sizes = () if _is_polygon(values[1:]) else values[3 : 1 + BOX_NUMBERS]
    near = all(abs(centre) < FARTHEST for centre in values[1:3])
    return values[0] == int(values[0]) >= 0 and near and all(size >= 0 for size in sizes)


def _is_polygon(values: Sequence[float]) -> bool:
    return len(values) > BOX_NUMBERS + 1 and len(values) % 2 == 0


def _yolo_box(values: Sequence[float]) -> list[float]:
    """Corners of a box, or those around a polygon x, y, x, y, ...; key points after a box are left out."""
    if _is_polygon(values):
        x, y = values[::2], values[1::2]
        return [min(x), min(y), max(x), max(y)]
    x_centre, y_centre, width, height = values[:BOX_NUMBERS]
    return [x_centre - width / 2, y_centre - height / 2, x_centre + width / 2, y_centre + height / 2]


def _coco_objects(file: SourceFile, key: str) -> dict[str, Objects]:
    """Objects by the picture's `file_name`; classes are the categories in the order of their numbers."""
    try:
        content = json.loads(file.read())
        numbers = {number: i for i, number in enumerate(sorted(one["id"] for one in content["categories"]))}
        of_pictures: dict[Any, list[dict[str, Any]]] = {one["id"]: [] for one in content["images"]}
        for position, annotation in enumerate(content["annotations"]):
            if fault := _annotation_fault(annotation, of_pictures, numbers):
                raise UserError(f"{key}: {_annotation_name(annotation, position)} {fault}")
            of_pictures[annotation["image_id"]].append(annotation)
        return {one["file_name"]: _coco_picture(of_pictures[one["id"]], numbers) for one in content["images"]}
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{key}: is not JSON with images, annotations and categories as COCO has them: {one_line(error)}"
        ) from error


def _annotation_fault(annotation: Any, pictures: Container[Any], categories: Container[Any]) -> str:
    """Say what is wrong with an annotation; "" where nothing is."""
    if not isinstance(annotation, dict):
        return f"is {str(annotation)[:60]!r}, not image_id, category_id and bbox"
    for key, known, table in (("image_id", pictures, "images"), ("category_id", categories, "categories")):
        if key not in annotation:
            return f"lacks {key}"
        if annotation[key] not in known:
            return f"has the {key} {annotation[key]!r}, which is not among its {table}"
    box = annotation.get("bbox")
    numeric = isinstance(box, list) and all(isinstance(value, int | float) and math.isfinite(value) for value in box)
    if not isinstance(box, list) or not numeric or len(box) != BOX_NUMBERS or min(box[2:]) < 0:
        return f"has the bbox {box!r}: give [x, y, width, height] in pixels"
    return ""


def _annotation_name(annotation: Any, position: int) -> str:
    known = isinstance(annotation, dict) and "id" in annotation
    return f"annotation {annotation['id']}" if known else f"annotations[{position}]"


def _coco_picture(annotations: Sequence[Mapping[str, Any]], numbers: Mapping[int, int]) -> Objects:
    boxes = np.array([one["bbox"] for one in annotations], np.float64).reshape(-1, BOX_NUMBERS)
    sides = boxes[:, 2:]
    areas = [one.get("area", side[0] * side[1]) for one, side in zip(annotations, sides, strict=True)]
    return Objects(
        np.concatenate([boxes[:, :2], boxes[:, :2] + sides], axis=1),
        np.array([numbers[one["category_id"]] for one in annotations], np.int64),
        np.array([bool(one.get("iscrowd", 0)) for one in annotations], bool),
        np.array(areas, np.float64),
    )
