"""Labels in a JSON file as COCO has it."""

import math
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.base.sources import SourceFile
from stages.core.base.texts import parse_json
from stages.core.data.masks import area, mask_of_segmentation
from stages.core.data.objects import ObjectLabels, Objects, Shapes

__all__ = ["CocoLabels", "read_coco_labels"]

Annotation = Mapping[str, Any]
BOX_NUMBERS = 4


class CocoLabels(ObjectLabels):
    """The objects of a JSON file.

    Args:
        key: the setting with its value, for messages.
        objects: by the picture's `file_name`.
        annotations: of the pictures that masks and key points will be asked of.
        sizes: height and width of the pictures that the file says them of.
    """

    def __init__(
        self,
        key: str,
        objects: Mapping[str, Objects],
        annotations: Mapping[str, Sequence[Annotation]],
        sizes: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__(key)
        self._objects = objects
        self._annotations = annotations
        self._sizes = sizes

    def _read(self, name: str, height: int, width: int, shapes: Shapes) -> Objects:
        file_name = self._file_name(name)
        objects = self._objects[file_name]
        try:
            if shapes.masks:
                objects = _with_masks(objects, self._annotations[file_name], height, width)
            if shapes.keypoints:
                objects = _with_keypoints(objects, self._annotations[file_name], shapes.keypoints)
        except (ValueError, TypeError) as error:
            raise UserError(f"{self._key}: an annotation of {file_name}: {one_line(error)}") from error
        return objects

    def _size(self, name: str) -> tuple[int, int] | None:
        return self._sizes.get(self._file_name(name))

    def _file_name(self, name: str) -> str:
        """The picture's name in the file, with its folders or without.

        Raises:
            UserError: if the file does not have it.
        """
        path = PurePosixPath(name)
        file_name = next((each for each in (name, path.name) if each in self._objects), None)
        if file_name is None:
            raise UserError(
                f"{self._key}: no picture {path.name!r} among its {len(self._objects)} (`file_name`); "
                f"{did_you_mean(path.name, self._objects)}"
            )
        return file_name


def read_coco_labels(file: SourceFile, key: str, pictures: Collection[str]) -> CocoLabels:
    """Read a JSON file; classes are the categories in the order of their numbers.

    Args:
        file: the JSON file.
        key: the setting with its value, for messages.
        pictures: names of those whose masks and key points are kept.

    Raises:
        UserError: if it is not JSON as COCO has it, or an annotation is not an object of its pictures and categories.
    """
    kept = {*pictures, *(PurePosixPath(name).name for name in pictures)}
    try:
        content = parse_json(file.read())
        numbers = {number: i for i, number in enumerate(sorted(one["id"] for one in content["categories"]))}
        names = {one["id"]: one["file_name"] for one in content["images"]}
        sizes = {one["file_name"]: size for one in content["images"] if (size := _said_size(one))}
        of_pictures: dict[str, list[Annotation]] = {name: [] for name in names.values()}
        for position, annotation in enumerate(content["annotations"]):
            if fault := _fault(annotation, names, numbers):
                raise UserError(f"{key}: {_name(annotation, position)} {fault}")
            of_pictures[names[annotation["image_id"]]].append(annotation)
        objects = {name: _boxes(annotations, numbers) for name, annotations in of_pictures.items()}
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{key}: is not JSON with images, annotations and categories as COCO has them: {one_line(error)}"
        ) from error
    return CocoLabels(key, objects, {name: found for name, found in of_pictures.items() if name in kept}, sizes)


def _said_size(picture: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of a picture, which COCO's own files have; None of one without."""
    height, width = picture.get("height"), picture.get("width")
    if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
        return height, width
    return None


def _fault(annotation: Any, pictures: Container[Any], categories: Container[Any]) -> str:
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


def _name(annotation: Any, position: int) -> str:
    known = isinstance(annotation, dict) and "id" in annotation
    return f"annotation {annotation['id']}" if known else f"annotations[{position}]"


def _boxes(annotations: Sequence[Annotation], numbers: Mapping[int, int]) -> Objects:
    boxes = np.array([one["bbox"] for one in annotations], np.float64).reshape(-1, BOX_NUMBERS)
    sides = boxes[:, 2:]
    areas = [one.get("area", side[0] * side[1]) for one, side in zip(annotations, sides, strict=True)]
    return Objects(
        np.concatenate([boxes[:, :2], boxes[:, :2] + sides], axis=1),
        np.array([numbers[one["category_id"]] for one in annotations], np.int64),
        np.array([bool(one.get("iscrowd", 0)) for one in annotations], bool),
        np.array(areas, np.float64),
    )


def _with_masks(objects: Objects, annotations: Sequence[Annotation], height: int, width: int) -> Objects:
    """Add the masks; an object without `area` covers its mask.

    Raises:
        ValueError: for what is no segmentation of the picture.
    """
    masks = tuple(mask_of_segmentation(one.get("segmentation"), height, width) for one in annotations)
    areas = [
        area(mask) if mask is not None and "area" not in one else known
        for mask, one, known in zip(masks, annotations, objects.areas.tolist(), strict=True)
    ]
    return replace(objects, masks=masks, areas=np.array(areas, np.float64))


def _with_keypoints(objects: Objects, annotations: Sequence[Annotation], count: int) -> Objects:
    """Add the key points, if they are as many as the network's; an annotation without any need not be found.

    Raises:
        ValueError: for what are no numbers.
    """
    rows = [one.get("keypoints") or [0] * (3 * count) for one in annotations]
    if any(len(row) != 3 * count for row in rows):
        return objects
    keypoints = np.array(rows, np.float64).reshape(-1, count, 3)
    if not np.isfinite(keypoints).all():
        raise ValueError("`keypoints` has a number that is infinite or none")
    labelled = (keypoints[..., 2] > 0).sum(axis=1).tolist()
    counts = [one.get("num_keypoints", known) for one, known in zip(annotations, labelled, strict=True)]
    return replace(objects, keypoints=keypoints, keypoint_counts=np.array(counts, np.int64))
