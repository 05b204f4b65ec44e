"""Pictures of a few objects with masks and key points, their labels in all forms, and what two networks find."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask

from stages.core.data.object_labels import read_object_labels
from stages.core.data.preprocess import Placement
from stages.core.heads.detections import Detections
from stages.core.heads.detector import Detector, Prototypes
from stages.evaluate.detection import DetectionScore
from stages.evaluate.shapes import shape_kinds

SIDE = 200
"""Of the network's input; each picture lies in its upper left corner, as large as it is."""
SIZES = ((96, 128), (150, 100), (110, 110), (64, 200))
SIGMAS = [0.05, 0.1, 0.2]
POINTS = len(SIGMAS)
CATEGORIES = (3, 7)
SHIFTS = (2, 5)
"""How far off, in pixels, the float network and the quantized one find an object."""


@dataclass(frozen=True)
class Drawn:
    """An object: its outline [N, 2] and its key points [K, 3] in whole pixels, and its class."""

    outline: np.ndarray
    keypoints: np.ndarray
    number: int


@dataclass(frozen=True)
class Scene:
    """A picture: height and width, what there is, and what each of the networks finds."""

    size: tuple[int, int]
    objects: list[Drawn]
    found: list[list[Drawn]]
    scores: np.ndarray  # [networks, found]


def _star(rng: np.random.Generator, size: tuple[int, int], number: int) -> Drawn:
    height, width = size
    centre, radii = rng.uniform(0.2, 0.8, 2) * [width, height], rng.uniform(20, 80) * rng.uniform(0.6, 1, 7)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    outline = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], axis=1)
    outline = np.clip(outline, 0, [width - 1, height - 1]).round()
    return Drawn(outline, np.concatenate([outline[:POINTS], rng.integers(0, 3, (POINTS, 1))], axis=1), number)


def _moved(rng: np.random.Generator, drawn: Drawn, shift: float) -> Drawn:
    by = rng.uniform(-shift, shift, 2).round()
    return Drawn(drawn.outline + by, np.concatenate([drawn.keypoints[:, :2] + by, np.ones((POINTS, 1))], axis=1),
                 drawn.number)  # fmt: skip


def scenes() -> list[Scene]:
    """Three objects a picture, found by both networks, with a fourth that is not there."""
    rng, made = np.random.default_rng(11), []
    for size in SIZES:
        *objects, invented = (_star(rng, size, number % 2) for number in range(4))
        found = [[_moved(rng, one, shift) for one in (*objects, invented)] for shift in SHIFTS]
        made.append(Scene(size, objects, found, rng.uniform(0.35, 1, (2, 4)).astype(np.float32)))
    return made


SCENES = scenes()


def found_mask(drawn: Drawn, size: tuple[int, int]) -> np.ndarray:
    """The filled outline, [H, W], inside its box."""
    picture = cv2.fillPoly(np.zeros(size, np.uint8), [drawn.outline.astype(np.int32)], 1)
    x0, y0, x1, y1 = box_of(drawn)
    picture[:, : max(x0, 0)] = picture[:, max(x1, 0) :] = picture[: max(y0, 0)] = picture[max(y1, 0) :] = 0
    return picture


def box_of(drawn: Drawn) -> list[int]:
    """x0, y0, x1, y1."""
    return [*drawn.outline.min(axis=0).astype(int).tolist(), *drawn.outline.max(axis=0).astype(int).tolist()]


def _decode(outputs: Any) -> Detections:
    scene, side = (int(index) for index in outputs["which"])
    found = SCENES[scene].found[side]
    return Detections(
        np.array([box_of(one) for one in found], np.float32),
        SCENES[scene].scores[side],
        np.array([one.number for one in found]),
        np.stack([one.keypoints for one in found]).astype(np.float32),
        np.eye(len(found), dtype=np.float32),
    )


DETECTOR = Detector(
    _decode, one_to_one=True, score_threshold=0.5, nms_threshold=0.6, name="YOLOv8-like",
    prototypes=Prototypes("protos", SIDE, SIDE), classes=len(CATEGORIES), keypoints=POINTS,
)  # fmt: skip


