"""Products of codes whose scales are computed when the network runs (dynamic quantization), and their float meaning.

DynamicQuantizeLinear gives codes, a scale and a zero point. MatMulInteger or ConvInteger multiplies the codes, Cast
makes the sums float, and Mul by both scales gives the float product. All of that is one MatMul or Conv.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.export.dequantize.codes import Codes, dequantize
from stages.export.dequantize.qdq import move
from stages.export.dequantize.rewriter import Accumulator, Divided, Rewriter, Rule

__all__ = ["RULES"]

LSTM_INPUTS = 8
"""Inputs that DynamicQuantizeLSTM has in common with LSTM; the weights' scales and zero points follow."""


def dynamic_quantize(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A float tensor becomes codes, with a scale of its own on each run."""
    codes, scale, zero_point = node.output
    rewriter.codes[codes] = Codes(rewriter.real(node.input[0]), symbol=scale)
    rewriter.zero_points[scale] = zero_point
    rewriter.scales[scale] = (scale,), np.ones((), np.float64)


def integer_product(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """MatMulInteger and ConvInteger: sums of products of codes less their zero points."""
    zero_points = (*node.input[2:4], "", "")[:2]
    left = _known(rewriter, node, node.input[0], zero_points[0])
    symbols, factor = _scale_of(left)
    if node.input[1] in rewriter.constants:
        axis = 0 if node.op_type == "ConvInteger" else len(rewriter.constants[node.input[1]].dims) - 1
        zero = rewriter.scale(node, zero_points[1]) if zero_points[1] else None
        right: str | NDArray[Any] = dequantize(rewriter.scale(node, node.input[1]), np.ones(()), zero, axis)
    else:
        known = _known(rewriter, node, node.input[1], zero_points[1])
        more, of_right = _scale_of(known)
        right, symbols, factor = known.real, symbols + more, factor * of_right
    rewriter.accumulators[node.output[0]] = Accumulator(node, left.real, right, symbols, factor)


def _known(rewriter: Rewriter, node: onnx.NodeProto, name: str, zero_point: str) -> Codes:
    """What computed codes stand for; the zero point that is subtracted has to be theirs."""
    known = rewriter.codes.get(name)
    if known is None:
        raise rewriter.refusal(node, f"its input {name!r} is no tensor of codes that is known")
    if known.symbol:
        same = rewriter.zero_points.get(known.symbol) == zero_point
    else:
        zero = rewriter.scale(node, zero_point).astype(np.int64) if zero_point else np.zeros((), np.int64)
        if known.scale is None:  # an input of the network: its codes are worth 1
            known = rewriter.codes[name] = replace(known, scale=np.ones((), np.float32), zero_point=zero)
        same = np.array_equal(np.asarray(known.zero_point).reshape(-1), zero.reshape(-1))
    if not same:
        raise rewriter.refusal(node, f"subtracts another zero point from {name!r} than it was written with")
    return known


def _scale_of(known: Codes) -> tuple[tuple[str, ...], NDArray[Any]]:
    if known.symbol:
        return (known.symbol,), np.ones((), np.float64)
    return (), np.asarray(1.0 if known.scale is None else known.scale, np.float64)


def convert(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """Cast and roundings: sums of products as float are the same sums; a divided bias is not rounded."""
    name, target = node.input[0], node.output[0]
    if name in rewriter.accumulators and node.op_type == "Cast":
        rewriter.accumulators[target] = rewriter.accumulators[name]
    elif name in rewriter.divided:
        rewriter.divided[target] = rewriter.divided[name]
    else:
        rewriter.keep(node)


def divide(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A float tensor divided by scales, such as a bias; any other Div stays."""
    if node.input[1] not in rewriter.scales:
        rewriter.keep(node)
        return
    symbols, factor = rewriter.scales[node.input[1]]
    rewriter.divided[node.output[0]] = Divided(rewriter.real(node.input[0]), symbols, factor)


def add(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """Sums of products plus a bias that was divided by the same scales; any other Add stays."""
    for name, other in (node.input, reversed(list(node.input))):
        if name in rewriter.accumulators and other in rewriter.divided:
            rewriter.accumulators[node.output[0]] = replace(rewriter.accumulators[name], bias=rewriter.divided[other])
            return
    rewriter.keep(node)


def reshape(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A divided bias in another shape; codes and floats are moved as elsewhere."""
    known = rewriter.divided.get(node.input[0])
    if known is None:
        move(rewriter, node)
        return
    (target,) = rewriter.add_all(node, [known.real, *node.input[1:]])
    rewriter.divided[target] = replace(known, real=target)


def multiply(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A product of scales, or sums times all of theirs: the float product; any other Mul stays."""
    target = node.output[0]
    for name, other in (node.input, reversed(list(node.input))):
        if name in rewriter.scales and (scale := _scale(rewriter, other)) is not None:
            symbols, factor = rewriter.scales[name]
            rewriter.scales[target] = symbols + scale[0], factor * scale[1]
            return
        if name in rewriter.accumulators and (scale := _scale(rewriter, other)) is not None:
            sums = rewriter.accumulators[name]
            if sorted(scale[0]) != sorted(sums.symbols):
                raise rewriter.refusal(node, "is scaled by another scale than its operands have")
            rewriter.renamed[target] = rewriter.product(node, sums, scale[1])
            return
    rewriter.keep(node)


def _scale(rewriter: Rewriter, name: str) -> tuple[tuple[str, ...], NDArray[Any]] | None:
    if name in rewriter.scales:
        return rewriter.scales[name]
    value = rewriter.constant(name)
    return None if value is None else ((), value.astype(np.float64))


def matmul_to_float(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """MatMulIntegerToFloat: A, B, both scales, both zero points, bias."""
    left = rewriter.codes.get(node.input[0])
    if left is None or left.symbol != node.input[2]:
        raise rewriter.refusal(node, "its first scale is not that of its first input")
    zero_point, bias = (*node.input[5:7], "", "")[:2]
    weight = _weight(rewriter, node, node.input[1], node.input[3], zero_point)
    _with_bias(rewriter, node, [left.real, weight], bias)


def dynamic_matmul(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """DynamicQuantizeMatMul: A in float, B with its scale and zero point, bias."""
    zero_point, bias = (*node.input[3:5], "", "")[:2]
    weight = _weight(rewriter, node, node.input[1], node.input[2], zero_point)
    _with_bias(rewriter, node, [rewriter.real(node.input[0]), weight], bias)


def _weight(rewriter: Rewriter, node: onnx.NodeProto, name: str, scale: str, zero_point: str) -> str:
    rank = rewriter.scale(node, name).ndim
    return rewriter.operand(node, name, scale, zero_point, axis=rank - 1)


def _with_bias(rewriter: Rewriter, node: onnx.NodeProto, inputs: list[str], bias: str) -> None:
    target = node.output[0]
    product = rewriter.add("MatMul", inputs, f"{target}/product" if bias else target, node)
    if bias:
        rewriter.emit(
            onnx.helper.make_node("Add", [product, rewriter.real(bias)], [target], name=f"{node.name or target}/bias")
        )


def lstm(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """DynamicQuantizeLSTM: an LSTM whose two weights are codes, transposed."""
    inputs = [rewriter.real(name) for name in node.input[:LSTM_INPUTS]]
    parameters = (*node.input[LSTM_INPUTS:], "", "", "", "")[:4]
    for index, (scale, zero_point) in ((1, parameters[:2]), (2, parameters[2:])):
        name = node.input[index]
        codes, scales = rewriter.scale(node, name), rewriter.scale(node, scale)
        zero = rewriter.scale(node, zero_point) if zero_point else None
        # one value a direction, or one a direction and column: [D, 4H] -> [D, 1, 4H]
        shaped = [None if part is None else part.reshape(len(codes), 1, -1) for part in (scales, zero)]
        assert shaped[0] is not None
        values = dequantize(codes, shaped[0], shaped[1]).transpose(0, 2, 1)
        inputs[index] = rewriter.put(f"{name}/real", values)
    while inputs and not inputs[-1]:
        inputs.pop()
    kept = onnx.helper.make_node("LSTM", inputs, list(node.output), name=node.name or None)
    kept.attribute.extend(each for each in node.attribute if attribute(node, each.name) is not None)
    rewriter.emit(kept)


RULES: dict[str, Rule] = {
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": integer_product,
    "ConvInteger": integer_product,
    **dict.fromkeys(("Cast", "Ceil", "Floor", "Round"), convert),
    "Add": add,
    "Div": divide,
    "Reshape": reshape,
    "Mul": multiply,
    "MatMulIntegerToFloat": matmul_to_float,
    "DynamicQuantizeMatMul": dynamic_matmul,
    "DynamicQuantizeLSTM": lstm,
}
