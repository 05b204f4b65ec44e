"""Networks that no package carries: `--dir` names the folder that has their files."""

from benchmarks.strangers.measures.boxes import boxes_kept
from benchmarks.strangers.networks.detectors import BOXES, NAME, photo_samples
from benchmarks.strangers.stranger import Stranger, per_channel

__all__ = ["NETWORKS"]


def _detector(name: str, file: str, *overrides: str) -> Stranger:
    return Stranger(name, "detector", file, photo_samples, boxes_kept, NAME, BOXES, overrides)


NETWORKS = [
    _detector(
        "fastestdet",
        "dog-qiuqiu+FastestDet__example+onnx-runtime+FastestDet.onnx",
        per_channel([0], [255], None, "BGR"),
        "model.detector.score_threshold=0.5",
        "model.detector.nms_threshold=0.45",
    ),
    _detector(
        "scrfd_500m",
        "hpc203+scrfd-opencv__weights+scrfd_500m_kps.onnx",
        per_channel([127.5], [128], [1, 3, 640, 640]),
        "model.preprocess.fit=letterbox",
        "model.preprocess.pad=0",
        "model.detector.score_threshold=0.5",
        "model.detector.nms_threshold=0.4",
    ),
    _detector(
        "ultraface",
        "Linzaer+Ultra-Light-Fast-Generic-Face-Detector-1MB__models+onnx+version-RFB-320.onnx",
        per_channel([127], [128], None),
        "model.detector.score_threshold=0.7",
        "model.detector.nms_threshold=0.3",
    ),
    _detector(
        "nanodet_m",
        "Kazuhito00+NanoDet-ONNX-Sample__model+nanodet_m_320.onnx",
        per_channel([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], None, "BGR"),
        "model.detector.score_threshold=0.35",
        "model.detector.nms_threshold=0.6",
    ),
]