def _outputs(index: int, side: int) -> dict[str, np.ndarray]:
    """A prototype for each object: 1 in it, -1 around it."""
    scene = SCENES[index]
    protos = np.full((1, len(scene.found[side]), SIDE, SIDE), -1, np.float32)
    for plane, drawn in zip(protos[0], scene.found[side], strict=True):
        plane[: scene.size[0], : scene.size[1]] = found_mask(drawn, scene.size) * 2.0 - 1
    return {"protos": protos, "which": np.array([index, side], np.float32)}


def score(labels: str, kinds: slice = slice(None)) -> DetectionScore:
    """All pictures, with the labels of a source."""
    known = read_object_labels(labels, [f"{index}.png" for index in range(len(SCENES))])
    scored = DetectionScore(DETECTOR, known, shape_kinds(DETECTOR, SIGMAS)[kinds])
    for index, scene in enumerate(SCENES):
        placement = Placement(scene.size, scene.size, 0, 0)
        scored.add(f"{index}.png", placement, *(_outputs(index, side) for side in range(2)))
    return scored


def write_coco(path: str, forms: bool = False) -> None:
    """Write all labels; `forms`: some masks as run-length codes, some objects a crowd or without key points."""
    annotations: list[dict[str, Any]] = []
    for index, scene in enumerate(SCENES):
        for place, drawn in enumerate(scene.objects):
            code = mask.merge(mask.frPyObjects([drawn.outline.ravel().tolist()], *scene.size))
            x0, y0, x1, y1 = box_of(drawn)
            annotation = {
                "id": len(annotations) + 1, "image_id": 10 + index, "category_id": CATEGORIES[drawn.number],
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(mask.area(code)), "iscrowd": 0,
                "segmentation": [drawn.outline.ravel().tolist()], "keypoints": drawn.keypoints.ravel().tolist(),
                "num_keypoints": int((drawn.keypoints[:, 2] > 0).sum()),
            }  # fmt: skip
            annotations.append(annotation | (_other_form(place, index, code) if forms else {}))
    content = {
        "info": {},
        "images": [
            {"id": 10 + index, "file_name": f"{index}.png", "height": scene.size[0], "width": scene.size[1]}
            for index, scene in enumerate(SCENES)
        ],
        "categories": [{"id": number} for number in CATEGORIES],
        "annotations": annotations,
    }
    Path(path).write_text(json.dumps(content))


def _other_form(place: int, index: int, code: dict[str, Any]) -> dict[str, Any]:
    if place == 0:
        return {"segmentation": {"size": code["size"], "counts": code["counts"].decode()}}
    if place == 1:
        pixels = mask.decode(code).T.ravel()
        edges = np.flatnonzero(np.diff(np.concatenate([[0], pixels, [2]])))
        counts = np.diff(np.concatenate([[0], edges])).tolist()
        return {"segmentation": {"size": code["size"], "counts": counts}, "iscrowd": int(index == 1)}
    return {"num_keypoints": 0, "keypoints": [0] * 3 * POINTS} if index == 2 else {}


def write_yolo(folder: str, form: str) -> None:
    """Write a text file a picture; form: polygons, points, or points_alone, without how visible they are."""
    Path(folder).mkdir()
    for index, scene in enumerate(SCENES):
        size = np.array(scene.size[::-1])
        lines = []
        for drawn in scene.objects:
            corners = np.array(box_of(drawn)).reshape(2, 2) / size
            numbers = [*corners.mean(axis=0), *(corners[1] - corners[0])]
            xy = drawn.keypoints[:, :2] / size
            if form == "polygons":
                numbers = [*(drawn.outline / size).ravel()]
            elif form == "points":
                numbers += [*np.concatenate([xy, drawn.keypoints[:, 2:]], axis=1).ravel()]
            else:
                numbers += [*np.where(drawn.keypoints[:, 2:] > 0, xy, -1).ravel()]
            lines.append(" ".join(map(str, [drawn.number, *numbers])))
        Path(f"{folder}/{index}.txt").write_text("\n".join(lines))
