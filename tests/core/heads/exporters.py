"""Small detectors with random weights whose ends have the nodes that the families' exporters write."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 96
STRIDES = (8, 16, 32)
WIDTH_OF_FEATURES = 8
ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}


def grid_of(stride: int) -> tuple[int, int]:
    """Rows and columns of a level."""
    return math.ceil(HEIGHT / stride), math.ceil(WIDTH / stride)


def cells_of(stride: int) -> np.ndarray:
    """Column and line of each cell, row by row."""
    rows, columns = grid_of(stride)
    return np.array([(column, line) for line in range(rows) for column in range(columns)], np.float32)


class Exporter:
    """Writes a graph node by node."""

    def __init__(self, seed: int = 0) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def op(self, op_type: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"t{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def binary(self, op_type: str, x: str, value: ArrayLike) -> str:
        return self.op(op_type, x, self.constant(value))

    def reshape(self, x: str, *shape: int) -> str:
        return self.op("Reshape", x, self.constant(shape, np.int64))

    def cut(self, x: str, first: int, last: int, axis: int) -> str:
        return self.op("Slice", x, *(self.constant([value], np.int64) for value in (first, last, axis)))

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        names = self.op("Split", x, self.constant(sizes, np.int64), outputs=len(sizes), axis=axis)
        return [names] if len(sizes) == 1 else names

    def conv(self, x: str, channels: int, inputs: int = WIDTH_OF_FEATURES, stride: int = 1) -> str:
        weight = self.constant(self._rng.normal(0, (9 * inputs) ** -0.5 * 2, (channels, inputs, 3, 3)))
        bias = self.constant(self._rng.normal(0, 0.3, channels))
        return self.op("Conv", x, weight, bias, pads=[1, 1, 1, 1], strides=[stride, stride])

    def features(self, strides: Sequence[int] = STRIDES) -> dict[int, str]:
        """A backbone's features by stride."""
        x, features, stride = self.op("Relu", self.conv("images", WIDTH_OF_FEATURES, 3, 2)), {}, 2
        while stride < max(strides):
            x, stride = self.op("Relu", self.conv(x, WIDTH_OF_FEATURES, stride=2)), 2 * stride
            features[stride] = x
        return {stride: features[stride] for stride in strides}

    def model(self, *outputs: str, height: int | str = HEIGHT) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            "detector",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, WIDTH])],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            self._constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("TRT", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def yolov8(
    bins: int = 16,
    classes: int = 3,
    *,
    layout: str = "columns",
    keypoints: int = 0,
    visible: bool = True,
    masks: int = 0,
    select: str | None = None,
) -> onnx.ModelProto:
    """Ultralytics' Detect, Pose and Segment; with `select` their one-to-one head or a suppression in the graph.

    `visible`: whether a key point has a third value beside x and y (`kpt_shape` in their YAML).
    `layout`: columns, [1, K, N]; rows, [1, N, K]; yolov6, rows with an objectness of ones; apart, an output a kind.
    """
    to, levels, points, coefficients = Exporter(), [], [], []
    features = to.features((4, *STRIDES))
    size = 3 if visible else 2
    for stride in STRIDES:
        rows, columns = grid_of(stride)
        level = to.op("Concat", to.conv(features[stride], 4 * bins), to.conv(features[stride], classes), axis=1)
        levels.append(to.reshape(level, 1, 4 * bins + classes, rows * columns))
        if keypoints:
            points.append(to.reshape(to.conv(features[stride], size * keypoints), 1, size * keypoints, -1))
        if masks:
            coefficients.append(to.reshape(to.conv(features[stride], masks), 1, masks, -1))
    boxes, logits = to.split(to.op("Concat", *levels, axis=2), (4 * bins, classes), axis=1)
    if bins > 1:
        bars = to.op("Transpose", to.reshape(boxes, 1, 4, bins, -1), perm=[0, 2, 1, 3])
        project = to.constant(np.arange(bins).reshape(1, bins, 1, 1))
        boxes = to.reshape(to.op("Conv", to.op("Softmax", bars, axis=1), project), 1, 4, -1)
    centres = np.concatenate([cells_of(stride) + 0.5 for stride in STRIDES]).T[None]
    strides = np.concatenate([np.full(len(cells_of(stride)), stride) for stride in STRIDES])[None, None]
    first = to.op("Sub", to.constant(centres), to.cut(boxes, 0, 2, 1))
    last = to.op("Add", to.constant(centres), to.cut(boxes, 2, 4, 1))
    corners = to.binary("Mul", to.op("Concat", first, last, axis=1), strides)
    middle = to.binary("Div", to.op("Add", first, last), 2)
    sizes = to.binary("Mul", to.op("Concat", middle, to.op("Sub", last, first), axis=1), strides)
    scores = to.op("Sigmoid", logits)
    if select:
        return _selected(to, corners if select == "top_k" else sizes, scores, select)
    if layout == "apart":
        return to.model(sizes, scores)
    parts = [sizes, *([to.constant(np.ones((1, 1, strides.size)))] if layout == "yolov6" else []), scores]
    if keypoints:
        values = to.reshape(to.op("Concat", *points, axis=2), 1, keypoints, size, -1)
        xy, *scores = to.split(values, (2, 1), axis=2) if visible else [values]
        xy = to.binary("Mul", to.binary("Add", to.binary("Mul", xy, 2), centres[:, None] - 0.5), strides[:, None])
        scores = [to.op("Sigmoid", score) for score in scores]
        parts.append(to.reshape(to.op("Concat", xy, *scores, axis=2), 1, size * keypoints, -1))
    outputs = []
    if masks:
        parts.append(to.op("Concat", *coefficients, axis=2))
        outputs.append(to.op("Relu", to.conv(features[4], masks)))
    joined = to.op("Concat", *parts, axis=1)
    return to.model(to.op("Transpose", joined, perm=[0, 2, 1]) if layout != "columns" else joined, *outputs)


def _selected(to: Exporter, boxes: str, scores: str, select: str) -> onnx.ModelProto:
    """TopK as YOLOv10's exporter writes it, ONNX's NonMaxSuppression, or TensorRT's plugin."""
    if select == "nms":
        numbers = [to.constant(20, np.int64), to.constant(0.5), to.constant(0.3)]
        rows = to.op("Transpose", boxes, perm=[0, 2, 1])
        index = to.op("NonMaxSuppression", rows, scores, *numbers, center_point_box=1)
        return to.model(to.op("Gather", rows, to.op("Gather", index, to.constant(2, np.int64), axis=1), axis=1))
    rows, probabilities = (to.op("Transpose", x, perm=[0, 2, 1]) for x in (boxes, scores))
    if select == "trt":
        return to.model(*to.op("EfficientNMS_TRT", rows, probabilities, outputs=4, domain="TRT", score_threshold=0.25))
    best = to.op("ReduceMax", probabilities, axes=[2], keepdims=0)
    _, index = to.op("TopK", best, to.constant([20], np.int64), outputs=2, axis=1)
    spread = to.op("Expand", to.op("Unsqueeze", index, to.constant([2], np.int64)), to.constant([1, 20, 4], np.int64))
    chosen = to.op("GatherElements", rows, spread, axis=1)
    best_scores = to.op("Unsqueeze", to.op("GatherElements", best, index, axis=1), to.constant([2], np.int64))
    return to.model(to.op("Concat", chosen, best_scores, axis=2))


def yolov5(
    coding: str = "v5", classes: int = 3, *, masks: int = 0, anchors: Any = None, end: str = "decoded"
) -> onnx.ModelProto:
    """Detect of YOLOv5, v7 and v3; `end` is decoded, sigmoid (before the anchors) or nms."""
    to, levels = Exporter(), []
    features = to.features((4, *STRIDES))
    values = 5 + classes + masks
    for stride, level_anchors in (anchors or ANCHORS).items():
        rows, columns = grid_of(stride)
        count = len(level_anchors)
        x = to.reshape(to.conv(features[stride], count * values), 1, count, values, rows, columns)
        x = to.op("Transpose", x, perm=[0, 1, 3, 4, 2])
        if end != "sigmoid":
            grid = cells_of(stride).reshape(1, 1, rows, columns, 2)
            sizes = np.array(level_anchors, np.float32).reshape(1, count, 1, 1, 2)
            scored = to.cut(x, 0, 5 + classes, 4)
            coefficients = [to.cut(x, 5 + classes, values, 4)] if masks else []
            x = to.op("Concat", *_decoded(to, scored, coding, grid, sizes, stride), *coefficients, axis=4)
        else:
            x = to.op("Sigmoid", x)
        levels.append(to.reshape(x, 1, -1, values))
    joined = to.op("Concat", *levels, axis=1)
    if end == "nms":
        boxes, objectness, scores = to.split(joined, (4, 1, classes), axis=2)
        products = to.op("Transpose", to.op("Mul", scores, objectness), perm=[0, 2, 1])
        numbers = [to.constant(20, np.int64), to.constant(0.5), to.constant(0.3)]
        return to.model(to.op("NonMaxSuppression", boxes, products, *numbers, center_point_box=1))
    return to.model(joined, *([to.op("Relu", to.conv(features[4], masks))] if masks else []))


def yolov5_face() -> onnx.ModelProto:
    """YOLOv5-face: four numbers, objectness, five points in parts of the anchor, one class."""
    to, levels = Exporter(), []
    features = to.features()
    for stride, level_anchors in ANCHORS.items():
        rows, columns = grid_of(stride)
        x = to.reshape(to.conv(features[stride], 3 * 16), 1, 3, 16, rows, columns)
        x = to.op("Transpose", x, perm=[0, 1, 3, 4, 2])
        grid = cells_of(stride).reshape(1, 1, rows, columns, 2)
        sizes = np.array(level_anchors, np.float32).reshape(1, 3, 1, 1, 2)
        scored = to.op("Concat", to.cut(x, 0, 5, 4), to.cut(x, 15, 16, 4), axis=4)
        *boxes, scores = _decoded(to, scored, "v5", grid, sizes, stride)
        points = to.binary("Mul", to.cut(x, 5, 15, 4), np.tile(sizes, 5))
        points = to.binary("Add", points, np.tile(grid * stride, 5))
        parts = [*boxes, to.cut(scores, 0, 1, 4), points, to.cut(scores, 1, 2, 4)]
        levels.append(to.reshape(to.op("Concat", *parts, axis=4), 1, -1, 16))
    return to.model(to.op("Concat", *levels, axis=1))


def _decoded(to: Exporter, x: str, coding: str, grid: np.ndarray, anchors: np.ndarray, stride: int) -> list[str]:
    """Centres, sizes, and probabilities of [1, A, H, W, K]."""
    probabilities = to.op("Sigmoid", x)
    xy, wh, rest = (to.cut(probabilities, *columns, 4) for columns in ((0, 2), (2, 4), (4, 1000)))
    if coding == "v3":
        xy = to.binary("Mul", to.binary("Add", xy, grid), stride)
        return [xy, to.binary("Mul", to.op("Exp", to.cut(x, 2, 4, 4)), anchors), rest]
    xy = to.binary("Mul", to.binary("Add", to.binary("Mul", xy, 2), grid - 0.5), stride)
    if coding == "v5":
        return [xy, to.binary("Mul", to.binary("Pow", to.binary("Mul", wh, 2), 2), anchors), rest]
    return [xy, to.binary("Mul", to.binary("Pow", wh, 2), 4 * anchors), rest]


def yolox(classes: int = 3, *, decoded: bool = False, joined_convolution: bool = False) -> onnx.ModelProto:
    """YOLOX's export, whose boxes are decoded outside unless `--decode_in_inference` is said."""
    to, levels = Exporter(), []
    for stride, feature in to.features().items():
        rows, columns = grid_of(stride)
        if joined_convolution:
            boxes, objectness, scores = to.split(to.conv(feature, 5 + classes), (4, 1, classes), axis=1)
        else:
            scores, boxes, objectness = (to.conv(feature, channels) for channels in (classes, 4, 1))
        level = to.op("Concat", boxes, to.op("Sigmoid", objectness), to.op("Sigmoid", scores), axis=1)
        levels.append(to.reshape(level, 1, 5 + classes, rows * columns))
    rows_first = to.op("Transpose", to.op("Concat", *levels, axis=2), perm=[0, 2, 1])
    if not decoded:
        return to.model(rows_first)
    grids = np.concatenate([cells_of(stride) for stride in STRIDES])[None]
    strides = np.concatenate([np.full((len(cells_of(stride)), 1), stride) for stride in STRIDES])[None]
    centres = to.binary("Mul", to.binary("Add", to.cut(rows_first, 0, 2, 2), grids), strides)
    sizes = to.binary("Mul", to.op("Exp", to.cut(rows_first, 2, 4, 2)), strides)
    return to.model(to.op("Concat", centres, sizes, to.cut(rows_first, 4, 5 + classes, 2), axis=2))


def levels_apart(
    channels: dict[str, int], strides: Sequence[int] = STRIDES, anchors: int = 1, sigmoid: Sequence[str] = ()
) -> onnx.ModelProto:
    """A convolution for each kind and level, each with an output [1, rows, values]: YuNet, SCRFD, NanoDet."""
    to, outputs = Exporter(), {kind: [] for kind in channels}
    for feature in to.features(strides).values():
        for kind, values in channels.items():
            x = to.op("Transpose", to.conv(feature, anchors * values), perm=[0, 2, 3, 1])
            x = to.reshape(x, 1, -1, values)
            outputs[kind].append(to.op("Sigmoid", x) if kind in sigmoid else x)
    return to.model(*(name for names in outputs.values() for name in names))


def nanodet_plus(classes: int = 3) -> onnx.ModelProto:
    """NanoDet-Plus: one convolution a level, classes first, one output [1, N, classes + 32]."""
    to, levels = Exporter(), []
    for feature in to.features((8, 16, 32, 64)).values():
        scores, boxes = to.split(to.conv(feature, classes + 32), (classes, 32), axis=1)
        levels.append(to.reshape(to.op("Concat", to.op("Sigmoid", scores), boxes, axis=1), 1, classes + 32, -1))
    return to.model(to.op("Transpose", to.op("Concat", *levels, axis=2), perm=[0, 2, 1]))


def yolov8_levels(classes: int = 3) -> onnx.ModelProto:
    """YOLOv8 as it trains: distributions and logits of a level joined, [1, 64 + classes, H, W]."""
    to = Exporter()
    levels = (to.op("Concat", to.conv(x, 64), to.conv(x, classes), axis=1) for x in to.features().values())
    return to.model(*levels)


def rockchip(classes: int = 3) -> onnx.ModelProto:
    """Rockchip's export of YOLOv8: distributions, class scores and their sum, for each level."""
    to, outputs = Exporter(), []
    for feature in to.features().values():
        boxes, scores = to.conv(feature, 64), to.op("Sigmoid", to.conv(feature, classes))
        total = to.op("Clip", to.op("ReduceSum", scores, to.constant([1], np.int64)), to.constant(0), to.constant(1))
        outputs += [boxes, scores, total]
    return to.model(*outputs)


def ssd(
    sides: dict[int, Sequence[float]],
    classes: int = 2,
    *,
    decoded: bool = True,
    even: bool = False,
    keypoints: bool = False,
) -> onnx.ModelProto:
    """SSD as UltraFace and RetinaFace export it: scores with the background, boxes as corners in parts of the input."""
    to, levels = Exporter(), {"boxes": [], "scores": [], "points": []}
    priors = []
    for stride, feature in to.features(tuple(sides)).items():
        rows, columns = grid_of(stride)
        pitch = (WIDTH / columns, HEIGHT / rows) if even else (stride, stride)
        for kind, values in (("boxes", 4), ("scores", classes), ("points", 10)):
            x = to.op("Transpose", to.conv(feature, len(sides[stride]) * values), perm=[0, 2, 3, 1])
            levels[kind].append(to.reshape(x, 1, -1, values))
        priors += [
            ((column + 0.5) * pitch[0] / WIDTH, (line + 0.5) * pitch[1] / HEIGHT, side / WIDTH, side / HEIGHT)
            for column, line in cells_of(stride)
            for side in sides[stride]
        ]
    boxes, scores, points = (to.op("Concat", *levels[kind], axis=1) for kind in ("boxes", "scores", "points"))
    if decoded:
        prior = np.array(priors, np.float32)[None]
        centres = to.binary("Mul", to.binary("Mul", to.cut(boxes, 0, 2, 2), 0.1), prior[..., 2:])
        sizes = to.binary("Mul", to.op("Exp", to.binary("Mul", to.cut(boxes, 2, 4, 2), 0.2)), prior[..., 2:])
        half, centres = to.binary("Div", sizes, 2), to.binary("Add", centres, prior[..., :2])
        boxes = to.op("Concat", to.op("Sub", centres, half), to.op("Add", centres, half), axis=2)
    outputs = [boxes, to.op("Softmax", scores, axis=2)]
    return to.model(*outputs, *([points] if keypoints else []))


def centerface() -> onnx.ModelProto:
    """CenterFace: score map, scale, offset and landmarks at stride 4."""
    to = Exporter()
    feature = to.features((4,))[4]
    scores, *others = (to.conv(feature, channels) for channels in (1, 2, 2, 10))
    return to.model(to.op("Sigmoid", scores), *others)


def fastestdet(classes: int = 3) -> onnx.ModelProto:
    """FastestDet: objectness, boxes and classes of one level in an output [1, 5 + classes, H, W]."""
    to = Exporter()
    feature = to.features((16,))[16]
    objectness, boxes, scores = (to.conv(feature, channels) for channels in (1, 4, classes))
    return to.model(to.op("Concat", to.op("Sigmoid", objectness), boxes, to.op("Softmax", scores, axis=1), axis=1))
