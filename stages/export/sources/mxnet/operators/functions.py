"""Functions of each element, softmax, and what a network has at its end for training."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Converter, Operator

__all__ = ["CONVERTERS", "OUTPUTS"]

FUNCTIONS = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "sin": "Sin",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "softrelu": "Softplus", "softsign": "Softsign", "tanh": "Tanh"}
SAME = (
    "BlockGrad",
    "Cast",
    "Dropout",
    "LinearRegressionOutput",
    "MAERegressionOutput",
    "MakeLoss",
    "_copy",
    "amp_cast",
    "identity",
    "make_loss",
    "stop_gradient",
)
"""What gives what it takes."""
OUTPUTS = (
    "LinearRegressionOutput",
    "LogisticRegressionOutput",
    "MAERegressionOutput",
    "Softmax",
    "SoftmaxOutput",
)
"""Operators whose second input is a label."""


def _function(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, operator: Operator) -> None:
        graph.add(op_type, operator.inputs[:1], operator.name, [operator.name])

    return convert


def _activation(graph: GraphBuilder, operator: Operator) -> None:
    kind = operator.attributes.text("act_type", "relu")
    if kind not in ACTIVATIONS:
        raise UserError(f"{operator.where}: act_type {kind} has no ONNX form here; it can be {', '.join(ACTIVATIONS)}")
    graph.add(ACTIVATIONS[kind], operator.inputs, operator.name, [operator.name])


def _leaky_relu(graph: GraphBuilder, operator: Operator) -> None:
    """Six activations that are one operator in MXNet."""
    attributes, name = operator.attributes, operator.name
    kind = attributes.text("act_type", "leaky")
    slope = attributes.number("slope", 0.25)
    if kind == "rrelu":  # its slope is drawn when it is trained, and the middle when it is used
        slope = (attributes.number("lower_bound", 0.125) + attributes.number("upper_bound", 0.334)) / 2
    if kind in ("leaky", "rrelu"):
        graph.add("LeakyRelu", operator.inputs[:1], name, [name], alpha=slope)
    elif kind == "prelu":
        _prelu(graph, operator)
    elif kind == "elu":
        graph.add("Elu", operator.inputs, name, [name], alpha=slope)
    elif kind == "selu":
        graph.add("Selu", operator.inputs, name, [name])
    elif kind == "gelu":
        _gelu(graph, operator)
    else:
        raise UserError(f"{operator.where}: act_type {kind} has no ONNX form here")


def _prelu(graph: GraphBuilder, operator: Operator) -> None:
    value, slope = operator.inputs
    rank, count = len(graph.shapes[value]), int(np.prod(graph.shapes[slope]))
    shape = graph.constant(f"{operator.name}/shape", [count, *[1] * (rank - 2)])
    known = graph.value(slope)
    if known is not None:
        slope = graph.constant(f"{operator.name}/slope", known.reshape(count, *[1] * (rank - 2)))
    elif rank != 2:
        slope = graph.add("Reshape", [slope, shape], f"{operator.name}/Reshape")
    graph.add("PRelu", [value, slope], operator.name, [operator.name])


def _gelu(graph: GraphBuilder, operator: Operator) -> None:
    """Half x times (1 + erf(x / sqrt(2)))."""
    name, value = operator.name, operator.inputs[0]
    root = graph.constant(f"{name}/root", np.float32(np.sqrt(0.5)))
    one, half = graph.constant(f"{name}/one", np.float32(1)), graph.constant(f"{name}/half", np.float32(0.5))
    error = graph.add("Erf", [graph.add("Mul", [value, root], f"{name}/scaled")], f"{name}/Erf")
    gate = graph.add("Mul", [graph.add("Add", [error, one], f"{name}/Add"), half], f"{name}/gate")
    graph.add("Mul", [value, gate], name, [name])


def _clip(graph: GraphBuilder, operator: Operator) -> None:
    limits = [
        graph.constant(f"{operator.name}/{key}", np.float32(operator.attributes.number(key, default)))
        for key, default in (("a_min", -np.inf), ("a_max", np.inf))
    ]
    graph.add("Clip", [operator.inputs[0], *limits], operator.name, [operator.name])


def _hard_sigmoid(graph: GraphBuilder, operator: Operator) -> None:
    alpha, beta = operator.attributes.number("alpha", 0.2), operator.attributes.number("beta", 0.5)
    graph.add("HardSigmoid", operator.inputs, operator.name, [operator.name], alpha=alpha, beta=beta)


def _square(graph: GraphBuilder, operator: Operator) -> None:
    graph.add("Mul", [operator.inputs[0], operator.inputs[0]], operator.name, [operator.name])


def _rsqrt(graph: GraphBuilder, operator: Operator) -> None:
    root = graph.add("Sqrt", operator.inputs, f"{operator.name}/Sqrt")
    graph.add("Reciprocal", [root], operator.name, [operator.name])


def _softmax(graph: GraphBuilder, operator: Operator) -> None:
    """Over an axis, of the values divided by a temperature."""
    attributes, value = operator.attributes, operator.inputs[0]
    temperature = attributes.number("temperature", 1.0)
    if temperature != 1.0:
        divisor = graph.constant(f"{operator.name}/temperature", np.float32(temperature))
        value = graph.add("Div", [value, divisor], f"{operator.name}/Div")
    op_type = "LogSoftmax" if operator.kind == "log_softmax" else "Softmax"
    graph.add(op_type, [value], operator.name, [operator.name], axis=attributes.integer("axis", -1))


def _softmax_of_channels(graph: GraphBuilder, operator: Operator) -> None:
    """Over axis 1, or over all but the batch: the forms that networks end in, and SoftmaxActivation."""
    attributes, value = operator.attributes, operator.inputs[0]
    shape = graph.shapes[value]
    channels = attributes.flag("multi_output", False) or attributes.text("mode", "instance") == "channel"
    if channels or len(shape) == 2:
        graph.add("Softmax", [value], operator.name, [operator.name], axis=1)
    elif attributes.flag("preserve_shape", False):
        graph.add("Softmax", [value], operator.name, [operator.name], axis=-1)
    else:
        flat = graph.add("Flatten", [value], f"{operator.name}/Flatten", axis=1)
        soft = graph.add("Softmax", [flat], f"{operator.name}/Softmax", axis=1)
        sizes = graph.constant(f"{operator.name}/shape", [0, *shape[1:]])
        graph.add("Reshape", [soft, sizes], operator.name, [operator.name])


CONVERTERS: dict[str, Converter] = {
    **{kind: _function(op_type) for kind, op_type in FUNCTIONS.items()},
    **dict.fromkeys(SAME, _function("Identity")),
    "Activation": _activation,
    "LeakyReLU": _leaky_relu,
    "LogisticRegressionOutput": _function("Sigmoid"),
    "Softmax": _softmax_of_channels,
    "SoftmaxActivation": _softmax_of_channels,
    "SoftmaxOutput": _softmax_of_channels,
    "clip": _clip,
    "hard_sigmoid": _hard_sigmoid,
    "log_softmax": _softmax,
    "rsqrt": _rsqrt,
    "softmax": _softmax,
    "square": _square,
}
