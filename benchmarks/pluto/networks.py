"""Small networks of the kinds that cameras run, with random weights: what the open T41 runtime takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["NETWORKS", "Net", "Pictures", "pictures_for"]

Pictures = list[dict[str, NDArray[np.float32]]]
INPUT = "images"


@dataclass
class Net:
    """A network while it is written; every method adds a layer and gives the name of its output.

    Attributes:
        side: of the square input.
        channels: of the input.
        low: the smallest value of the input.
        high: the largest.
    """

    side: int = 32
    channels: int = 3
    low: float = -1.0
    high: float = 127 / 128
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self.sizes[INPUT] = self.channels

    def conv(self, x: str, out: int, size: int = 3, stride: int = 1, act: str = "Relu", group: int = 1) -> str:
        """A convolution, padded by half its size, and its activation: Relu, Relu6, Silu or none."""
        name = f"conv{len(self.nodes)}"
        shape = (out, self.sizes[x] // group, size, size)
        weight = self._rng.normal(0, 1.4 * float(np.prod(shape[1:])) ** -0.5, shape) * self._rng.uniform(
            0.3, 1.5, (out, 1, 1, 1)
        )
        self._store(f"{name}/w", weight)
        self._store(f"{name}/b", self._rng.normal(0, 0.2, out))
        window = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4, "group": group}
        y = self._add("Conv", [x, f"{name}/w", f"{name}/b"], out, **window)
        if act == "Silu":
            return self._add("Mul", [y, self._add("Sigmoid", [y], out)], out)
        if act == "Relu6":
            self._store("zero", np.float32(0))
            self._store("six", np.float32(6))
            return self._add("Clip", [y, "zero", "six"], out)
        return self._add(act, [y], out) if act else y

    def depthwise(self, x: str, stride: int = 1, act: str = "Relu") -> str:
        """A depthwise 3x3."""
        return self.conv(x, self.sizes[x], 3, stride, act, self.sizes[x])

    def add(self, left: str, right: str, act: str = "") -> str:
        """A sum."""
        y = self._add("Add", [left, right], self.sizes[left])
        return self._add(act, [y], self.sizes[left]) if act else y

    def concat(self, *parts: str) -> str:
        """Joined channels."""
        return self._add("Concat", list(parts), sum(self.sizes[part] for part in parts), axis=1)

    def max_pool(self, x: str, size: int = 2, stride: int = 2) -> str:
        """A max pool, padded where it keeps the size."""
        pads = [size // 2 if stride == 1 else 0] * 4
        return self._add("MaxPool", [x], self.sizes[x], kernel_shape=[size] * 2, strides=[stride] * 2, pads=pads)

    def twice(self, x: str) -> str:
        """Nearest Resize to twice the size."""
        self._store("twice", np.array([1, 1, 2, 2], np.float32))
        modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self._add("Resize", [x, "", "twice"], self.sizes[x], **modes)

    def focus(self) -> str:
        """YOLOX's four slices of the input."""
        parts = []
        for name, value in {"end": [self.side] * 2, "axes": [2, 3], "steps": [2, 2]}.items():
            self._store(name, np.array(value, np.int64))
        for i, start in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            self._store(f"start{i}", np.array(start, np.int64))
            parts.append(self._add("Slice", [INPUT, f"start{i}", "end", "axes", "steps"], self.channels))
        return self.concat(*parts)

    def classify(self, x: str, classes: int = 10) -> onnx.ModelProto:
        """End with a global average pool and a Gemm."""
        pooled = self._add("Flatten", [self._add("GlobalAveragePool", [x], self.sizes[x])], self.sizes[x])
        self._store("fc/w", self._rng.normal(0, self.sizes[x] ** -0.5, (classes, self.sizes[x])))
        self._store("fc/b", self._rng.normal(0, 0.2, classes))
        return self.end(self._add("Gemm", [pooled, "fc/w", "fc/b"], classes, transB=1))

    def end(self, *outputs: str) -> onnx.ModelProto:
        """The network."""
        inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, self.channels, self.side, self.side])]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        constants = list({tensor.name: tensor for tensor in self.constants}.values())
        graph = helper.make_graph(self.nodes, "net", inputs, ends, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)

    def _add(self, op_type: str, inputs: Sequence[str], channels: int, **attributes: Any) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [f"{name}/y"], name, **attributes))
        self.sizes[f"{name}/y"] = channels
        return f"{name}/y"

    def _store(self, name: str, value: NDArray[Any] | np.float32) -> None:
        stored = np.asarray(value)
        self.constants.append(
            numpy_helper.from_array(stored if stored.dtype != np.float64 else stored.astype(np.float32), name)
        )


