"""Small networks that are no detectors, or detectors of which something is missing."""

import numpy as np
import onnx

from tests.core.heads.exporters import STRIDES, Exporter, levels_apart


def classifier() -> onnx.ModelProto:
    to = Exporter()
    pooled = to.op("Flatten", to.op("GlobalAveragePool", to.features()[32]))
    return to.model(to.op("Softmax", to.op("Gemm", pooled, to.constant(np.ones((8, 10)))), axis=1))


def embedding() -> onnx.ModelProto:
    to = Exporter()
    return to.model(to.op("Flatten", to.op("GlobalAveragePool", to.conv(to.features()[32], 84))))


def segmentation() -> onnx.ModelProto:
    to = Exporter()
    logits = to.conv(to.features()[8], 21)
    return to.model(to.op("Resize", logits, "", to.constant([1, 1, 8, 8])))


def deep_supervision() -> onnx.ModelProto:
    to = Exporter()
    return to.model(*(to.op("Sigmoid", to.conv(feature, 1)) for feature in to.features().values()))


def feature_pyramid() -> onnx.ModelProto:
    to = Exporter()
    return to.model(*(to.conv(feature, 64) for feature in to.features().values()))


def two_feature_pyramids() -> onnx.ModelProto:
    to = Exporter()
    return to.model(*(to.conv(feature, channels) for feature in to.features().values() for channels in (64, 64)))


def pyramids_of_64_and_32() -> onnx.ModelProto:
    to = Exporter()
    return to.model(*(to.conv(feature, channels) for feature in to.features().values() for channels in (64, 32)))


def text_recognition() -> onnx.ModelProto:
    to = Exporter()
    feature = to.conv(to.features((16,))[16], 40)
    sequence = to.op("Transpose", to.reshape(feature, 1, 40, -1), perm=[0, 2, 1])
    return to.model(to.op("Softmax", sequence, axis=2))


def heat_maps() -> onnx.ModelProto:
    to = Exporter()
    return to.model(to.conv(to.features((4,))[4], 17))


def distances_without_decoding() -> onnx.ModelProto:
    """YOLOv6, RTMDet or FCOS: four numbers and classes, from which no reader knows the coding."""
    return levels_apart({"boxes": 4, "classes": 3}, sigmoid=["classes"])


def atss() -> onnx.ModelProto:
    """ATSS as mmdetection cuts it: YOLOX's channels and one more level, but sizes in parts of an anchor."""
    return levels_apart({"classes": 3, "boxes": 4, "centerness": 1}, strides=(8, 16, 32, 64))


def gfl() -> onnx.ModelProto:
    """GFL: the bins of PP-YOLOE on more levels, but points in the cells' corners."""
    return levels_apart({"classes": 3, "boxes": 68}, strides=(8, 16, 32, 64), sigmoid=["classes"])


def unknown_decoding() -> onnx.ModelProto:
    """YOLOX's channels, but sizes by softplus."""
    to, levels = Exporter(), []
    for feature in to.features().values():
        scores, boxes, objectness = (to.conv(feature, channels) for channels in (3, 4, 1))
        first, last = to.split(boxes, (2, 2), axis=1)
        parts = [first, to.op("Softplus", last), to.op("Sigmoid", objectness), to.op("Sigmoid", scores)]
        levels.append(to.reshape(to.op("Concat", *parts, axis=1), 1, 8, -1))
    return to.model(to.op("Concat", *levels, axis=2))


def unequal_levels() -> onnx.ModelProto:
    """YOLOX's convolutions, whose classes differ between levels."""
    to, outputs = Exporter(), []
    for classes, stride in enumerate(STRIDES, 2):
        feature = to.features((stride,))[stride]
        outputs += [to.conv(feature, channels) for channels in (classes, 4, 1)]
    return to.model(*outputs)


def sound() -> onnx.ModelProto:
    graph = onnx.parser.parse_graph("sound (float[1, 16000] wave) => (float[1, 16000] y) { y = Tanh(wave) }")
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)


NO_DETECTORS = (
    classifier,
    embedding,
    segmentation,
    deep_supervision,
    feature_pyramid,
    two_feature_pyramids,
    pyramids_of_64_and_32,
    text_recognition,
    heat_maps,
    distances_without_decoding,
    atss,
    gfl,
    unknown_decoding,
    unequal_levels,
    sound,
)
