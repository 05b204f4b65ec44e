"""Conv, ConvTranspose, Gemm and MatMul on BM1684X, BM1688 and CV186X."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.weighted import RULE_PARAMETERS, Conv, ConvTranspose, MatMul, Rule, Weighted
from stages.core.integer.thresholds import converter_scale
from stages.quantize.emit.tpu_mlir.multipliers import (
    LEAST_INPUT_SCALE,
    ConvertedWeight,
    convert_weight,
    converted_bias,
    scale_and_shift,
)
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bias_of, sliding_window

Parts = tuple[NDArray[Any], ...]
"""Codes of a weight, then the parameters of its rule."""
Lowering = Callable[[IntegerModelBuilder, Layer], None]

__all__ = ["LOWERINGS", "Lowering", "Parts", "add_weighted", "weighted_lowerings", "whole_shifts"]


def real_weight(to: IntegerModelBuilder, layer: Layer) -> NDArray[np.float32]:
    """A layer's weight as the prepared network has it: what the converter reads."""
    weight, codes = to.weight(layer)
    return dequantized(codes, weight.scales, weight.axis)


def add_weighted(
    to: IntegerModelBuilder,
    layer: Layer,
    record: type[Weighted],
    rule: Rule,
    parts: Parts,
    **attributes: Any,
) -> None:
    """Add a weighted operator.

    Args:
        to: the integer model.
        layer: the layer.
        record: the operator.
        rule: how the sums become codes.
        parts: codes of the weight, then the parameters of the rule, each one value a channel or one for all.
        attributes: the operator's own.
    """
    stem, (codes, *values) = layer.first.name, parts
    to.warn_if_wide(layer, codes, record.weight_axis)
    channels = to.graph.shapes[layer.first.output[0]][record.channel_axis]
    small = np.abs(codes).max(initial=0) < 128
    stored = to.constant(f"{stem}/weight", codes.astype(np.int8 if small else np.int16))
    constants = [
        to.constant(f"{stem}/{name}", np.broadcast_to(value, (channels,)).astype(np.int32))
        for name, value in zip(RULE_PARAMETERS[rule], values, strict=True)
    ]
    to.add(record, [to.coded(layer.first.input[0]), stored, *constants], layer, rule=rule.value, **attributes)


def weighted_lowerings(convolution: Callable[..., None], fully_connected: Callable[..., None]) -> dict[str, Lowering]:
    """Lowerings of all weighted operators by what a rule makes of a weight.

    Args:
        convolution: called with the integer model, the layer, its operator, the real weight, the axis of the output
            channels, and the operator's attributes by name.
        fully_connected: the same, without an axis and attributes; the weight is [inputs, outputs].
    """

    def conv(to: IntegerModelBuilder, layer: Layer) -> None:
        node, weight = layer.first, real_weight(to, layer)
        window = sliding_window(to.graph, node, weight.shape[2:])
        convolution(to, layer, Conv, weight, 0, group=attribute(node, "group", 1), **window)

    def conv_transpose(to: IntegerModelBuilder, layer: Layer) -> None:
        node, weight = layer.first, real_weight(to, layer)
        window = sliding_window(to.graph, node, weight.shape[2:])
        padding, group = list(attribute(node, "output_padding", [0] * (weight.ndim - 2))), attribute(node, "group", 1)
        convolution(to, layer, ConvTranspose, weight, 1, group=group, output_padding=padding, **window)

    def mat_mul(to: IntegerModelBuilder, layer: Layer) -> None:
        node = layer.first
        weight = real_weight(to, layer)
        turned = node.op_type == "Gemm" and attribute(node, "transB", 0)
        fully_connected(to, layer, MatMul, weight.T if turned else weight, None)

    return {"Conv": conv, "ConvTranspose": conv_transpose, "Gemm": mat_mul, "MatMul": mat_mul}


def whole_shifts(
    multiplier: NDArray[np.int64], shift: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write shifts below 1 as a larger multiplier with a shift of 1."""
    missing = np.maximum(1 - shift, 0)
    return multiplier << missing, shift + missing


def _input_scale(to: IntegerModelBuilder, layer: Layer, weight: NDArray[np.float32]) -> float:
    """The scale of a layer's input; one that is as good as zero is replaced, so that the bias does not overflow."""
    scale = converter_scale(to.qparams(layer.first.input[0]))
    if scale > LEAST_INPUT_SCALE:
        return scale
    bias = bias_of(to.graph, layer.first)
    largest = 0.0 if bias is None else float(np.abs(bias).max())
    return float(np.abs(weight).max() if largest <= LEAST_INPUT_SCALE else largest) / 127.0


def _lower_channels(
    to: IntegerModelBuilder, layer: Layer, record: type[Weighted], weight: NDArray[np.float32], axis: int, **window: Any
) -> None:
    """A convolution: one scale, multiplier and shift an output channel, halves up."""
    bias, x_scale = bias_of(to.graph, layer.first), _input_scale(to, layer, weight)
    unsigned = bias is None and float(weight.min()) >= 0.0
    grouped = axis == 1 and window["group"] > 1
    converted = convert_weight(_by_output(weight, window["group"]) if grouped else weight, axis, unsigned)
    if grouped:
        converted = ConvertedWeight(_by_input(converted.codes, window["group"]), converted.scales)
    products = converted.scales * x_scale
    multiplier, shift = scale_and_shift(products / converter_scale(to.qparams(layer.output)), 32)
    biases = converted_bias(np.zeros(1, np.float32) if bias is None else bias, products)
    parts: Parts = (converted.codes, biases, *whole_shifts(multiplier, shift))
    add_weighted(to, layer, record, Rule.multiplier_shift, parts, **window)


def _by_output(weight: NDArray[Any], group: int) -> NDArray[Any]:
    """A grouped transposed convolution's weight [C, M/group, ...] as [C/group, M, ...]."""
    parts = weight.reshape(group, -1, *weight.shape[1:])
    return np.concatenate(list(parts), axis=1)


def _by_input(codes: NDArray[np.int32], group: int) -> NDArray[np.int32]:
    """The way back."""
    return np.concatenate(np.split(codes, group, axis=1), axis=0)


def _lower_whole(
    to: IntegerModelBuilder, layer: Layer, record: type[Weighted], weight: NDArray[np.float32], _: None
) -> None:
    """A fully connected layer: one scale, multiplier and shift a layer, halves away from zero."""
    converted, bias = convert_weight(weight, None), bias_of(to.graph, layer.first)
    product = converted.scales * converter_scale(to.qparams(layer.first.input[0]))
    multiplier, shift = scale_and_shift(product / converter_scale(to.qparams(layer.output)), 32)
    biases = converted_bias(np.zeros(1, np.float32) if bias is None else bias, product)
    parts: Parts = (converted.codes, biases, *whole_shifts(multiplier, shift))
    add_weighted(to, layer, record, Rule.multiplier_shift_away, parts)


LOWERINGS = weighted_lowerings(_lower_channels, _lower_whole)
