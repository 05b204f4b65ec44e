"""Functions element by element, written with sums, products, comparisons and a few functions."""

from collections.abc import Callable

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Rewriter, Rule

__all__ = ["RULES"]

ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805


def _gelu(to: Rewriter, node: onnx.NodeProto) -> None:
    x = node.input[0]
    if attribute(node, "approximate", b"none") == b"tanh":
        cube = to.op("Mul", to.op("Mul", to.op("Mul", x, x), x), np.float32(0.044715))
        curve = to.op("Tanh", to.op("Mul", to.op("Add", x, cube), np.float32(np.sqrt(2 / np.pi))))
    else:
        curve = to.op("Erf", to.op("Mul", x, np.float32(np.sqrt(0.5))))
    to.op("Mul", to.op("Mul", x, HALF), to.op("Add", curve, ONE), y=node.output[0])


def _mish(to: Rewriter, node: onnx.NodeProto) -> None:
    to.op("Mul", node.input[0], to.op("Tanh", to.op("Softplus", node.input[0])), y=node.output[0])


def _swish(to: Rewriter, node: onnx.NodeProto) -> None:
    x, alpha = node.input[0], attribute(node, "alpha", 1.0)
    scaled = x if alpha == 1 else to.op("Mul", x, np.float32(alpha))
    to.op("Mul", x, to.op("Sigmoid", scaled), y=node.output[0])


def _softsign(to: Rewriter, node: onnx.NodeProto) -> None:
    x = node.input[0]
    to.op("Div", x, to.op("Add", to.op("Abs", x), ONE), y=node.output[0])


def _exponential_unit(to: Rewriter, node: onnx.NodeProto, alpha: float, gamma: float, scale: float) -> None:
    """Of a positive x gamma * x, else gamma * alpha * (exp(x / scale) - 1)."""
    x = node.input[0]
    negative = to.op("Min", x, ZERO)
    power = to.op("Exp", negative if scale == 1 else to.op("Div", negative, np.float32(scale)))
    below = to.op("Mul", to.op("Sub", power, ONE), np.float32(alpha * gamma))
    above = to.op("Max", x, ZERO)
    to.op("Add", above if gamma == 1 else to.op("Mul", above, np.float32(gamma)), below, y=node.output[0])


def _elu(to: Rewriter, node: onnx.NodeProto) -> None:
    _exponential_unit(to, node, attribute(node, "alpha", 1.0), 1.0, 1.0)


def _selu(to: Rewriter, node: onnx.NodeProto) -> None:
    _exponential_unit(to, node, attribute(node, "alpha", SELU_ALPHA), attribute(node, "gamma", SELU_GAMMA), 1.0)


def _celu(to: Rewriter, node: onnx.NodeProto) -> None:
    alpha = attribute(node, "alpha", 1.0)
    _exponential_unit(to, node, alpha, 1.0, alpha)


def _thresholded_relu(to: Rewriter, node: onnx.NodeProto) -> None:
    x, alpha = node.input[0], np.float32(attribute(node, "alpha", 1.0))
    to.op("Where", to.op("Greater", x, alpha), x, ZERO, y=node.output[0])


def _shrink(to: Rewriter, node: onnx.NodeProto) -> None:
    x, bias, limit = node.input[0], attribute(node, "bias", 0.0), np.float32(attribute(node, "lambd", 0.5))
    above = to.op("Where", to.op("Greater", x, limit), to.op("Sub", x, np.float32(bias)), ZERO)
    below = to.op("Greater", np.float32(-limit), x)
    to.op("Where", below, to.op("Add", x, np.float32(bias)), above, y=node.output[0])


def _hard_sigmoid(to: Rewriter, node: onnx.NodeProto) -> None:
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    _clipped_line(to, node.input[0], alpha, beta, node.output[0])


def _hard_swish(to: Rewriter, node: onnx.NodeProto) -> None:
    x = node.input[0]
    to.op("Mul", x, _clipped_line(to, x, 1 / 6, 0.5), y=node.output[0])


def _clipped_line(to: Rewriter, x: str, alpha: float, beta: float, output: str = "") -> str:
    line = to.op("Add", to.op("Mul", x, np.float32(alpha)), np.float32(beta))
    return to.op("Clip", line, ZERO, ONE, y=output)


def _clip(to: Rewriter, node: onnx.NodeProto) -> None:
    """Bounds that are computed, or bounds of integers: the larger, then the smaller."""
    computed = any(to.has(node, index) and to.value(node, index) is None for index in (1, 2))
    bounds = [(kind, index) for index, kind in ((1, "Max"), (2, "Min")) if to.has(node, index)]
    x = node.input[0]
    if to.is_float(x) and not computed:
        to.keep(node)
        return
    if not bounds:
        to.op("Identity", x, y=node.output[0])
    for kind, index in bounds:
        x = to.op(kind, x, node.input[index], y=node.output[0] if (kind, index) == bounds[-1] else "")


