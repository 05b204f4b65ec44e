"""The network as TPU-MLIR structures it, written out in ONNX, so that the converter finds nothing left to change.

What is written here is what quantize works on and what the converter gets: the tensors are the chip's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute, infer_shapes
from stages.quantize.partition.merged_convolutions import merged_convolutions
from stages.quantize.partition.nodes import bias_of, sliding_window

__all__ = ["converter_structure", "renamed"]

WINDOWED = frozenset({"AveragePool", "Conv", "ConvTranspose", "MaxPool"})
RANK = 4
POOLED_SUFFIX = "/pooled"
"""Of a mean before its axes are dropped."""


def converter_structure(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write a network as the converter would structure it.

    - Attributes that have defaults are written out, as the converter has other defaults, or none.
    - Sums and products with a constant a channel, or with one for all, become depthwise 1x1 convolutions.
    - A mean over both spatial axes becomes a GlobalAveragePool.
    - A 1x1 convolution is merged into the convolution behind it (`merged_convolutions`).

    Args:
        model: the float network; not changed.

    Returns:
        Another network of the same inputs and outputs; nodes keep the names of those that they stand for.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = Graph(result)
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        write = _WRITERS.get(node.op_type)
        nodes.extend((write(graph, node) if write else None) or [node])
    written = list(nodes)
    del result.graph.node[:]
    result.graph.node.extend(written)
    infer_shapes(result)
    return merged_convolutions(result)


def renamed(graph: Graph) -> dict[str, str]:
    """Tensors that the exported network does not have -> the one of it with the same values in another shape."""
    return {name: name.removesuffix(POOLED_SUFFIX) for name in graph.float_tensors if name.endswith(POOLED_SUFFIX)}


def _explicit_window(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Write out kernel, strides, dilations and pads."""
    weight = graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    kernel = list(attribute(node, "kernel_shape", weight.dims[2:] if weight is not None else ()))
    if not kernel or node.input[0] not in graph.shapes or node.output[0] not in graph.shapes:
        return None
    window = {"kernel_shape": kernel} | sliding_window(graph, node, kernel)
    if "Pool" in node.op_type and set(window["dilations"]) == {1}:
        del window["dilations"]  # older operator sets have none
    kept = [each for each in node.attribute if each.name not in {*window, "auto_pad"}]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in window.items())])
    return [node]


def _explicit_split(graph: Graph, node: onnx.NodeProto) -> None:
    del graph
    if attribute(node, "axis") is None:
        node.attribute.append(helper.make_attribute("axis", 0))


def _explicit_bias(graph: Graph, node: onnx.NodeProto) -> None:
    """Write one bias value an output."""
    bias = bias_of(graph, node)
    if bias is not None and graph.constants[node.input[2]].dims != list(bias.shape):
        node.input[2] = _constant(graph, f"{node.name}/bias/whole", bias)


def _affine(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Write x + c and x * c as a depthwise 1x1 convolution."""
    features = [name for name in node.input if name not in graph.constants]
    constants = [name for name in node.input if name in graph.constants]
    if len(features) != 1 or len(constants) != 1:
        return None
    shape, value = graph.shapes.get(features[0], []), graph.constant(constants[0])
    if value is None or len(shape) != RANK or graph.shapes.get(node.output[0]) != shape or value.dtype != np.float32:
        return None
    channels = _by_channel(value, shape[1])
    if channels is None or not np.isfinite(channels).all():
        return None
    product, minus = node.op_type == "Mul", node.op_type == "Sub"
    weight, bias = (channels, np.zeros_like(channels)) if product else (np.ones_like(channels), channels)
    if minus:
        weight, bias = (weight, -bias) if node.input[0] in features else (-weight, bias)
    names = [
        _constant(graph, f"{node.name}/weight", weight.reshape(-1, 1, 1, 1)),
        *([] if product else [_constant(graph, f"{node.name}/bias", bias)]),
    ]
    window: dict[str, Any] = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * RANK}
    inputs = [features[0], *names]
    return [helper.make_node("Conv", inputs, list(node.output), name=node.name, group=shape[1], **window)]


def _by_channel(value: NDArray[Any], channels: int) -> NDArray[np.float32] | None:
    """A constant as one value a channel of axis 1 of four; None if it differs along another axis."""
    shape = [1] * (RANK - value.ndim) + list(value.shape)
    if len(shape) != RANK or shape[0] != 1 or shape[2:] != [1, 1] or shape[1] not in (1, channels):
        return None
    return np.ascontiguousarray(np.broadcast_to(value.reshape(-1), (channels,)))


def _mean(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Write a mean over the two spatial axes as a GlobalAveragePool, and a Flatten where it drops them."""
    rank = len(graph.shapes.get(node.input[0], ()))
    given = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    axes = attribute(node, "axes", given.tolist() if given is not None else [])
    if rank != RANK or sorted(axis % rank for axis in axes) != [2, 3]:
        return None
    if attribute(node, "keepdims", 1):
        return [helper.make_node("GlobalAveragePool", node.input[:1], list(node.output), name=node.name)]
    pooled = node.output[0] + POOLED_SUFFIX
    pool = helper.make_node("GlobalAveragePool", node.input[:1], [pooled], name=f"{node.name}/pool")
    return [pool, helper.make_node("Flatten", [pooled], list(node.output), name=node.name, axis=1)]


def _constant(graph: Graph, name: str, value: NDArray[Any]) -> str:
    graph.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    return name


Writer = Callable[[Graph, onnx.NodeProto], list[onnx.NodeProto] | None]
_WRITERS: dict[str, Writer] = {
    **dict.fromkeys(WINDOWED, _explicit_window),
    **dict.fromkeys(("Add", "Mul", "Sub"), _affine),
    "Gemm": _explicit_bias,
    "ReduceMean": _mean,
    "Split": _explicit_split,
}
