"""Writing factors into a network: weights, biases and constants that compute scaled channels."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute, captured_names
from stages.core.integer.operators import WEIGHTED
from stages.quantize.equalize.channel_ties import scaled_constants
from stages.quantize.partition.nodes import bias_of

__all__ = ["scaled_model", "weight_by_input"]

Array = NDArray[np.float64]
Factors = NDArray[np.float32]


def scaled_model(graph: Graph, factors: Mapping[str, Factors]) -> onnx.ModelProto:
    """Divide the producer of a scaled tensor by its factors, multiply its consumers' weights by them.

    Args:
        graph: the float network; not changed.
        factors: tensor -> float32 [C]: original = scaled * factor.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    constants = _Constants(graph, model)
    for node in model.graph.node:
        y_factors = factors.get(node.output[0])
        if node.op_type in WEIGHTED:
            x_factors = factors.get(node.input[0])
            if x_factors is None and y_factors is None:
                continue
            weight, bias = graph.constant(node.input[1]), bias_of(graph, node)
            assert weight is not None
            constants.write(node, 1, _scaled_weight(node, weight, x_factors, y_factors), weight)
            if bias is not None and y_factors is not None:
                constants.write(node, 2, bias / y_factors.astype(np.float64), bias)
        elif y_factors is not None:
            rank = len(graph.shapes[node.output[0]])
            divisor = y_factors.reshape(-1, *[1] * (rank - 2)).astype(np.float64)
            for index, name in enumerate(list(node.input)):
                if name in scaled_constants(graph, node):
                    value = np.asarray(graph.constant(name))
                    constants.write(node, index, value / divisor, value)
    return model


class _Constants:
    """The constants of a network that is being written."""

    def __init__(self, graph: Graph, model: onnx.ModelProto) -> None:
        self._initializers = model.graph.initializer
        self._uses = Counter(name for node in graph.nodes for name in (*node.input, *captured_names(node)))
        self._by_name = {tensor.name: tensor for tensor in self._initializers}
        self._names = {*self._by_name, *graph.producers, *graph.inputs}

    def write(self, node: onnx.NodeProto, index: int, values: Array, like: NDArray[np.float32]) -> None:
        """Give a node's input other values: in place if the node is the constant's only user, else a new constant."""
        name = node.input[index]
        if self._uses[name] > 1:
            self._uses[name] -= 1
            name = f"{name}/{node.name}"
            while name in self._names:
                name += "_"
            self._names.add(name)
            node.input[index] = name
            self._by_name[name] = self._initializers.add()
        self._by_name[name].CopyFrom(numpy_helper.from_array(values.astype(like.dtype), name))


def weight_by_input(node: onnx.NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show a weight as [groups, outputs of a group, inputs of a group, kernel]: a view where NumPy can give one."""
    group = attribute(node, "group", 1) if node.op_type in ("Conv", "ConvTranspose") else 1
    grouped = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)
    return grouped if _outputs_first(node) else grouped.swapaxes(1, 2)


def _outputs_first(node: onnx.NodeProto) -> bool:
    """Whether a weight's first axis counts output channels, not input channels."""
    return node.op_type == "Conv" or (node.op_type == "Gemm" and bool(attribute(node, "transB", 0)))


def _scaled_weight(
    node: onnx.NodeProto, weight: NDArray[np.float32], x_factors: Factors | None, y_factors: Factors | None
) -> Array:
    """The weight with input channels multiplied by `x_factors` and output channels divided by `y_factors`."""
    scaled = weight_by_input(node, weight).astype(np.float64)
    groups, outputs, inputs, _ = scaled.shape
    if x_factors is not None:
        scaled = scaled * x_factors.reshape(groups, 1, inputs, 1)
    if y_factors is not None:
        scaled = scaled / y_factors.reshape(groups, outputs, 1, 1)
    return (scaled if _outputs_first(node) else scaled.swapaxes(1, 2)).reshape(weight.shape)