def _chain(kind: str) -> Rule:
    """The same function of any number of operands, two at a time."""

    def rule(to: Rewriter, node: onnx.NodeProto) -> None:
        names = list(node.input)
        mean = np.float32(len(names)) if node.op_type == "Mean" else None
        if len(names) == 2 and mean is None and node.op_type == kind:
            to.keep(node)
            return
        total = names[0]
        for index, name in enumerate(names[1:], start=2):
            total = to.op(kind, total, name, y=node.output[0] if index == len(names) and mean is None else "")
        if mean is not None:
            to.op("Div", total, mean, y=node.output[0])
        elif len(names) == 1:
            to.op("Identity", total, y=node.output[0])

    return rule


def _swapped(kind: str) -> Rule:
    def rule(to: Rewriter, node: onnx.NodeProto) -> None:
        to.op(kind, node.input[1], node.input[0], y=node.output[0])

    return rule


def _pow(to: Rewriter, node: onnx.NodeProto) -> None:
    """An exponent of the base's kind; small whole ones are products: one rounding each on any machine."""
    x, power, y = node.input[0], node.input[1], node.output[0]
    exponent, kinds = to.value(node, 1), (to.element(x), to.element(power))
    if exponent is not None and exponent.size == 1 and exponent.item() == 2 and exponent.ndim <= 1:
        to.op("Mul", x, x, y=y)
    elif kinds[0] == kinds[1]:
        to.op("Pow", x, power, y=y)
    elif kinds[1] == onnx.TensorProto.FLOAT:  # of an integer: by way of floats
        raised = to.op("Pow", to.op("Cast", x, to=onnx.TensorProto.FLOAT), power)
        to.op("Cast", raised, y=y, to=kinds[0])
    elif exponent is not None:
        to.op("Pow", x, exponent.astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[0])), y=y)
    else:
        to.op("Pow", x, to.op("Cast", power, to=kinds[0]), y=y)


def _hyperbolic(sign: str) -> Rule:
    """(e^x + e^-x) / 2, or their difference."""

    def rule(to: Rewriter, node: onnx.NodeProto) -> None:
        power = to.op("Exp", node.input[0])
        both = to.op(sign, power, to.op("Exp", to.op("Neg", node.input[0])))
        to.op("Mul", both, HALF, y=node.output[0])

    return rule


def _tan(to: Rewriter, node: onnx.NodeProto) -> None:
    to.op("Div", to.op("Sin", node.input[0]), to.op("Cos", node.input[0]), y=node.output[0])


def _root_of(to: Rewriter, x: str, sign: str) -> str:
    """The root of 1 - x^2, of x^2 + 1 or of x^2 - 1."""
    square = to.op("Mul", x, x)
    return to.op("Sqrt", to.op("Sub", ONE, square) if sign == "-" else to.op(sign, square, ONE))


def _asin(to: Rewriter, node: onnx.NodeProto) -> None:
    to.op("Atan", to.op("Div", node.input[0], _root_of(to, node.input[0], "-")), y=node.output[0])


def _acos(to: Rewriter, node: onnx.NodeProto) -> None:
    angle = to.op("Atan", to.op("Div", node.input[0], _root_of(to, node.input[0], "-")))
    to.op("Sub", np.float32(np.pi / 2), angle, y=node.output[0])


def _area(sign: str) -> Rule:
    """log(x + root): asinh is taken of |x|, with the sign afterwards, as x + root would cancel."""

    def rule(to: Rewriter, node: onnx.NodeProto) -> None:
        x = node.input[0]
        positive = to.op("Abs", x) if sign == "Add" else x
        logarithm = to.op("Log", to.op("Add", positive, _root_of(to, x, sign)))
        if sign == "Add":
            to.op("Mul", to.op("Sign", x), logarithm, y=node.output[0])
        else:
            to.op("Identity", logarithm, y=node.output[0])

    return rule


def _atanh(to: Rewriter, node: onnx.NodeProto) -> None:
    x = node.input[0]
    quotient = to.op("Div", to.op("Add", x, ONE), to.op("Sub", ONE, x))
    to.op("Mul", to.op("Log", quotient), HALF, y=node.output[0])


def _dropout(to: Rewriter, node: onnx.NodeProto) -> None:
    training = to.value(node, 2)
    if to.has(node, 2) and (training is None or training.item()):
        to.keep(node)
        return
    to.op("Identity", node.input[0], y=node.output[0])
    shape = to.shape(node.input[0])
    if len(node.output) > 1 and node.output[1] and shape is not None:
        to.op("Identity", np.ones(shape, np.bool_), y=node.output[1])


BY_NAME: dict[str, Callable[[Rewriter, onnx.NodeProto], None]] = {
    "Gelu": _gelu,
    "Mish": _mish,
    "Swish": _swish,
    "Softsign": _softsign,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "ThresholdedRelu": _thresholded_relu,
    "Shrink": _shrink,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Clip": _clip,
    "Pow": _pow,
    "Tan": _tan,
    "Asin": _asin,
    "Acos": _acos,
    "Atanh": _atanh,
    "Dropout": _dropout,
}
RULES: dict[str, Rule] = {
    **BY_NAME,
    "Sum": _chain("Add"),
    "Mean": _chain("Add"),
    "Max": _chain("Max"),
    "Min": _chain("Min"),
    "Less": _swapped("Greater"),
    "LessOrEqual": _swapped("GreaterOrEqual"),
    "Sinh": _hyperbolic("Sub"),
    "Cosh": _hyperbolic("Add"),
    "Asinh": _area("Add"),
    "Acosh": _area("Sub"),
}
