"""The simulator: an integer model as plain ONNX that ONNX Runtime runs fast, with the very results of the reference."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from stages.core.graph.onnx_graph import attribute, used_names
from stages.core.integer.model import DOMAIN
from stages.core.integer.writer import FLOAT32_EXACT, TABLE_ROWS, Array, Term, Writer

__all__ = ["simulator_model"]

PADDED_VALUE = 2  # which input of Pad holds the value


def simulator_model(model: onnx.ModelProto, tensors: Sequence[str], codes: bool = False) -> onnx.ModelProto:
    """Write an integer model as standard ONNX.

    Args:
        model: the integer model.
        tensors: what to return, in this order: tensors of the integer model, or the inner ones of fused layers (their
            values before rounding and clamping).
        codes: return codes (uint8 or uint16) instead of the real values that they stand for.

    Returns:
        A model with the same inputs, and these outputs under the same names.
    """
    writer = Writer(model)
    for node in model.graph.node:
        if node.domain == DOMAIN:
            _OPERATORS[node.op_type](writer, node)
        elif node.input and node.input[0] in writer.quant_params:
            _move(writer, node)
        else:
            writer.nodes.append(node)
    for tensor in tensors:
        writer.returned(tensor, codes)
    used = used_names(writer.nodes)
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        list(model.graph.input),
        [onnx.ValueInfoProto(name=name) for name in tensors],
        [tensor for name, tensor in writer.constants.items() if name in used],
    )
    opset = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    return helper.make_model(graph, opset_imports=opset, ir_version=model.ir_version)


def _move(to: Writer, node: onnx.NodeProto) -> None:
    """An operator that moves or picks codes does so to codes minus their zero point; a padded value is a code too."""
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    moved.input[0] = to.minus_zp(node.input[0]).name
    if node.op_type == "Pad" and len(node.input) > PADDED_VALUE and node.input[PADDED_VALUE]:
        code = to.array(node.input[PADDED_VALUE]).item() - to.quant_params[node.input[0]].zero_point
        moved.input[PADDED_VALUE] = to.constant(np.float32(code))
    for index, name in enumerate(node.output):
        moved.output[index] = to.minus_zp(name).name
    to.nodes.append(moved)


def _quantize(to: Writer, node: onnx.NodeProto) -> None:
    target = to.minus_zp(node.output[0])
    rounded = to.op("Round", to.op("Div", node.input[0], to.broadcast_scale(node.output[0])))
    to.op("Clip", rounded, np.float32(target.low), np.float32(target.high), to_name=target.name)


def _dequantize(to: Writer, node: onnx.NodeProto) -> None:
    codes = node.input[0]
    to.op("Mul", to.minus_zp(codes).name, to.broadcast_scale(codes), to_name=node.output[0])


def _constant(to: Writer, node: onnx.NodeProto) -> None:
    codes = to.array(node.input[0]).astype(np.float32) - np.float32(to.quant_params[node.output[0]].zero_point)
    to.constant(codes, to.minus_zp(node.output[0]).name)


# --- weighted operators ---


def _conv(to: Writer, node: onnx.NodeProto) -> None:
    window = {name: attribute(node, name) for name in ("strides", "pads", "dilations", "group")}

    def multiply(x: str, weight: Array) -> str:
        return to.op("Conv", x, weight, **window)

    x, weight = to.minus_zp(node.input[0]), to.array(node.input[1])
    _requantize(to, node, to.accumulate(x, weight, 0, multiply), [1, -1, *[1] * (weight.ndim - 2)])


def _conv_transpose(to: Writer, node: onnx.NodeProto) -> None:
    names = ("strides", "pads", "dilations", "group", "output_padding")
    window = {name: attribute(node, name) for name in names}

    def multiply(x: str, weight: Array) -> str:
        return to.op("ConvTranspose", x, weight, **window)

    x, weight = to.minus_zp(node.input[0]), to.array(node.input[1])
    acc = to.accumulate(x, weight, 1, multiply, groups=window["group"])
    _requantize(to, node, acc, [1, -1, *[1] * (weight.ndim - 2)])


def _mat_mul(to: Writer, node: onnx.NodeProto) -> None:
    def multiply(x: str, weight: Array) -> str:
        return to.op("MatMul", x, weight)

    x, weight = to.minus_zp(node.input[0]), to.array(node.input[1])
    _requantize(to, node, to.accumulate(x, weight, -1, multiply), [-1])


def _requantize(to: Writer, node: onnx.NodeProto, acc: Term, shape: Sequence[int]) -> None:
    """Accumulator -> output of a weighted operator, by the SOC's rule."""
    bias, *parameters = (to.array(name).reshape(shape) for name in node.input[2:])
    rule = attribute(node, "rule").decode()
    if rule == "float":
        # a subtraction, since ONNX Runtime folds additions and products into the convolution, which would round
        total = _subtract(to, acc, -bias.astype(np.float64))
        single = to.op("Cast", total.name, to=TensorProto.FLOAT) if total.double else total.name
        to.op("Mul", single, parameters[0].astype(np.float32), to_name=node.output[0])
        return
    qparams = to.quant_params[node.output[0]]
    wide_bias = bias.astype(np.float64)
    if rule == "nna":
        # codes minus their zero point: what is added after the floor goes below it
        factor, divisor = np.ones(1), parameters[0].astype(np.float64) / 4
        offset = wide_bias / 4 + (2 ** (qparams.bits - 1) - qparams.zero_point) * divisor
    else:
        multiplier, shift = parameters
        factor = multiplier.astype(np.float64)
        divisor = 2.0 ** shift.astype(np.float64)
        offset = wide_bias * factor + divisor / 2
    in_range = float(divisor.max()) * 4 * (qparams.qmax + 2)
    if not np.all(factor == 1):
        acc = to.doubled(acc)
        to.check_double(node, acc.largest * int(factor.max()))
        acc = Term(to.op("Mul", acc.name, factor), acc.low, acc.high, double=True)
    elif in_range >= FLOAT32_EXACT:
        acc = to.doubled(acc)
    shifted = _subtract(to, acc, -offset)
    kind = np.float64 if shifted.double else np.float32
    to.round_down(to.op("Div", shifted.name, divisor.astype(kind)), node, shifted.double)


