"""What would bring an operator from float to integers, where a form of it that computes the same is known."""

import math
from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators.moves import VIEWS
from stages.quantize.partition.layers import Layer

__all__ = ["remedy"]

LEFT_TO_THE_PROGRAM = {
    "Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "NonMaxSuppression", "Where", "Cast", "Exp", "Equal",
    "Greater", "Less", "GatherND", "GatherElements", "ScatterND", "NonZero", "Range", "Not", "And", "Or",
}  # fmt: skip
"""Operators that a program on the board does as well, where only outputs follow them."""
RECURRENT = {"LSTM", "GRU", "RNN", "Scan", "Loop", "If"}
SMOOTH = {"Gelu": "HardSwish or SiLU", "Mish": "HardSwish or SiLU", "Elu": "LeakyRelu", "Selu": "LeakyRelu",
          "Softplus": "Relu", "Softsign": "Tanh", "Erf": "Sigmoid or Tanh"}  # fmt: skip
"""Activation -> one of like form that runs in integers."""
NORMALIZATIONS = {"LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
                  "RMSNormalization", "LRN"}  # fmt: skip

TRAINED_NORMALIZATION = "train with BatchNormalization in its place, which is folded into the layer before"


def remedy(graph: Graph, layer: Layer, reason: str) -> str:
    """Say what would bring a layer in float to integers, or take it out of the network.

    Args:
        graph: the float network.
        layer: that runs in float.
        reason: why.

    Returns:
        A phrase; empty where no remedy is known.
    """
    node = layer.first
    if reason.startswith("quant."):
        return f"the settings keep it in float: leave out {reason.partition('=')[0]}"
    if "only moves values" in reason or "no codes" in reason:
        return "as the layers in float beside it"
    if "not known before it runs" in reason:
        return "export the network with static sizes"
    rule = RULES.get(node.op_type)
    return (rule(graph, node) if rule else "") or _other_network(graph, node)


def _other_network(graph: Graph, node: onnx.NodeProto) -> str:
    """What to do about an operator of which no form runs in integers; empty where nothing is known."""
    if node.op_type in LEFT_TO_THE_PROGRAM and _ends_the_network(graph, node):
        return f"leave it to the program on the board: model.outputs=[{node.input[0]}]"
    if node.op_type in RECURRENT:
        return "none that computes the same: run this part on the processor, or train a network of convolutions"
    if node.op_type in SMOOTH:
        return f"train with {SMOOTH[node.op_type]} in its place"
    if node.op_type in NORMALIZATIONS:
        return TRAINED_NORMALIZATION
    return ""


# --- forms that compute the same ---


def _gather(graph: Graph, node: onnx.NodeProto) -> str:
    indices = graph.constant(node.input[1])
    if indices is None:
        return ""
    axis = attribute(node, "axis", 0)
    if (steps := regular_steps(indices)) is None:
        return f"a Concat of Slices along axis {axis}: its indices are constant, but not evenly spaced"
    start, step = steps
    squeezed = " and a Squeeze" if indices.ndim == 0 else ""
    return f"a Slice along axis {axis} from {start} in steps of {step}{squeezed}: its indices are constant"


def regular_steps(indices: NDArray[np.int64]) -> tuple[int, int] | None:
    """First and step of indices that a Slice can take; None where they are not evenly spaced."""
    flat = indices.reshape(-1).tolist()
    if indices.ndim > 1 or not flat:
        return None
    steps = set(np.diff(flat).tolist()) or {1}
    return (flat[0], steps.pop()) if len(steps) == 1 and 0 not in steps else None


def _div(graph: Graph, node: onnx.NodeProto) -> str:
    if node.input[1] in graph.constants:
        return "a Mul by the reciprocal: its divisor is constant"
    divisor = graph.producers.get(node.input[1])
    return _sqrt(graph, divisor) if divisor is not None and divisor.op_type == "Sqrt" else ""


def _sqrt(graph: Graph, node: onnx.NodeProto) -> str:
    """Of a Sqrt of a mean plus a small constant: a deviation, by which a normalization divides."""
    total = graph.producers.get(node.input[0])
    if total is None or total.op_type != "Add" or not any(name in graph.constants for name in total.input):
        return ""
    terms = [graph.producers[name] for name in total.input if name in graph.producers]
    if any(term.op_type == "ReduceMean" for term in terms):
        return f"a LayerNormalization spelled out: {TRAINED_NORMALIZATION}"
    return ""


def _pow(graph: Graph, node: onnx.NodeProto) -> str:
    exponent = graph.constant(node.input[1])
    if exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2.0:
        return "a Mul of its input with itself: its exponent is 2"
    return ""


def _reduce_sum(graph: Graph, node: onnx.NodeProto) -> str:
    before, after = graph.shapes.get(node.input[0]), graph.shapes.get(node.output[0])
    if not before or after is None:
        return ""
    count = math.prod(before) // max(math.prod(after), 1)
    return f"a ReduceMean and a Mul by {count}"


def _reduce_max(graph: Graph, node: onnx.NodeProto) -> str:
    before, after = graph.shapes.get(node.input[0], []), graph.shapes.get(node.output[0], [])
    pooled = len(before) > 2 and before[:2] == after[:2] and math.prod(after[2:]) == 1
    return "a GlobalMaxPool: it takes the largest value of each channel" if pooled else ""


def _resize(_: Graph, node: onnx.NodeProto) -> str:
    mode = attribute(node, "mode", b"nearest").decode()
    return "mode nearest or linear, with the output's size a multiple of the input's" if mode == "cubic" else ""


def _neg(_: Graph, __: onnx.NodeProto) -> str:
    return "a Mul by -1"


def _abs(_: Graph, __: onnx.NodeProto) -> str:
    return "the Max of its input and of its input times -1"


def _pool(_: Graph, node: onnx.NodeProto) -> str:
    return "ceil_mode=0 with pads that give the same size" if attribute(node, "ceil_mode", 0) else ""


def _conv(_: Graph, node: onnx.NodeProto) -> str:
    automatic = attribute(node, "auto_pad", b"NOTSET")
    return "explicit pads in place of auto_pad" if automatic not in (b"NOTSET", b"VALID") else ""


RULES: dict[str, Callable[[Graph, onnx.NodeProto], str]] = {
    "Gather": _gather, "Div": _div, "Pow": _pow, "Sqrt": _sqrt, "ReduceSum": _reduce_sum, "ReduceMax": _reduce_max,
    "Resize": _resize, "Neg": _neg, "Abs": _abs, "AveragePool": _pool, "MaxPool": _pool, "ConvTranspose": _conv,
}  # fmt: skip
"""ONNX type -> a form that computes the same, if the node has one."""


def _ends_the_network(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether only outputs follow a node, behind views at most."""
    pending, ends = list(filter(None, node.output)), False
    while pending:
        name = pending.pop()
        ends |= name in graph.outputs
        for consumer in graph.consumers.get(name, []):
            if consumer.op_type not in VIEWS | LEFT_TO_THE_PROGRAM:
                return False
            pending += list(filter(None, consumer.output))
    return ends
