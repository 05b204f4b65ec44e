"""One-input functions, as tables with an output code for every input code; gated ones, x * f(x), too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators.table import Table
from stages.core.integer.quant_params import QuantParams
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_unary
from stages.quantize.operators.torch_call import TorchCall
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bounded, clamp_bounds

__all__ = ["FUNCTIONS", "OPERATORS", "inner_values", "table"]

FLOAT32_MAX = np.finfo(np.float32).max
"""How exporters write a bound that is none."""

Values = NDArray[np.float64]


def table(graph: Graph, layer: Layer, x: QuantParams, y: QuantParams) -> NDArray[np.int32]:
    """round(f(x) / scale) + zero_point for every input code, clamped; computed in float64.

    Args:
        graph: the float network.
        layer: a layer of a kind in `FUNCTIONS`.
        x: the input's quantization parameters.
        y: the output's.

    Returns:
        int32 [2**bits of the input], or [C, 2**bits] where each channel of the input or the output has its own scale.
    """
    values: Values = FUNCTIONS[layer.kind](graph, layer.first, _reals(x))
    codes: Values = np.clip(np.rint(values / _scale_column(y)) + y.zero_point, 0, y.qmax)
    return codes.astype(np.int32)


def inner_values(graph: Graph, layer: Layer, x: QuantParams) -> NDArray[np.float32]:
    """f(x) of a layer x * f(x), for every input code: the values of the tensor inside it."""
    values: Values = FUNCTIONS[layer.first.op_type](graph, layer.first, _reals(x))
    return values.astype(np.float32)


def _reals(qparams: QuantParams) -> Values:
    """The real value of every code: [2**bits], or [C, 2**bits] where each channel has its own scale."""
    return (np.arange(qparams.qmax + 1, dtype=np.float64) - qparams.zero_point) * _scale_column(qparams)


def _scale_column(qparams: QuantParams) -> Values:
    """The scale, or a column of one a channel."""
    by_channel = qparams.channel_scales
    return np.array(by_channel).reshape(-1, 1) if by_channel else np.array(qparams.scale)


# --- the functions ---


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


FUNCTIONS: dict[str, Callable[[Graph, onnx.NodeProto, Values], Values]] = {
    "Clip": _clamp,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky_relu,
    "Relu": _clamp,
    "Sigmoid": _sigmoid,
    "Silu": _silu,
    "Tanh": _tanh,
}
"""Kind of layer -> its function of real values."""


# --- the ONNX operators ---


def _lower(to: IntegerModelBuilder, layer: Layer) -> None:
    x, y = to.qparams(layer.first.input[0]), to.qparams(layer.output)
    entries = table(to.graph, layer, x, y).astype(y.dtype)
    inputs = [to.coded(layer.first.input[0]), to.constant(f"{layer.name}/table", entries)]
    if layer.gated:
        inputs.append(to.constant(f"{layer.name}/inner", inner_values(to.graph, layer, x)))
    to.add(Table, inputs, layer)


def _clamp_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    return None if bounded(graph, node) else "its bounds are computed"


def _tie_clip(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Homogeneous only with bounds at zero or infinity, as a Relu's."""
    bounds = [graph.constant(name) for name in node.input[1:] if name]
    free = all(bound is not None and bool(np.all((bound == 0) | (np.abs(bound) >= FLOAT32_MAX))) for bound in bounds)
    return tie_unary(graph, node) if free else None


def _torch_clip(call: TorchCall) -> Any:
    low, high = (call.numbers(1, "min") or [None])[0], (call.numbers(2, "max") or [None])[0]
    return call[0] if low is None and high is None else call[0].clamp(low, high)


def _torch_leaky_relu(call: TorchCall) -> Any:
    return call.functional.leaky_relu(call[0], call.get("alpha", 0.01))


def _torch_hard_sigmoid(call: TorchCall) -> Any:
    return (call[0] * call.get("alpha", 0.2) + call.get("beta", 0.5)).clamp(0.0, 1.0)


OPERATORS = {
    "Relu": OnnxOperator(_lower, _clamp_limits, tie_unary, torch=lambda call: call[0].relu()),
    "Clip": OnnxOperator(_lower, _clamp_limits, _tie_clip, torch=_torch_clip),
    "LeakyRelu": OnnxOperator(_lower, ties=tie_unary, torch=_torch_leaky_relu),
    "Sigmoid": OnnxOperator(_lower, torch=lambda call: call[0].sigmoid()),
    "Tanh": OnnxOperator(_lower, torch=lambda call: call[0].tanh()),
    "HardSigmoid": OnnxOperator(_lower, torch=_torch_hard_sigmoid),
    "HardSwish": OnnxOperator(_lower, torch=lambda call: call.functional.hardswish(call[0])),
}
