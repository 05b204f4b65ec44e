"""Lowering for CV181x and CV183x: all features are signed, and a convolution doubles, shifts and rounds.

Multipliers come from thresholds, not from scales; a multiplier of 7 bits is cut off, not rounded.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.fixed_point import Add, Concat, Max, Min, Mul, Multiplied
from stages.core.integer.operators.table import Table
from stages.core.integer.operators.weighted import Rule, Weighted
from stages.core.integer.quant_params import QuantParams
from stages.core.integer.thresholds import threshold
from stages.quantize.emit.tpu_mlir.elementwise import code_values, rescaled_operand
from stages.quantize.emit.tpu_mlir.multipliers import round_away, shift_right, shift_right_away
from stages.quantize.emit.tpu_mlir.pools import lower_average
from stages.quantize.emit.tpu_mlir.tables import add_entries, lower_function, lower_prelu, lower_relu
from stages.quantize.emit.tpu_mlir.weighted import (
    Lowering,
    Parts,
    add_weighted,
    weighted_lowerings,
    whole_shifts,
)
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bias_of

__all__ = ["LOWERINGS"]

Reals = NDArray[np.float64]
Integers = NDArray[np.int64]

MOST_EFFECTIVE_SCALE = 0.999999
"""There is no shift to the left: an effective scale of 1 or more is clipped."""
BIAS_ROOM = 0x7FFFFFFF * 0.998
MOST_MULTIPLIER = 127
MOST_SHIFT = 62
SAME_THRESHOLD = 1e-5
PRODUCT_BITS = 16
JOINED: dict[str, type[Multiplied]] = {"Concat": Concat, "Max": Max, "Min": Min}


def _threshold(to: IntegerModelBuilder, tensor: str) -> float:
    qparams = to.qparams(tensor)
    return threshold(qparams.scale, qparams.zero_point, qparams.bits)


# --- weighted layers ---


def _doubling(effective_scales: Reals) -> tuple[Integers, Integers]:
    """Write effective scales below 1 as multiplier / 2**(31 + shift), with multipliers of 2**30 .. 2**31 - 1."""
    mantissa, exponent = np.frexp(effective_scales)
    multiplier = round_away(mantissa * 2.0**31)
    over = multiplier == 2.0**31
    multiplier, exponent = np.where(over, 2.0**30, multiplier), exponent + over
    tiny = exponent < -31
    return np.where(tiny, 0, multiplier).astype(np.int64), np.where(tiny, 0, -exponent).astype(np.int64)


def _quantized(values: NDArray[np.float32], factors: NDArray[np.float32], limits: tuple[int, int]) -> NDArray[np.int32]:
    """Products in float32, halves to even, saturated."""
    return np.clip(np.rint((values * factors).astype(np.float64)), *limits).astype(np.int32)


def _weighted_parts(
    to: IntegerModelBuilder, layer: Layer, weight: NDArray[np.float32], axis: int | None
) -> tuple[NDArray[np.int32], Parts]:
    """Codes of a weight, and bias, multiplier and shift; one a channel of `axis`, or one for all."""
    into, out = (np.float32(_threshold(to, name)) for name in (layer.first.input[0], layer.output))
    others = tuple(index for index in range(weight.ndim) if index != axis) if axis is not None else None
    largest = np.abs(weight).max(axis=others).reshape(-1).astype(np.float32)
    scales = (largest * into / (np.float32(127.0) * out)).astype(np.float64)
    scales = np.where(scales >= 1.0, MOST_EFFECTIVE_SCALE, scales) if axis is not None else scales
    bias = bias_of(to.graph, layer.first)
    if bias is not None:
        needed = (np.abs(bias) * np.float32(127.0)).astype(np.float64) / (BIAS_ROOM * float(out))
        needed = needed if axis is not None else needed.max(keepdims=True)
        scales = np.where((needed > scales) & (needed < 1.0), needed, scales)
    multiplier, shift = _doubling(np.where(scales >= 1.0, MOST_EFFECTIVE_SCALE, scales))
    unit = np.divide(2.0 ** (shift + 31.0), multiplier, out=np.zeros(len(shift)), where=multiplier > 0)
    factors = (np.float64(into / out) * unit).astype(np.float32)
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    codes = _quantized(weight, factors.reshape(shape), (-128, 127))
    biases = np.zeros(1, dtype=np.int32)
    if bias is not None:
        biases = _quantized(
            bias, (np.float64(np.float32(127.0) / out) * unit).astype(np.float32), (-(2**31), 2**31 - 1)
        )
    return codes, (biases, multiplier, shift)


def _lower_weighted(
    to: IntegerModelBuilder,
    layer: Layer,
    record: type[Weighted],
    weight: NDArray[np.float32],
    axis: int | None,
    **rest: Any,
) -> None:
    codes, parameters = _weighted_parts(to, layer, weight, axis)
    add_weighted(to, layer, record, Rule.doubling, (codes, *parameters), **rest)


# --- multipliers of 7 bits ---


def _cut_multiplier(effective_scale: float) -> tuple[int, int]:
    """Write an effective scale as multiplier / 2**shift: the first shift at which 7 bits are full, digits cut off."""
    if effective_scale > MOST_MULTIPLIER:
        return MOST_MULTIPLIER, 0
    for shift in range(MOST_SHIFT + 1):
        if effective_scale * 2.0 ** (shift + 1) >= MOST_MULTIPLIER:
            return int(effective_scale * 2.0**shift), shift
    return 0, 0


def _lower_sum(to: IntegerModelBuilder, layer: Layer) -> None:
    """One shift for both operands, halves up."""
    signs = (1, -1) if layer.first.op_type == "Sub" else (1, 1)
    out = _threshold(to, layer.output)
    scales = [float(np.float32(_threshold(to, name) / out)) for name in layer.first.input]
    _, shift = _cut_multiplier(max(scales))
    cut = [sign * _signed_byte(int(scale * 2.0**shift)) for sign, scale in zip(signs, scales, strict=True)]
    multipliers, shifts = whole_shifts(np.array(cut), np.array(shift))
    operands = [to.coded(name) for name in layer.first.input]
    to.add(Add, operands, layer, multipliers=tuple(multipliers.tolist()), shift=int(shifts))


def _signed_byte(value: int) -> int:
    return (value + 128) % 256 - 128


def _lower_joined(to: IntegerModelBuilder, layer: Layer) -> None:
    """Each operand in the output's scale, halves up, saturated."""
    record = JOINED[layer.first.op_type]
    output, out, operands = to.qparams(layer.output), _threshold(to, layer.output), []
    for index, name in enumerate(layer.first.input):
        values, into = code_values(to.qparams(name)), _threshold(to, name)
        if abs(into - out) > SAME_THRESHOLD:
            multiplier, shift = _cut_multiplier(into / out)
            values = shift_right(values * multiplier, shift)
        operands.append(rescaled_operand(to, layer, index, values, output.bits))
    axis = {"axis": attribute(layer.first, "axis")} if record is Concat else {}
    to.add(record, operands, layer, multipliers=(2,) * len(operands), shift=1, **axis)