def pictures_for(net: Net, count: int, seed: int = 0) -> Pictures:
    """Smooth pictures over the whole range of a network's input."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        coarse = rng.uniform(0, 1, (1, net.channels, net.side // 8 + 1, net.side // 8 + 1))
        fine = np.kron(coarse, np.ones((8, 8)))[:, :, : net.side, : net.side] + rng.normal(0, 0.1, (net.side, net.side))
        values = net.low + (net.high - net.low) * np.clip(fine, 0, 1)
        values.reshape(-1)[:2] = net.low, net.high
        pictures.append({INPUT: values.astype(np.float32)})
    return pictures


def _mobilenet_v1(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 16, 3, 2)
    for out, stride in ((32, 1), (64, 2), (64, 1), (96, 2)):
        x = net.conv(net.depthwise(x, stride), out, 1)
    return net.classify(x)


def _mobilenet_v2(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 16, 3, 2, "Relu6")
    for out, stride in ((24, 2), (24, 1), (32, 1), (32, 1)):
        y = net.conv(net.depthwise(net.conv(x, net.sizes[x] * 4, 1, 1, "Relu6"), stride, "Relu6"), out, 1, 1, "")
        x = net.add(x, y) if stride == 1 and out == net.sizes[x] else y
    return net.classify(net.conv(x, 64, 1, 1, "Relu6"))


def _resnet(net: Net) -> onnx.ModelProto:
    x = net.max_pool(net.conv(INPUT, 32, 7, 2), 3, 1)
    for out, stride in ((32, 1), (64, 2), (64, 1)):
        y = net.conv(net.conv(x, out, 3, stride), out, 3, 1, "")
        side = x if stride == 1 and out == net.sizes[x] else net.conv(x, out, 3, stride, "")
        x = net.add(y, side, "Relu")
    return net.classify(x)


def _resnet_silu(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 24, 3, 2, "Silu")
    for _ in range(3):
        x = net.add(x, net.conv(net.conv(x, 24, 1, 1, "Silu"), 24, 3, 1, "Silu"))
    return net.classify(net.conv(x, 48, 1))


def _spatial_pyramid(net: Net) -> onnx.ModelProto:
    x = net.conv(net.conv(INPUT, 16, 3, 2, "Silu"), 32, 3, 2, "Silu")
    y = net.conv(x, 16, 1, 1, "Silu")
    pools = [net.max_pool(y, size, 1) for size in (3, 5, 7)]
    y = net.conv(net.concat(y, *pools), 32, 1, 1, "Silu")
    up = net.twice(net.conv(net.conv(y, 32, 3, 2, "Silu"), 16, 1, 1, "Silu"))
    return net.end(net.conv(net.concat(up, x), 12, 1, 1, ""))


def _segmentation(net: Net) -> onnx.ModelProto:
    first = net.conv(INPUT, 16)
    second = net.conv(net.max_pool(first), 32)
    third = net.conv(net.max_pool(second), 48)
    up = net.conv(net.concat(net.twice(third), second), 32)
    up = net.conv(net.concat(net.twice(up), first), 16)
    return net.end(net.conv(up, 5, 1, 1, ""))


def _four_ways(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 16, 3, 2)
    for _ in range(2):
        ways = [
            net.conv(x, 8, 1),
            net.conv(net.conv(x, 8, 1), 12),
            net.conv(x, 8, 5),
            net.conv(net.max_pool(x, 3, 1), 4, 1),
        ]
        x = net.concat(*ways)
    return net.classify(x)


def _yolox(net: Net) -> onnx.ModelProto:
    x = net.conv(net.conv(net.focus(), 16, 3, 1, "Silu"), 32, 3, 2, "Silu")
    for _ in range(2):
        left, right = net.conv(x, 16, 1, 1, "Silu"), net.conv(x, 16, 1, 1, "Silu")
        right = net.add(right, net.conv(net.depthwise(right, 1, "Silu"), 16, 1, 1, "Silu"))
        x = net.conv(net.concat(right, left), 32, 1, 1, "Silu")
    far = net.conv(x, 48, 3, 2, "Silu")
    near = net.conv(net.concat(net.twice(net.conv(far, 32, 1, 1, "Silu")), x), 32, 1, 1, "Silu")
    return net.end(*(net.conv(y, out, 1, 1, "") for y in (near, far) for out in (4, 1, 6)))


def _dense_blocks(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 16, 3, 2)
    for _ in range(4):
        x = net.concat(x, net.conv(net.conv(x, 24, 1), 8))
    return net.classify(net.conv(x, 64, 1))


def _large_windows(net: Net) -> onnx.ModelProto:
    x = net.conv(net.conv(net.conv(INPUT, 16, 5, 2), 24, 5), 32, 3, 2)
    return net.classify(net.conv(net.conv(x, 32, 5), 64, 1))


def _fire(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 32, 3, 2)
    for squeezed in (8, 12, 16):
        y = net.conv(x, squeezed, 1)
        x = net.concat(net.conv(y, 16, 1), net.conv(y, 16))
    return net.classify(x)


def _landmarks(net: Net) -> onnx.ModelProto:
    x = net.conv(INPUT, 16, 3, 2, "Relu6")
    levels = []
    for out in (24, 32, 48):
        x = net.conv(net.depthwise(x, 2, "Relu6"), out, 1, 1, "Relu6")
        levels.append(x)
    return net.end(*(net.conv(level, out, 1, 1, "") for level in levels[1:] for out in (4, 2, 10)))


def _wide(net: Net) -> onnx.ModelProto:
    x = net.conv(net.conv(INPUT, 64, 3, 2), 128, 3, 2)
    x = net.conv(net.conv(net.conv(x, 256, 1), 128, 1), 256, 3, 2)
    return net.classify(x, 100)


def _feature_pyramid(net: Net) -> onnx.ModelProto:
    c2 = net.conv(net.conv(INPUT, 16, 3, 2), 24, 3, 2)
    c3 = net.conv(c2, 32, 3, 2)
    c4 = net.conv(c3, 48, 3, 2)
    p4 = net.conv(c4, 24, 1, 1, "")
    p3 = net.add(net.conv(c3, 24, 1, 1, ""), net.twice(p4))
    p2 = net.add(net.conv(c2, 24, 1, 1, ""), net.twice(p3))
    return net.end(*(net.conv(net.conv(level, 24), 6, 3, 1, "") for level in (p2, p3, p4)))


def _gray(net: Net) -> onnx.ModelProto:
    x = net.conv(net.conv(INPUT, 16, 3, 2), 32, 3, 2)
    return net.classify(net.add(x, net.conv(net.depthwise(x), 32, 1, 1, ""), "Relu"), 4)


NETWORKS: dict[str, tuple[Callable[[Net], onnx.ModelProto], dict[str, Any]]] = {
    "MobileNetV1-like": (_mobilenet_v1, {}),
    "MobileNetV2-like": (_mobilenet_v2, {}),
    "ResNet-like": (_resnet, {}),
    "residual, SiLU": (_resnet_silu, {}),
    "pyramid pool, upsampled": (_spatial_pyramid, {}),
    "segmentation": (_segmentation, {}),
    "four ways joined": (_four_ways, {}),
    "YOLOX-like": (_yolox, {"low": 0.0, "high": 255.0}),
    "dense blocks": (_dense_blocks, {}),
    "5x5 windows": (_large_windows, {}),
    "squeezed": (_fire, {}),
    "faces, two levels": (_landmarks, {}),
    "wide": (_wide, {}),
    "feature pyramid": (_feature_pyramid, {}),
    "gray": (_gray, {"channels": 1}),
    "pixels 0 to 1": (_mobilenet_v2, {"low": 0.0, "high": 1.0}),
    "mean 127, normal 128": (_mobilenet_v1, {"low": -127 / 128, "high": 1.0}),
}
"""Name -> how it is written, and the input that differs from three channels of -1 to 127/128."""
