"""One-input functions as tables: an output code for every input code."""

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.quant_params import QuantParams
from stages.quantize.partition.layers import Layer

__all__ = ["TABLES", "clamp_bounds", "inner_values", "table"]

Values = NDArray[np.float64]


def clamp_bounds(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """The real bounds of a Relu or of a Clip with constant bounds."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    given = [graph.constant(name) if name else None for name in node.input[1:3]]
    low, high = (*given, None, None)[:2]
    return (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))


def table(graph: Graph, layer: Layer, taken: QuantParams, made: QuantParams) -> NDArray[np.int32]:
    """round(f(x) / scale) + zero_point for every input code, clamped; computed in float64.

    Args:
        graph: the float network.
        layer: a layer of a kind in `TABLES`.
        taken: what the input's codes mean.
        made: what the output's codes mean.

    Returns:
        int32 [2**bits of the input], or [C, 2**bits] where each channel of the input or the output has its own scale.
    """
    values: Values = _FUNCTIONS[layer.kind](graph, layer.first, _reals(taken))
    codes: Values = np.clip(np.rint(values / _step(made)) + made.zero_point, 0, made.qmax)
    return codes.astype(np.int32)


def inner_values(graph: Graph, layer: Layer, taken: QuantParams) -> NDArray[np.float32]:
    """f(x) of a layer x * f(x), for every input code: what the tensor inside it holds."""
    values: Values = _FUNCTIONS[layer.first.op_type](graph, layer.first, _reals(taken))
    return values.astype(np.float32)


def _reals(codes: QuantParams) -> Values:
    """What every code stands for: [2**bits], or [C, 2**bits] where each channel has its own scale."""
    return (np.arange(codes.qmax + 1, dtype=np.float64) - codes.zero_point) * _step(codes)


def _step(codes: QuantParams) -> Values:
    """The scale, or a column of one a channel."""
    return np.array(codes.channel_scales).reshape(-1, 1) if codes.channel_scales else np.array(codes.scale)


def _sigmoid(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    del graph, node
    return 0.5 + 0.5 * np.tanh(x / 2)  # never overflows


def _tanh(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    del graph, node
    return np.tanh(x)


def _silu(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    product: Values = x * _sigmoid(graph, node, x)
    return product


def _hard_sigmoid(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    del graph
    clamped: Values = np.clip(attribute(node, "alpha", 0.2) * x + attribute(node, "beta", 0.5), 0.0, 1.0)
    return clamped


def _hard_swish(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    if node.op_type == "HardSigmoid":  # written as two nodes, with any slope
        return x * _hard_sigmoid(graph, node, x)
    return x * np.clip(x / 6 + 0.5, 0.0, 1.0)


def _leaky_relu(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    del graph
    return np.where(x < 0, attribute(node, "alpha", 0.01) * x, x)


def _clamp(graph: Graph, node: onnx.NodeProto, x: Values) -> Values:
    return np.clip(x, *clamp_bounds(graph, node))


_FUNCTIONS: dict[str, Callable[[Graph, onnx.NodeProto, Values], Values]] = {
    "Clip": _clamp,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "Relu": _clamp,
    "Sigmoid": _sigmoid,
    "Silu": _silu,
    "Tanh": _tanh,
}
TABLES = set(_FUNCTIONS)
"""Kinds of layers that are tables."""
