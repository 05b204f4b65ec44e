"""Layers in float, computed in double and rounded once: what the board's reference runtime does, on any machine.

ONNX Runtime's own float32 kernels round as the processor's vectors happen to be long, so that a dump would be another
on another PC. It has no convolution, no recurrent layer, no Erf and no Atan in double: these become sums of matrix
products, a loop over the steps, and tables of polynomials.
"""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx
from numpy.polynomial.hermite import hermval
from numpy.typing import NDArray
from onnx import TensorProto

from stages.core.graph.onnx_graph import attribute, captured_names
from stages.core.integer.float_forms import Rewriter, basic_forms, transposed_as_conv
from stages.core.integer.model import DOMAIN, tensor_quant_params
from stages.infer.recurrence import recurrent_in_double
from stages.quantize.partition.nodes import sliding_window

__all__ = ["precise"]

FIRST_INPUT_OPERATORS = {
    "Cos", "Exp", "Log", "ReduceMean", "ReduceProd", "ReduceSum", "Sigmoid", "Sin", "Softmax", "Softplus", "Tanh",
}  # fmt: skip
"""Their other inputs are no floats."""
ALL_INPUTS_OPERATORS = {"Gemm", "MatMul", "Pow"}
RECURRENT = {"GRU", "LSTM", "RNN"}
POLYNOMIALS_PER_UNIT, LARGEST_ERF, TERMS = 16, 6, 13
"""Erf is 1 in float32 long before 6; a Taylor series around each sixteenth ends below 1e-18."""


def precise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy an integer model so that its sums and functions in float32 are taken in double.

    Args:
        model: the integer model; the copy computes the same tensors, each under its name.
    """
    basic = basic_forms(model)
    qparams, rewriter = tensor_quant_params(basic.graph.node), Rewriter(_with_convolutions(basic))
    for node in rewriter.nodes:
        rewriter.enter(node)
        in_float = node.domain != DOMAIN and node.input and node.input[0] not in qparams
        if node.domain == DOMAIN and node.op_type == "Dequantize":
            _dequantize(rewriter, node)
        elif in_float and not captured_names(node) and rewriter.is_float(node.input[0]):
            _in_double(rewriter, node)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _with_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write transposed convolutions as convolutions."""
    if not any(node.op_type == "ConvTranspose" and node.domain != DOMAIN for node in model.graph.node):
        return model
    rewriter = Rewriter(model)
    for node in rewriter.nodes:
        rewriter.enter(node)
        known = node.domain != DOMAIN and node.op_type == "ConvTranspose" and rewriter.value(node, 1) is not None
        if known and rewriter.shape(node.input[0]) and rewriter.shape(node.output[0]):
            transposed_as_conv(rewriter, node)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _in_double(to: Rewriter, node: onnx.NodeProto) -> None:
    kind = node.op_type
    if kind in FIRST_INPUT_OPERATORS | ALL_INPUTS_OPERATORS:
        count = len(node.input) if kind in ALL_INPUTS_OPERATORS else 1
        inputs = [_double(to, name) if index < count and name else name for index, name in enumerate(node.input)]
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        if kind == "Sigmoid":
            result = _sigmoid(to, inputs[0])
        elif kind == "Softplus":
            result = _softplus(to, inputs[0])
        else:
            result = to.op(kind, *inputs, **attributes)
        _as_float(to, result, node.output[0])
    elif kind in BY_SERIES:
        _as_float(to, BY_SERIES[kind](to, _double(to, node.input[0])), node.output[0])
    elif kind == "Conv" and to.shape(node.input[0]) and to.shape(node.input[1]) and to.shape(node.output[0]):
        _conv(to, node)
    elif kind in RECURRENT:
        recurrent_in_double(to, node)
    else:
        to.keep(node)


def _dequantize(to: Rewriter, node: onnx.NodeProto) -> None:
    """The simulator keeps codes minus their zero point as floats, some of which are -0: an integer is not."""
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    inner.output[0] = f"{node.output[0]}/signed"
    to.add(inner)
    zero = to.op("Equal", inner.output[0], np.float32(0))
    to.op("Where", zero, np.float32(0), inner.output[0], y=node.output[0])


def _double(to: Rewriter, name: str) -> str:
    value = to.constants.get(name)
    return to.op("Cast", name, to=TensorProto.DOUBLE) if value is None else to.constant(value.astype(np.float64))


def _as_float(to: Rewriter, name: str, output: str) -> None:
    to.op("Cast", name, y=output, to=TensorProto.FLOAT)


def _sigmoid(to: Rewriter, x: str) -> str:
    """1 / (1 + exp(-x)): ONNX Runtime's Sigmoid is 0 below -20, in double too."""
    return to.op("Reciprocal", to.op("Add", to.op("Exp", to.op("Neg", x)), np.float64(1)))


def _softplus(to: Rewriter, x: str) -> str:
    power = to.op("Exp", to.op("Neg", to.op("Abs", x)))
    return to.op("Add", to.op("Max", x, np.float64(0)), to.op("Log", to.op("Add", power, np.float64(1))))


