"""Preprocessing that the graph does itself: a Sub, Mul, Div or batch norm right behind the input."""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["FirstArithmetic", "first_arithmetic"]

PASSED = {"Cast", "Identity", "Transpose"}
"""Operators that change no value."""
AFFINE = {"Add", "Sub", "Mul", "Div", "BatchNormalization"}
MOST_CHANNELS = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FirstArithmetic:
    """What the graph does with its input before anything else: y = scale * x + offset.

    Attributes:
        scale: one value a channel, or one for all.
        offset: likewise.
        operators: their types in order.
        seen_mean: of a batch norm the input's mean in training, a value a channel; None of others.
        seen_deviation: of a batch norm the input's deviation.
    """

    scale: Array
    offset: Array
    operators: tuple[str, ...]
    seen_mean: Array | None = None
    seen_deviation: Array | None = None


def first_arithmetic(model: onnx.ModelProto, name: str) -> FirstArithmetic | None:
    """Find what the graph does with an input; None if nothing of the kind.

    Args:
        model: the source.
        name: of the input.
    """
    graph = Graph(model)
    scale, offset = np.ones(1), np.zeros(1)
    operators: list[str] = []
    while True:
        consumers = graph.consumers.get(name, [])
        node = consumers[0] if len(consumers) == 1 else None
        if node is not None and node.op_type in PASSED:
            name = node.output[0]
            continue
        if node is not None and node.op_type == "BatchNormalization":
            return _of_batch_norm(graph, node, scale, offset, operators)
        step = _affine(graph, node, name) if node is not None else None
        if step is None or node is None:
            break
        scale, offset = scale * step[0], offset * step[0] + step[1]
        operators.append(node.op_type)
        name = node.output[0]
    return FirstArithmetic(scale, offset, tuple(operators)) if operators else None


def _affine(graph: Graph, node: onnx.NodeProto, name: str) -> tuple[Array, Array] | None:
    """Scale and offset of an operator with a constant of one value, or one a channel."""
    if node.op_type not in AFFINE:
        return None
    position = list(node.input).index(name)
    constant = graph.constant(node.input[1 - position])
    if constant is None or not 0 < constant.size <= MOST_CHANNELS:
        return None
    values = constant.astype(np.float64).reshape(-1)
    match node.op_type:
        case "Add":
            return np.ones(1), values
        case "Sub":
            return (np.ones(1), -values) if position == 0 else (-np.ones(1), values)
        case "Mul":
            return values, np.zeros(1)
        case _:
            return (1.0 / values, np.zeros(1)) if position == 0 and values.all() else None


def _of_batch_norm(
    graph: Graph, node: onnx.NodeProto, scale: Array, offset: Array, operators: list[str]
) -> FirstArithmetic | None:
    parameters = [graph.constant(name) for name in node.input[1:5]]
    gamma, beta, mean, variance = (None if each is None else each.astype(np.float64) for each in parameters)
    if gamma is None or beta is None or mean is None or variance is None or len(mean) > MOST_CHANNELS:
        return None
    deviation = np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    seen = (mean - offset) / scale, deviation / np.abs(scale)
    factor = gamma / deviation
    total = scale * factor, offset * factor + beta - mean * factor
    return FirstArithmetic(*total, (*operators, node.op_type), *seen)
