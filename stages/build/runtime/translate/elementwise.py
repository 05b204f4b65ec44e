"""Operators that work element by element: sums, products, extremes, slopes, functions of one input."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from stages.build.runtime.contract import (
    Binary,
    BinaryFunction,
    Cast,
    FloatUnary,
    FloatUnaryFunction,
    Kind,
    NumberBinary,
    NumberBinaryFunction,
    Opcode,
    Table,
    Where,
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
NUMBER_BINARY_FUNCTIONS = {
    "Add": NumberBinaryFunction.add,
    "Sub": NumberBinaryFunction.sub,
    "Mul": NumberBinaryFunction.mul,
    "Div": NumberBinaryFunction.div,
    "Max": NumberBinaryFunction.max,
    "Min": NumberBinaryFunction.min,
    "PRelu": NumberBinaryFunction.prelu,
    "Pow": NumberBinaryFunction.pow,
    "Mod": NumberBinaryFunction.mod,
    "Equal": NumberBinaryFunction.equal,
    "Greater": NumberBinaryFunction.greater,
    "GreaterOrEqual": NumberBinaryFunction.greater_or_equal,
    "And": NumberBinaryFunction.logical_and,
    "Or": NumberBinaryFunction.logical_or,
    "Xor": NumberBinaryFunction.logical_xor,
}
OF_BOOLEANS = {"And", "Equal", "Or", "Xor"}
FLOAT_UNARY_FUNCTIONS = {
    "Relu": FloatUnaryFunction.clip,
    "Clip": FloatUnaryFunction.clip,
    "LeakyRelu": FloatUnaryFunction.leaky_relu,
    "Sigmoid": FloatUnaryFunction.sigmoid,
    "Tanh": FloatUnaryFunction.tanh,
    "Exp": FloatUnaryFunction.exp,
    "Log": FloatUnaryFunction.log,
    "Sqrt": FloatUnaryFunction.sqrt,
    "Neg": FloatUnaryFunction.neg,
    "Abs": FloatUnaryFunction.abs,
    "Reciprocal": FloatUnaryFunction.reciprocal,
    "Floor": FloatUnaryFunction.floor,
    "Ceil": FloatUnaryFunction.ceil,
    "Round": FloatUnaryFunction.round,
    "Sign": FloatUnaryFunction.sign,
    "Sin": FloatUnaryFunction.sin,
    "Cos": FloatUnaryFunction.cos,
    "Atan": FloatUnaryFunction.atan,
    "Erf": FloatUnaryFunction.erf,
    "Softplus": FloatUnaryFunction.softplus,
    "IsNaN": FloatUnaryFunction.is_nan,
    "IsInf": FloatUnaryFunction.is_inf,
    "Not": FloatUnaryFunction.negation,
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
    to.need_kind(node.input[0], *((Kind.boolean,) if node.op_type == "Not" else (Kind.f32, Kind.f64)))
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
            bounds[index] = float(to.constants[name].item()) if name else bounds[index]
        return bounds[0], bounds[1]
    if node.op_type == "LeakyRelu":
        return attribute(node, "alpha", 0.01), 0.0
    if node.op_type == "IsInf":
        return attribute(node, "detect_negative", 1), attribute(node, "detect_positive", 1)
    return 0.0, 0.0


def _number_binary(to: Translation, node: onnx.NodeProto) -> None:
    kinds = (
        Kind.f32,
        Kind.f64,
        Kind.i32,
        Kind.i64,
        Kind.i8,
        Kind.byte,
        *((Kind.boolean,) if node.op_type in OF_BOOLEANS else ()),
    )
    for name in node.input:
        to.need_kind(name, *(kinds if node.op_type not in OF_BOOLEANS - {"Equal"} else (Kind.boolean,)))
    axes = to.broadcast(node.output[0], node.input)
    inputs = [to.operand(name) for name in node.input]
    function = NUMBER_BINARY_FUNCTIONS[node.op_type]
    if attribute(node, "fmod", 0):
        function = NumberBinaryFunction.fmod
    to.emit(Opcode.number_binary, inputs, to.result(node.output[0]), NumberBinary(function, axes))


def _where(to: Translation, node: onnx.NodeProto) -> None:
    shape = to.shape(node.output[0])
    inputs = [to.spread(name, shape) for name in node.input]
    attributes = Where(int(np.prod(shape, dtype=np.int64)))
    to.emit(Opcode.where, inputs, to.result(node.output[0]), attributes)


def _cast(to: Translation, node: onnx.NodeProto) -> None:
    attributes = Cast(int(np.prod(to.shape(node.input[0]), dtype=np.int64)))
    to.emit(Opcode.cast, [to.operand(node.input[0])], to.result(node.output[0]), attributes)


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
    **dict.fromkeys(NUMBER_BINARY_FUNCTIONS, _number_binary),
    "Where": _where,
    "Cast": _cast,
}
