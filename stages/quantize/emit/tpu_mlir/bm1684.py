"""Lowering for BM1684: a weighted layer has one shift, no multiplier, and biases of 16 bits."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.integer.operators.weighted import Rule, Weighted
from stages.core.integer.thresholds import converter_scale
from stages.quantize.emit.tpu_mlir import elementwise, tables
from stages.quantize.emit.tpu_mlir.elementwise import (
    SUM_BITS,
    code_values,
    effective_scale,
    rescaled_operand,
    whole_sum,
)
from stages.quantize.emit.tpu_mlir.multipliers import round_away, shift_right
from stages.quantize.emit.tpu_mlir.pools import lower_average
from stages.quantize.emit.tpu_mlir.weighted import Lowering, add_weighted, weighted_lowerings, whole_shifts
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bias_of

__all__ = ["LOWERINGS"]

MOST_CODE = 127
MOST_SHIFT = 31
BIAS_LIMITS = (-(2**15), 2**15 - 1)
MOST_OVERFLOW = np.float32(0.03)
"""Share of a layer's biases that may be beyond 16 bits before a smaller shift is taken."""
MOST_POOL_MULTIPLIER = 255


def _weight_shift(largest: float, effective: float) -> int:
    """The shift at which the largest weight's code is below 127 and its double is not; below 0 it is 0."""
    if largest <= 0.0:
        return 0
    shift, value = 0, largest * effective
    while value < MOST_CODE:
        value, shift = value * 2.0, shift + 1
    return max(MOST_SHIFT if shift > MOST_SHIFT + 1 else shift - 1, 0)


def _codes(values: NDArray[np.float32], scale: float, limits: tuple[int, int]) -> tuple[NDArray[np.int32], np.float32]:
    """Products in float32, halves away from zero, saturated; and the share that was."""
    codes = round_away(values * np.float32(scale))
    kept = np.clip(codes, *limits)
    beyond = np.count_nonzero(kept != codes)
    return kept.astype(np.int32), np.float32(beyond) / np.float32(max(codes.size, 1))


def _lower_weighted(
    to: IntegerModelBuilder,
    layer: Layer,
    record: type[Weighted],
    weight: NDArray[np.float32],
    _axis: int | None,
    **rest: Any,
) -> None:
    into, out = (converter_scale(to.qparams(name)) for name in (layer.first.input[0], layer.output))
    shift = _weight_shift(float(np.abs(weight).max()), into / out)
    bias, biases = bias_of(to.graph, layer.first), np.zeros(1, dtype=np.int32)
    if bias is not None:
        biases, beyond = _codes(bias, 2.0**shift / out, BIAS_LIMITS)
        while beyond > MOST_OVERFLOW and shift > 0:
            shift -= 1
            biases, beyond = _codes(bias, 2.0**shift / out, BIAS_LIMITS)
    codes, _ = _codes(weight, 2.0**shift * into / out, (-MOST_CODE - 1, MOST_CODE))
    multiplier, shifts = whole_shifts(np.array([1], dtype=np.int64), np.array([shift], dtype=np.int64))
    add_weighted(to, layer, record, Rule.multiplier_shift, (codes, biases, multiplier, shifts), **rest)


def _lower_sum(to: IntegerModelBuilder, layer: Layer) -> None:
    """Each operand has a multiplier of 7 bits and a shift, halves up."""
    signs = (1, -1) if layer.first.op_type == "Sub" else (1, 1)
    operands = []
    for index, sign in enumerate(signs):
        scale = effective_scale(to, layer, index)
        shift = min(max(math.floor(math.log(MOST_CODE / scale) / math.log(2.0)), 0), MOST_SHIFT)
        multiplier = min(int(round_away(np.array([np.float32(2.0**shift * scale)]))[0]), MOST_CODE)
        values = sign * shift_right(code_values(to.qparams(layer.first.input[index])) * multiplier, shift)
        operands.append(rescaled_operand(to, layer, index, values, SUM_BITS))
    whole_sum(to, layer, operands)


def _lower_pool(to: IntegerModelBuilder, layer: Layer) -> None:
    """The output has the input's range."""

    def parameters(size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        digits = max(n for n in range(MOST_SHIFT) if math.floor(2.0**n / size + 0.5) <= MOST_POOL_MULTIPLIER)
        return whole_shifts(np.array([math.floor(2.0**digits / size + 0.5)]), np.array([digits]))

    lower_average(to, layer, parameters)


LOWERINGS: dict[str, Lowering] = {
    **elementwise.LOWERINGS,
    **tables.LOWERINGS,
    **weighted_lowerings(_lower_weighted, _lower_weighted),
    **dict.fromkeys(("Add", "Sub"), _lower_sum),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), _lower_pool),
}