def _subtract(to: Writer, acc: Term, amount: Array) -> Term:
    """Subtract a constant; in double where float32 does not hold it."""
    if np.any(amount.astype(np.float32).astype(np.float64) != amount):
        acc = to.doubled(acc)
    kind = np.float64 if acc.double else np.float32
    return Term(to.op("Sub", acc.name, amount.astype(kind)), acc.low, acc.high, acc.double)


# --- fixed-point operators ---


def _fixed(node: onnx.NodeProto) -> tuple[list[int], int]:
    return list(attribute(node, "multipliers")), int(attribute(node, "shift"))


def _add(to: Writer, node: onnx.NodeProto) -> None:
    multipliers, shift = _fixed(node)
    terms = [(to.minus_zp(name), multiplier) for name, multiplier in zip(node.input, multipliers, strict=True)]
    to.scaled(terms, shift, node)


def _mul(to: Writer, node: onnx.NodeProto) -> None:
    _product(to, node, "Mul", 1)


def _mat_mul_features(to: Writer, node: onnx.NodeProto) -> None:
    _product(to, node, "MatMul", attribute(node, "terms"))


def _product(to: Writer, node: onnx.NodeProto, kind: str, terms: int) -> None:
    """A product of two features; each of its values sums up `terms` products."""
    left, right = (to.minus_zp(name) for name in node.input)
    largest = left.largest * right.largest * terms
    if largest >= FLOAT32_EXACT:
        left, right = to.doubled(left), to.doubled(right)
    acc = Term(to.op(kind, left.name, right.name), -largest, largest, left.double)
    multipliers, shift = _fixed(node)
    to.scaled([(acc, multipliers[0])], shift, node)


def _rescaled(to: Writer, node: onnx.NodeProto) -> list[str]:
    """Every operand's codes in the output's scale."""
    multipliers, shift = _fixed(node)
    names = []
    for name, multiplier in zip(node.input, multipliers, strict=True):
        made = to.quant_params[node.output[0]]
        clamped = (attribute(node, "low"), attribute(node, "high")) != (0, made.qmax)
        unchanged = multiplier == 2**shift and to.quant_params[name] == made and not clamped
        term = to.minus_zp(name)
        target = f"simulator/operand/{len(to.nodes)}"
        names.append(term.name if unchanged else to.scaled([(term, multiplier)], shift, node, target))
    return names


def _concat(to: Writer, node: onnx.NodeProto) -> None:
    axis = attribute(node, "axis")
    to.op("Concat", *_rescaled(to, node), to_name=to.minus_zp(node.output[0]).name, axis=axis)


