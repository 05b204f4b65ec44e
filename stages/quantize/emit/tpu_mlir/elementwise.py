"""Operators of several features on BM1684X, BM1688 and CV186X: each operand is rescaled by a table of its own."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.fixed_point import Add, Concat, Max, Min, Mul, Multiplied
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.thresholds import converter_scale
from stages.quantize.emit.tpu_mlir.multipliers import scale_and_shift, shift_right
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.partition.layers import Layer

__all__ = ["LOWERINGS", "SUM_BITS", "code_values", "rescaled_operand", "whole_sum"]

SUM_BITS = 16
"""Of a rescaled operand of a sum: it may lie beyond the output's codes, as long as the sum does not."""
Integers = NDArray[np.int64]


def code_values(qparams: QuantParams) -> Integers:
    """Every code minus the zero point: [2**bits]."""
    return np.arange(qparams.qmax + 1, dtype=np.int64) - qparams.zero_point


def rescaled_operand(to: IntegerModelBuilder, layer: Layer, index: int, values: Integers, bits: int) -> str:
    """Add the table that brings an operand to the output's scale; gives the name of the result.

    Args:
        to: the integer model.
        layer: the layer.
        index: of the operand among the inputs of the layer's node.
        values: of every code of the operand, in the output's scale: [2**bits of the operand].
        bits: of the result; its zero point lies in the middle if it has more than the output.
    """
    output, operand = to.qparams(layer.output), layer.first.input[index]
    zero_point = output.zero_point if bits == output.bits else 2 ** (bits - 1)
    result = QuantParams(bits, output.scale, zero_point)
    entries = np.clip(values + zero_point, 0, result.qmax)
    same = to.qparams(operand).bits == bits and to.qparams(operand).zero_point == zero_point
    if same and np.array_equal(entries, np.arange(result.qmax + 1)):
        return to.coded(operand)
    return to.add_table(f"{layer.name}/operand{index}", operand, entries, result)


def whole_sum(to: IntegerModelBuilder, layer: Layer, operands: Sequence[str]) -> None:
    """Add the sum of operands that have the output's scale."""
    to.add(Add, operands, layer, multipliers=(2, 2), shift=1)


def effective_scale(to: IntegerModelBuilder, layer: Layer, index: int) -> float:
    """An operand's scale in the output's."""
    return converter_scale(to.qparams(layer.first.input[index])) / converter_scale(to.qparams(layer.output))


def _lower_sum(signs: tuple[int, int]) -> Callable[[IntegerModelBuilder, Layer], None]:
    def lower(to: IntegerModelBuilder, layer: Layer) -> None:
        operands = []
        for index, sign in enumerate(signs):
            name = layer.first.input[index]
            multiplier, shift = scale_and_shift(np.array(effective_scale(to, layer, index)), 8, least=0)
            values = sign * shift_right(code_values(to.qparams(name)) * multiplier, shift)
            operands.append(rescaled_operand(to, layer, index, values, SUM_BITS))
        whole_sum(to, layer, operands)

    return lower


def _lower_joined(record: type[Multiplied]) -> Callable[[IntegerModelBuilder, Layer], None]:
    """Concat, Max and Min: each operand in the output's scale, saturated."""

    def lower(to: IntegerModelBuilder, layer: Layer) -> None:
        output, operands = to.qparams(layer.output), []
        for index, name in enumerate(layer.first.input):
            multiplier, shift = scale_and_shift(np.array(effective_scale(to, layer, index)), 8)
            values = shift_right(code_values(to.qparams(name)) * multiplier, shift)
            operands.append(rescaled_operand(to, layer, index, values, output.bits))
        axis = {"axis": attribute(layer.first, "axis")} if record is Concat else {}
        to.add(record, operands, layer, multipliers=(2,) * len(operands), shift=1, **axis)

    return lower


def _lower_mul(to: IntegerModelBuilder, layer: Layer) -> None:
    left, right = (converter_scale(to.qparams(name)) for name in layer.first.input)
    multiplier, shift = scale_and_shift(np.array(left * right / converter_scale(to.qparams(layer.output))), 8, 1)
    operands = [to.coded(name) for name in layer.first.input]
    to.add(Mul, operands, layer, multipliers=(int(multiplier),), shift=int(shift))


LOWERINGS = {
    "Add": _lower_sum((1, 1)),
    "Sub": _lower_sum((1, -1)),
    "Mul": _lower_mul,
    "Concat": _lower_joined(Concat),
    "Max": _lower_joined(Max),
    "Min": _lower_joined(Min),
}
