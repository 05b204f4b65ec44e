"""Merging a 1x1 convolution into the one behind it, where TPU-MLIR does so: its output does not exist on the chip."""

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["merged_convolutions"]

RANK = 4
MOST_GROWTH = 20
"""Of the weights: a pair whose merged weight has more values than so many times both has is left alone."""


def merged_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Merge pairs of convolutions as TPU-MLIR 1.30.2 does, in graph order.

    The first has a 1x1 kernel and no other consumer; both are plain: one group, no padding, strides of 1 in the first.

    Args:
        model: the float network; not changed.

    Returns:
        The network with merged weights and biases under the second node's name, `NODE/weight/merged`; a copy.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    while pair := next(_pairs(graph := Graph(result)), None):
        _merge(graph, *pair)
    return result


def _pairs(graph: Graph) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """The pairs that can be merged."""
    for second in graph.nodes:
        first = graph.producers.get(second.input[0]) if second.input else None
        if first is None or not (_plain(graph, first) and _plain(graph, second)):
            continue
        tensor = first.output[0]
        shared = tensor in graph.outputs or tensor in graph.captured or len(graph.consumers[tensor]) > 1
        if not shared and _is_pointwise(graph, first) and not _grows(graph, first, second):
            yield first, second


def _plain(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a convolution over two axes with constant weights, one group and no padding."""
    if node.op_type != "Conv" or any(name and name not in graph.constants for name in node.input[1:]):
        return False
    unpadded = not any(attribute(node, "pads", ())) and attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    return len(graph.constants[node.input[1]].dims) == RANK and attribute(node, "group", 1) == 1 and unpadded


def _is_pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    kernel = list(graph.constants[node.input[1]].dims[2:])
    return kernel == [1, 1] and all(stride == 1 for stride in attribute(node, "strides", ()))


def _grows(graph: Graph, first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
    """Whether the merged weight has far more values than both."""
    inner, inputs = list(graph.constants[first.input[1]].dims)[:2]
    weight = list(graph.constants[second.input[1]].dims)
    values: int = math.prod(weight)
    return bool(values // inner * inputs / (values + inner * inputs) > MOST_GROWTH)


def _merge(graph: Graph, first: onnx.NodeProto, second: onnx.NodeProto) -> None:
    """Replace the second node's parameters by those of both, and remove the first; the graph is none of it then."""
    model = graph.model
    inner, outer = (_weight(graph, node) for node in (first, second))
    weight = np.einsum("edhw,dc->echw", outer, inner[:, :, 0, 0])
    bias = _bias(graph, second) + np.einsum("edhw,d->e", outer, _bias(graph, first))
    names = [f"{second.name}/{name}/merged" for name in ("weight", "bias")]
    constants = [value.astype(np.float32) for value in (weight, bias)]
    second.input[0] = first.input[0]
    del second.input[1:]
    second.input.extend(names)
    model.graph.node.remove(first)
    used = set(chain.from_iterable(node.input for node in model.graph.node))
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used | graph.captured]
    del model.graph.initializer[:]
    added = [numpy_helper.from_array(value, name) for name, value in zip(names, constants, strict=True)]
    model.graph.initializer.extend([*kept, *added])


def _weight(graph: Graph, node: onnx.NodeProto) -> NDArray[np.float64]:
    weight = graph.constant(node.input[1])
    assert weight is not None
    return weight.astype(np.float64)


def _bias(graph: Graph, node: onnx.NodeProto) -> NDArray[np.float64]:
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    return np.zeros(_weight(graph, node).shape[0]) if bias is None else bias.astype(np.float64)
