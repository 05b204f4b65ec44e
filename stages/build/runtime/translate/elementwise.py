"""Operators that work element by element: sums, products, extremes, slopes, functions of one input."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from stages.build.runtime.contract import (
    Binary,
    BinaryFunction,
    FloatBinary,
    FloatBinaryFunction,
    FloatUnary,
    FloatUnaryFunction,
    Kind,
    Opcode,
    Table,
)
from stages.build.runtime.movement import physical
from stages.build.runtime.translate.attributes import clamp_of, scaled_of
from stages.build.runtime.translate.layout import channel_run
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.dumps import nhwc
from stages.core.integer.operators import Operator, prelu, table
from stages.core.integer.operators.fixed_point import Add, Max, Min, Mul, Multiplied

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]

BINARY_FUNCTIONS = {Add: BinaryFunction.add, Mul: BinaryFunction.mul, Max: BinaryFunction.max, Min: BinaryFunction.min}
FLOAT_BINARY_FUNCTIONS = {
    "Add": FloatBinaryFunction.add,
    "Sub": FloatBinaryFunction.sub,
    "Mul": FloatBinaryFunction.mul,
    "Div": FloatBinaryFunction.div,
    "Max": FloatBinaryFunction.max,
    "Min": FloatBinaryFunction.min,
    "PRelu": FloatBinaryFunction.prelu,
}
FLOAT_UNARY_FUNCTIONS = {
    "Relu": FloatUnaryFunction.clip,
    "Clip": FloatUnaryFunction.clip,
    "LeakyRelu": FloatUnaryFunction.leaky_relu,
    "Sigmoid": FloatUnaryFunction.sigmoid,
    "Tanh": FloatUnaryFunction.tanh,
    "HardSigmoid": FloatUnaryFunction.hard_sigmoid,
    "HardSwish": FloatUnaryFunction.hard_swish,
    "Exp": FloatUnaryFunction.exp,
    "Sqrt": FloatUnaryFunction.sqrt,
    "Neg": FloatUnaryFunction.neg,
    "Abs": FloatUnaryFunction.abs,
}
FLOAT32_MAX = float(np.finfo(np.float32).max)


# --- on codes ---


def _sum(to: Translation, node: onnx.NodeProto, operator: Multiplied) -> None:
    left, right = (operator.multipliers * 2)[:2]
    _binary(to, node, operator, node.input, (left, right))


def _extreme(to: Translation, node: onnx.NodeProto, operator: Multiplied) -> None:
    """The largest or smallest of any number of operands, two at a time; the intermediate result needs no scaling."""
    multipliers, unit = list(operator.multipliers), 1 << operator.shift
    names = list(node.input)
    if len(names) == 1:
        names, multipliers = names * 2, multipliers * 2
    _binary(to, node, operator, names[:2], multipliers[:2], final=len(names) == 2)
    for index in range(2, len(names)):
        if unit >= 2**31:
            raise to.unsupported(" with so small an effective scale")
        final = index == len(names) - 1
        _binary(to, node, operator, ["", names[index]], [unit, multipliers[index]], final)


def _binary(
    to: Translation,
    node: onnx.NodeProto,
    operator: Multiplied,
    operands: Sequence[str],
    multipliers: Sequence[int],
    final: bool = True,
) -> None:
    """Add a function of two features.

    Args:
        to: the program.
        node: the node.
        operator: its record.
        operands: "" stands for the output of the operation before, in the shape of the node's output.
        multipliers: one an operand.
        final: whether it computes the node's output, not an intermediate result.
    """
    y, (left, right) = node.output[0], operands
    axes = to.broadcast(y, [left or y, right])
    inputs = [to.operand(left) if left else to.last_output(), to.operand(right)]
    output = to.result(y) if final else to.temporary(y, physical(to.shape(y)))
    attributes = Binary(BINARY_FUNCTIONS[type(operator)], multipliers[0], multipliers[1], scaled_of(operator), axes)
    to.emit(Opcode.binary, inputs, output, attributes)


def _prelu(to: Translation, node: onnx.NodeProto, operator: prelu.PRelu) -> None:
    slopes = to.stored(Kind.i32, nhwc(to.constants[node.input[1]]))
    axes = to.broadcast(node.output[0], node.input)
    attributes = Binary(BinaryFunction.prelu, operator.multipliers[0], 0, scaled_of(operator), axes)
    to.emit(Opcode.binary, [to.operand(node.input[0]), slopes], to.result(node.output[0]), attributes)


def _table(to: Translation, node: onnx.NodeProto, operator: table.Table) -> None:
    x, y, entries = node.input[0], node.output[0], to.constants[node.input[1]]
    channels, inner = (1, 1) if entries.ndim == 1 else (len(entries), channel_run(to.shape(x)))
    stored = to.stored(Kind.u8 if operator.bits <= 8 else Kind.u16, entries, operator.bits)
    to.emit(Opcode.table, [to.operand(x), stored], to.result(y), Table(channels, inner, clamp_of(operator)))


# --- in float ---


def _float_unary(to: Translation, node: onnx.NodeProto) -> None:
    parameters = to.stored(Kind.f32, np.array(_parameters(to, node), np.float32))
    number = to.operand(node.input[0])
    attributes = FloatUnary(FLOAT_UNARY_FUNCTIONS[node.op_type])
    to.emit(Opcode.float_unary, [number, parameters], to.result(node.output[0]), attributes)


def _parameters(to: Translation, node: onnx.NodeProto) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, FLOAT32_MAX
    if node.op_type == "Clip":
        bounds = [-FLOAT32_MAX, FLOAT32_MAX]
        for index, name in enumerate(node.input[1:3]):
            if name and name not in to.constants:
                raise to.unsupported(" with computed bounds")
            bounds[index] = float(to.constants[name].item()) if name else bounds[index]
        return bounds[0], bounds[1]
    if node.op_type == "LeakyRelu":
        return attribute(node, "alpha", 0.01), 0.0
    if node.op_type == "HardSigmoid":
        return attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    return 1 / 6, 0.5  # HardSwish


def _float_binary(to: Translation, node: onnx.NodeProto) -> None:
    if len(node.input) != 2:
        raise to.unsupported(f" with {len(node.input)} operands")
    axes = to.broadcast(node.output[0], node.input)
    inputs = [to.operand(name) for name in node.input]
    attributes = FloatBinary(FLOAT_BINARY_FUNCTIONS[node.op_type], axes)
    to.emit(Opcode.float_binary, inputs, to.result(node.output[0]), attributes)


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {
    Add: _sum,
    Mul: _sum,
    Max: _extreme,
    Min: _extreme,
    prelu.PRelu: _prelu,
    table.Table: _table,
}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {
    **dict.fromkeys(FLOAT_UNARY_FUNCTIONS, _float_unary),
    **dict.fromkeys(FLOAT_BINARY_FUNCTIONS, _float_binary),
}
