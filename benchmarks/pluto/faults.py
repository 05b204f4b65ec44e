"""Networks and files that the open T41 runtime does not take, or takes at the edge of what it can: one change each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.pluto.networks import INPUT, NETWORKS, Net
from stages.core.graph.onnx_graph import Graph

__all__ = ["EDITED", "EDITS", "VARIANTS"]

EDITED = ("MobileNetV2-like", "YOLOX-like", "ResNet-like")
"""The networks whose files are edited: the first that has the operator."""


def _classifier(change: Callable[[Net, str], str], start: int = 16, first: int = 3) -> Callable[[Net], onnx.ModelProto]:
    """A classifier with a change behind its first layer."""
    return lambda net: net.classify(net.conv(change(net, net.conv(INPUT, start, first, 2)), 32, 1))


def _output_inside(net: Net) -> onnx.ModelProto:
    first = net.conv(net.conv(INPUT, 16, 3, 2), 8, 1, 1, "")
    return net.end(net.conv(net.conv(first, 16), 4, 1, 1, ""), first)


def _mixed_input(net: Net) -> onnx.ModelProto:
    x = net.concat(net.conv(INPUT, 13), net.max_pool(INPUT, 3, 1))
    return net.classify(net.conv(x, 32))


VARIANTS: dict[str, tuple[Callable[[Net], onnx.ModelProto], dict[str, Any]]] = {
    "11x11 over the picture": (lambda net: net.classify(net.conv(INPUT, 16, 11, 2)), {}),
    "9x9 over the picture": (lambda net: net.classify(net.conv(INPUT, 16, 9, 2)), {}),
    "7x7 over 32": (_classifier(lambda net, x: net.conv(x, 32, 7), 32), {}),
    "5x5 over 32": (_classifier(lambda net, x: net.conv(x, 32, 5), 32), {}),
    "7x7 over 16": (_classifier(lambda net, x: net.conv(x, 32, 7)), {}),
    "3x3 over 3 inside": (_classifier(lambda net, x: net.conv(net.conv(x, 3, 1), 16)), {}),
    "5x5 over 2 inside": (_classifier(lambda net, x: net.conv(net.conv(x, 2, 1), 16, 5)), {}),
    "3x3 over 4 inside": (_classifier(lambda net, x: net.conv(net.conv(x, 4, 1), 16)), {}),
    "1x1 over 3 inside": (_classifier(lambda net, x: net.conv(net.conv(x, 3, 1), 16, 1)), {}),
    "depthwise over 3 inside": (_classifier(lambda net, x: net.depthwise(net.conv(x, 3, 1))), {}),
    "depthwise first": (lambda net: net.classify(net.conv(net.depthwise(INPUT, 2), 32, 1)), {}),
    "depthwise first, pixels": (
        lambda net: net.classify(net.conv(net.depthwise(INPUT, 2), 32, 1)),
        {"low": 0.0, "high": 1.0},
    ),
    "1x1 first": (lambda net: net.classify(net.conv(net.conv(INPUT, 8, 1), 32, 3, 2)), {"low": 0.0, "high": 1.0}),
    "one channel, 3x3 to one": (lambda net: net.classify(net.conv(net.conv(INPUT, 1), 32, 1)), {"channels": 1}),
    "one channel, 5x5 to one": (lambda net: net.classify(net.conv(net.conv(INPUT, 1, 5), 32, 1)), {"channels": 1}),
    "an output inside": (_output_inside, {}),
    "the picture pooled too": (_mixed_input, {}),
    "the picture pooled too, pixels": (_mixed_input, {"low": 0.0, "high": 1.0}),
    "depthwise 5x5": (_classifier(lambda net, x: net.conv(x, 16, 5, 1, "Relu", 16)), {}),
    "two groups": (_classifier(lambda net, x: net.conv(x, 16, 3, 1, "Relu", 2)), {}),
    "1x1 with stride 2": (_classifier(lambda net, x: net.conv(x, 16, 1, 2)), {}),
    "5x5 over 64, stride 2": (_classifier(lambda net, x: net.conv(x, 32, 5, 2), 64), {}),
    "5x5 over 64": (_classifier(lambda net, x: net.conv(x, 32, 5), 64), {}),
    "3x3 over 48": (_classifier(lambda net, x: net.conv(x, 32), 48), {}),
    "3x3 over 288": (_classifier(lambda net, x: net.conv(net.conv(x, 288, 1), 32)), {}),
    "1x1 over 1152": (_classifier(lambda net, x: net.conv(net.conv(x, 1152, 1), 32, 1)), {}),
    "five joined": (_classifier(lambda net, x: net.concat(*(net.conv(x, 4, 1) for _ in range(5)))), {}),
    "pool without ReLU": (lambda net: net.classify(net.conv(INPUT, 16, 3, 2, "")), {}),
    "SiLU before the pool": (lambda net: net.classify(net.conv(INPUT, 16, 3, 2, "Silu")), {}),
    "gray, pixels": (NETWORKS["gray"][0], {"channels": 1, "low": 0.0, "high": 255.0}),
    "four channels": (NETWORKS["MobileNetV1-like"][0], {"channels": 4, "low": 0.0}),
}
"""Name -> a network, and the input that differs."""


def _store(model: onnx.ModelProto, name: str, value: NDArray[Any] | np.generic) -> None:
    kept = [tensor for tensor in model.graph.initializer if tensor.name != name]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, numpy_helper.from_array(np.asarray(value), name)])


def _node(model: onnx.ModelProto, op_type: str, which: int = 0) -> onnx.NodeProto:
    found: list[onnx.NodeProto] = [node for node in model.graph.node if node.op_type == op_type]
    return found[which]


def _quantizer(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = list(model.graph.node)
    return next(each for each in nodes if each.op_type == "QuantizeLinear" and each.input[0] == node.output[0])


def _value(model: onnx.ModelProto, name: str) -> NDArray[Any]:
    value = Graph(model).constant(name)
    assert value is not None
    return value


def _constant(op_type: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        node = [each for each in model.graph.node if each.op_type == op_type][-1]
        dequantizer = next(each for each in model.graph.node if each.output[0] == node.input[1])
        shape = Graph(model).shapes[node.input[1]]
        _store(model, "ones", np.ones(shape, np.float32))
        quantize = helper.make_node("QuantizeLinear", ["ones", *dequantizer.input[1:]], ["ones/codes"], "ones/Q")
        dequantize = helper.make_node(
            "DequantizeLinear", ["ones/codes", *dequantizer.input[1:]], ["ones/real"], "ones/DQ"
        )
        node.input[1] = "ones/real"
        model.graph.node.insert(0, dequantize)
        model.graph.node.insert(0, quantize)

    return edit


def _qparam(index: int, change: Callable[[NDArray[Any]], Any]) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        name = _quantizer(model, _node(model, "Conv", 1)).input[index]
        _store(model, name, change(_value(model, name)))

    return edit


def _weight(part: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        conv = _node(model, "Conv", 1)
        dequantizer = next(node for node in model.graph.node if node.output[0] == conv.input[1])
        _store(model, dequantizer.input[part], change(_value(model, dequantizer.input[part])))

    return edit


def _attribute(op_type: str, which: int = 0, **values: Any) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        node = _node(model, op_type, which)
        kept = [each for each in node.attribute if each.name not in values]
        del node.attribute[:]
        added = {name: value for name, value in values.items() if value is not None}
        node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in added.items())])

    return edit


def _tied(model: onnx.ModelProto) -> None:
    add = _node(model, "Add")
    for name, scale in ((add.input[0], 0.5), (add.input[1], 0.5)):
        dequantizer = next(node for node in model.graph.node if node.output[0] == name)
        _store(model, dequantizer.input[1], np.float32(scale))
    _store(model, _quantizer(model, add).input[1], np.float32(1))


def _without_bias(model: onnx.ModelProto) -> None:
    del _node(model, "Gemm").input[2:]


def _softmax(model: onnx.ModelProto) -> None:
    output = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Softmax", [output], ["probabilities"], "softmax"))
    model.graph.output[0].name = "probabilities"


def _float_bias(model: onnx.ModelProto) -> None:
    conv = _node(model, "Conv", 1)
    dequantizer = next(node for node in model.graph.node if node.output[0] == conv.input[2])
    _store(
        model, "plain", (_value(model, dequantizer.input[0]) * _value(model, dequantizer.input[1])).astype(np.float32)
    )
    conv.input[2] = "plain"


EDITS: dict[str, Callable[[onnx.ModelProto], None]] = {
    "a constant added": _constant("Add"),
    "a constant joined": _constant("Concat"),
    "a scale of shape [1]": _qparam(1, lambda scale: scale.reshape(1)),
    "a zero point of shape [1]": _qparam(2, lambda zero_point: zero_point.reshape(1)),
    "unsigned codes": _qparam(2, lambda zero_point: np.uint8(int(zero_point) + 128)),
    "a weight with a zero point": _weight(2, lambda zero_point: np.full_like(zero_point, 3)),
    "scales that tie in a sum": _tied,
    "a Gemm without a bias": _without_bias,
    "a Gemm that is scaled": _attribute("Gemm", alpha=2.0),
    "a Softmax at the end": _softmax,
    "a float bias": _float_bias,
    "dilated": _attribute("Conv", 1, dilations=[2, 2], pads=[2] * 4),
    "padded 1x1": _attribute("Conv", -1, pads=[1] * 4),
    "strides that differ": _attribute("Conv", 1, strides=[1, 2]),
    "SAME_UPPER": _attribute("Conv", 0, auto_pad="SAME_UPPER", pads=None),
    "linear resizing": _attribute("Resize", mode="linear"),
    "half_pixel and ceil": _attribute("Resize", coordinate_transformation_mode="half_pixel", nearest_mode="ceil"),
    "joined along rows": _attribute("Concat", -1, axis=2),
    "a max pool that rounds up": _attribute("MaxPool", ceil_mode=1, kernel_shape=[3, 3], strides=[2, 2], pads=[0] * 4),
    "a max pool that could round up": _attribute("MaxPool", ceil_mode=1),
}
"""Name -> an edit of a quantized file; an IndexError where the file lacks the operator."""