def _lower_pool(to: IntegerModelBuilder, layer: Layer) -> None:
    """Halves up."""

    def parameters(size: int) -> tuple[NDArray[Any], NDArray[Any]]:
        into, out = _threshold(to, layer.first.input[0]), _threshold(to, layer.output)
        multiplier, shift = _cut_multiplier(into / (out * float(size)))
        return whole_shifts(np.array([multiplier]), np.array([shift]))

    lower_average(to, layer, parameters)


def _lower_mul(to: IntegerModelBuilder, layer: Layer) -> None:
    """A product doubled to 16 bits, then a table for the shift: both are rounded."""
    left, right = (_threshold(to, name) / 127.0 for name in layer.first.input)
    scale = left * right / (_threshold(to, layer.output) / 127.0)
    multiplier, shift = _doubling(np.array([min(scale, MOST_EFFECTIVE_SCALE)]))
    product = QuantParams(PRODUCT_BITS, 1.0, 2 ** (PRODUCT_BITS - 1))
    name = f"{layer.name}/operand"
    operands = [to.coded(each) for each in layer.first.input]
    to.add_inside(Mul, operands, name, layer.output, product, multipliers=(int(multiplier[0]),), shift=31)
    output = to.qparams(layer.output)
    values = shift_right_away(code_values(product), int(shift[0])) + output.zero_point
    entries = np.clip(values, 0, output.qmax).astype(output.dtype)
    to.add(Table, [name, to.constant(f"{layer.name}/table", entries)], layer)


# --- tables ---


def _lower_leaky_relu(to: IntegerModelBuilder, layer: Layer) -> None:
    """Positive and negative codes have a multiplier each, halves up."""
    positive = codes = code_values(to.qparams(layer.first.input[0]))
    into, out = (_threshold(to, name) for name in (layer.first.input[0], layer.output))
    if abs(into - out) >= SAME_THRESHOLD * min(into, out):
        multiplier, shift = _cut_multiplier(into / out)
        positive = shift_right(codes * multiplier, shift)
    slope = attribute(layer.first, "alpha", 0.01)
    multiplier, shift = _cut_multiplier(float(np.float32(abs(into / out * slope))))
    negative = shift_right(codes * multiplier, shift)
    add_entries(to, layer, np.where(codes < 0, negative, positive))


LOWERINGS: dict[str, Lowering] = {
    **weighted_lowerings(_lower_weighted, _lower_weighted),
    **dict.fromkeys(("Add", "Sub"), _lower_sum),
    **dict.fromkeys(("Concat", "Max", "Min"), _lower_joined),
    "Mul": _lower_mul,
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), _lower_pool),
    **dict.fromkeys(("HardSigmoid", "HardSwish", "Sigmoid", "Tanh"), lower_function),
    **dict.fromkeys(("Clip", "Relu"), lower_relu),
    "LeakyRelu": _lower_leaky_relu,
    "PRelu": partial(lower_prelu, whole=round_away),
}