def _erf(to: Rewriter, x: str) -> str:
    """The derivatives are Hermite polynomials times exp(-x^2)."""
    centres = np.arange(LARGEST_ERF * POLYNOMIALS_PER_UNIT + 1) / POLYNOMIALS_PER_UNIT
    series = [np.array([math.erf(centre) for centre in centres])]
    for order in range(1, TERMS):
        curve = hermval(centres, [0.0] * (order - 1) + [1.0]) * np.exp(-(centres**2))
        series.append((-1) ** (order - 1) * 2 / math.sqrt(math.pi) / math.factorial(order) * curve)
    size = to.op("Min", to.op("Abs", x), np.float64(LARGEST_ERF))
    return to.op("Mul", _by_series(to, size, series), to.op("Sign", x))


def _atan(to: Rewriter, x: str) -> str:
    """Beyond 1 a right angle less that of 1 / x; the n-th derivative is (n-1)! cos(a)^n sin(n (a + pi/2))."""
    angles = np.arctan(np.arange(POLYNOMIALS_PER_UNIT + 1) / POLYNOMIALS_PER_UNIT)
    series = [angles]
    for order in range(1, TERMS):
        series.append(np.cos(angles) ** order * np.sin(order * (angles + np.pi / 2)) / order)
    size = to.op("Abs", x)
    beyond = to.op("Greater", size, np.float64(1))
    inside = to.op("Where", beyond, to.op("Reciprocal", size), size)
    angle = _by_series(to, to.op("Min", inside, np.float64(1)), series)
    turned = to.op("Sub", np.float64(np.pi / 2), angle)
    return to.op("Mul", to.op("Where", beyond, turned, angle), to.op("Sign", x))


def _by_series(to: Rewriter, x: str, series: Sequence[NDArray[np.float64]]) -> str:
    """A function of x >= 0 by the Taylor series around the nearest sixteenth: `series[n][k]` is the n-th of k / 16."""
    nearest = to.op("Round", to.op("Mul", x, np.float64(POLYNOMIALS_PER_UNIT)))
    rest = to.op("Sub", x, to.op("Div", nearest, np.float64(POLYNOMIALS_PER_UNIT)))
    index = to.op("Cast", nearest, to=TensorProto.INT64)
    total = to.op("Gather", series[-1], index)
    for coefficients in reversed(series[:-1]):
        total = to.op("Add", to.op("Mul", total, rest), to.op("Gather", coefficients, index))
    return total


def _conv(to: Rewriter, node: onnx.NodeProto) -> None:
    """A convolution as a sum over its taps of [channels out, channels in] x [channels in, pixels], group by group."""
    inputs, shape, outputs = (to.shape(name) or [] for name in (*node.input[:2], node.output[0]))
    slides, group = sliding_window(to.graph, node, shape[2:]), attribute(node, "group", 1)
    rank = len(inputs) - 2
    pads = [0, 0, *slides["pads"][:rank], 0, 0, *slides["pads"][rank:]]
    padded = to.op("Pad", _double(to, node.input[0]), np.array(pads, np.int64))
    columns = np.array([inputs[0], group, inputs[1] // group, -1], np.int64)
    axes, steps = np.arange(2, 2 + rank), np.array(slides["strides"], np.int64)
    total = ""
    for tap in product(*map(range, shape[2:])):
        first = np.array(tap, np.int64) * slides["dilations"]
        last = first + (np.array(outputs[2:], np.int64) - 1) * slides["strides"] + 1
        pixels = to.op("Reshape", to.op("Slice", padded, first, last, axes, steps), columns)
        product_of_tap = to.op("MatMul", _tap(to, node, tap, group), pixels)
        total = to.op("Add", total, product_of_tap) if total else product_of_tap
    total = to.reshape(total, outputs)
    if to.has(node, 2):
        total = to.op("Add", total, to.reshape(_double(to, node.input[2]), [-1, *[1] * rank]))
    _as_float(to, total, node.output[0])


def _tap(to: Rewriter, node: onnx.NodeProto, tap: tuple[int, ...], group: int) -> Any:
    """The weights of one tap [1, group, channels out, channels in]."""
    weight, shape = to.value(node, 1), to.shape(node.input[1]) or []
    matrix = [1, group, shape[0] // group, shape[1]]
    if weight is not None:
        taps = weight.astype(np.float64).reshape(*shape[:2], -1)
        return taps[:, :, np.ravel_multi_index(tap, shape[2:])].reshape(matrix)
    first = np.array(tap, np.int64)
    axes = np.arange(2, 2 + len(tap))
    return to.reshape(to.op("Slice", _double(to, node.input[1]), first, first + 1, axes), matrix)


BY_SERIES: dict[str, Callable[[Rewriter, str], str]] = {"Atan": _atan, "Erf": _erf}
"""Functions that ONNX Runtime does not have in double."""