def _extreme(to: Writer, node: onnx.NodeProto) -> None:
    to.op(node.op_type, *_rescaled(to, node), to_name=to.minus_zp(node.output[0]).name)


def _mean(to: Writer, node: onnx.NodeProto) -> None:
    x, count = to.minus_zp(node.input[0]), attribute(node, "terms")
    if x.largest * count >= FLOAT32_EXACT:
        x = to.doubled(x)
    axes, keepdims = np.array(attribute(node, "axes"), dtype=np.int64), attribute(node, "keepdims")
    total = to.op("ReduceSum", x.name, axes, keepdims=keepdims)
    multipliers, shift = _fixed(node)
    to.scaled([(Term(total, x.low * count, x.high * count, x.double), multipliers[0])], shift, node)


def _average_pool(to: Writer, node: onnx.NodeProto) -> None:
    x, channels = to.minus_zp(node.input[0]), to.shape(node.input[0])[1]
    window = {name: attribute(node, name) for name in ("strides", "pads", "dilations")}

    def multiply(values: str, weight: Array) -> str:
        return to.op("Conv", values, weight, group=channels, **window)

    total = to.accumulate(x, np.ones((channels, 1, *attribute(node, "kernel_shape")), np.int64), 0, multiply)
    to.scaled([(total, to.array(node.input[1]))], attribute(node, "shift"), node)


def _prelu(to: Writer, node: onnx.NodeProto) -> None:
    x = to.minus_zp(node.input[0])
    positive = Term(to.op("Relu", x.name), 0, x.high)
    negative = Term(to.op("Min", x.name, np.float32(0)), x.low, 0)
    multipliers, shift = _fixed(node)
    to.scaled([(positive, multipliers[0]), (negative, to.array(node.input[1]))], shift, node)


def _resize(to: Writer, node: onnx.NodeProto) -> None:
    x, rows, columns = to.minus_zp(node.input[0]), to.array(node.input[1]), to.array(node.input[2]).T
    effective_scale = int(rows.sum(axis=1).max()) * int(columns.sum(axis=0).max())
    if x.largest * effective_scale >= FLOAT32_EXACT:
        x = to.doubled(x)
    kind = np.float64 if x.double else np.float32
    total = to.op("MatMul", to.op("MatMul", rows.astype(kind), x.name), columns.astype(kind))
    to.scaled(
        [(Term(total, x.low * effective_scale, x.high * effective_scale, x.double), 1)], attribute(node, "shift"), node
    )


def _table(to: Writer, node: onnx.NodeProto) -> None:
    qparams = to.quant_params[node.output[0]]
    low, high = attribute(node, "low"), attribute(node, "high")
    table = np.clip(to.array(node.input[1]).astype(np.int64), low, high) - qparams.zero_point
    _look_up(to, node, table, to.minus_zp(node.output[0]).name)
    if len(node.input) > 2:
        to.keep_inner(node, lambda name: _look_up(to, node, to.array(node.input[2]), name))


def _look_up(to: Writer, node: onnx.NodeProto, table: Array, target: str) -> None:
    """Look every code of the node's input up; a negative code minus its zero point counts from the table's end.

    The input is cut into rows, each with a copy of the table, or with its channel's table where it has one a channel.
    """
    shape = to.shape(node.input[0])
    rolled = np.roll(table.astype(np.float32), -to.quant_params[node.input[0]].zero_point, axis=-1)
    copies = shape[0]
    if table.ndim == 1:
        copies = next(n for n in range(TABLE_ROWS, 0, -1) if int(np.prod(shape)) % n == 0)
    tables = np.tile(rolled, (copies, 1))
    index = to.op("Cast", to.minus_zp(node.input[0]).name, to=TensorProto.INT32)
    index = to.op("Reshape", index, np.array([len(tables), -1], dtype=np.int64))
    found = to.op("GatherElements", tables, index, axis=1)
    to.op("Reshape", found, np.array(shape, dtype=np.int64), to_name=target)


_OPERATORS: dict[str, Callable[[Writer, onnx.NodeProto], Any]] = {
    "Quantize": _quantize,
    "Dequantize": _dequantize,
    "Constant": _constant,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _mat_mul,
    "MatMulFeatures": _mat_mul_features,
    "Add": _add,
    "Mul": _mul,
    "Concat": _concat,
    "Max": _extreme,
    "Min": _extreme,
    "Mean": _mean,
    "AveragePool": _average_pool,
    "Table": _table,
    "PRelu": _prelu,
    "Resize": _resize,
}
