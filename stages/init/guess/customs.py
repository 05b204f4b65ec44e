"""How the families of detectors, and exporters, feed their networks: what their own code does."""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.compare.diagnose.inputs.preprocessing_variants import IMAGENET
from stages.core.config.schema import Anchor, Color, Fit, PreprocessConfig
from stages.core.heads.head import Head
from stages.init.guess.normalizations import Normalization

__all__ = ["Custom", "custom_of_head", "custom_of_metadata"]

LINE_HEIGHT, LEAST_ALPHABET = 64, 20
"""Rows of a line of text, at most; letters, at least, of an alphabet: other networks note names of classes there."""
MOST_NANODET_LEVELS = 3
"""PicoDet, whose head is NanoDet's, has 4."""


@dataclass(frozen=True)
class Custom:
    """How a family's own code feeds its networks.

    Attributes:
        whose: the family, as in "YOLOX's".
        color: channel order.
        normalization: mean and normal.
        preprocess: how a picture is fitted.
        thresholds: of scores and of suppression; None of networks that are no detectors.
    """

    whose: str
    color: Color
    normalization: Normalization
    preprocess: PreprocessConfig
    thresholds: tuple[float, float] | None = None


PIXELS = Normalization((0.0,), (1.0,), "0..255")
UNIT = Normalization((0.0,), (255.0,), "0..1")
OF_IMAGENET = Normalization(*IMAGENET, "ImageNet's mean and deviation")
HALVES = Normalization((127.5,), (127.5,), "-1..1")
STRETCH = PreprocessConfig()
CENTERED = PreprocessConfig(fit=Fit.letterbox, pad=114)
TOP_LEFT = PreprocessConfig(fit=Fit.letterbox, anchor=Anchor.top_left, pad=114)
TOP_LEFT_BLACK = PreprocessConfig(fit=Fit.letterbox, anchor=Anchor.top_left, pad=0)
OF_HEADS: Mapping[str, Custom] = {
    "YOLOv8-like": Custom("Ultralytics'", Color.RGB, UNIT, CENTERED, (0.25, 0.7)),
    "YOLOv10-like": Custom("Ultralytics'", Color.RGB, UNIT, CENTERED, (0.25, 0.7)),
    "YOLO26-like": Custom("Ultralytics'", Color.RGB, UNIT, CENTERED, (0.25, 0.7)),
    "YOLOv5-like": Custom("YOLOv5's", Color.RGB, UNIT, CENTERED, (0.25, 0.6)),
    "YOLOv3-like": Custom("YOLOv3's", Color.RGB, UNIT, CENTERED, (0.25, 0.6)),
    "YOLOX-like": Custom("YOLOX's", Color.BGR, PIXELS, TOP_LEFT, (0.3, 0.65)),
    "YuNet-like": Custom("YuNet's", Color.BGR, PIXELS, TOP_LEFT_BLACK, (0.6, 0.3)),
    "CenterFace-like": Custom("CenterFace's", Color.RGB, PIXELS, TOP_LEFT_BLACK, (0.5, 0.3)),
    "NanoDet-like": Custom("NanoDet's", Color.BGR, OF_IMAGENET, STRETCH, (0.35, 0.6)),
    "NanoDet-Plus-like": Custom("NanoDet's", Color.BGR, OF_IMAGENET, STRETCH, (0.35, 0.6)),
    "SCRFD-like": Custom("SCRFD's", Color.RGB, Normalization((127.5,), (128.0,), "-1..1"), TOP_LEFT_BLACK, (0.5, 0.4)),
    "SSD-like": Custom("UltraFace's", Color.RGB, Normalization((127.0,), (128.0,), "-1..1"), STRETCH, (0.7, 0.3)),
    "UltraFace-like": Custom("UltraFace's", Color.RGB, Normalization((127.0,), (128.0,), "-1..1"), STRETCH, (0.7, 0.3)),
    "RetinaFace-like": Custom(
        "RetinaFace's",
        Color.BGR,
        Normalization((123.0, 117.0, 104.0), (1.0,), "minus the mean"),
        TOP_LEFT_BLACK,
        (0.5, 0.4),
    ),
    "FastestDet-like": Custom("FastestDet's", Color.BGR, UNIT, STRETCH, (0.5, 0.45)),
}
PICODET = Custom("PicoDet's", Color.RGB, OF_IMAGENET, STRETCH, (0.5, 0.5))


def custom_of_head(head: Head) -> Custom | None:
    """How the family of a detector's head feeds its networks; None where nothing is known of it."""
    if head.name == "NanoDet-like" and len(head.levels) > MOST_NANODET_LEVELS:
        return PICODET
    return OF_HEADS.get(head.name)


def custom_of_metadata(metadata: Mapping[str, str], side: int) -> Custom | None:
    """How the exporter that wrote some metadata feeds its networks; None where the metadata say nothing of it.

    Args:
        metadata: of the file.
        side: rows of the network's picture in pixels.
    """
    if {"stride", "task", "names"} <= metadata.keys() or metadata.get("author") == "Ultralytics":
        if metadata.get("task") == "classify":
            crop = PreprocessConfig(fit=Fit.crop, shorter_side=side)
            return Custom("Ultralytics'", Color.RGB, UNIT, crop)
        return Custom("Ultralytics'", Color.RGB, UNIT, CENTERED, (0.25, 0.7))
    if side <= LINE_HEIGHT and metadata.get("character", "").count("\n") >= LEAST_ALPHABET:
        return Custom("PaddleOCR's", Color.BGR, HALVES, STRETCH)
    return None
