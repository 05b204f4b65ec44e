"""Conv, ConvTranspose, Gemm and MatMul."""

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer import rules
from stages.core.integer.exact_rounding import EXACT_BITS, exact_multiplier
from stages.core.integer.network_params import WeightParams
from stages.core.integer.operators.fixed_point import MatMulFeatures
from stages.core.integer.operators.weighted import RULE_PARAMETERS, Conv, ConvTranspose, MatMul, Rule, Weighted
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.fixed_point import add_fixed_point
from stages.quantize.operators.onnx_operator import OnnxOperator
from stages.quantize.operators.torch_call import TorchCall, torch_window
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import bias_of, sliding_window

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OPERATORS"]

MAX_PRODUCT_BITS = 52
"""Of a sum times its multiplier: exact in double."""


# --- limits of the integer operators ---


def _conv_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    if node.input[1] not in graph.constants:
        return "its weight is computed"
    if len(node.input) > 2 and node.input[2] and node.input[2] not in graph.constants:
        return "its bias is computed"
    if node.op_type == "ConvTranspose" and (
        attribute(node, "output_shape") or attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
    ):
        return "its padding follows from its output's shape"
    return None


def _gemm_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    if attribute(node, "transA", 0) or attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0:
        return "it transposes its input or scales its result"
    if len(node.input) > 2 and node.input[2] and bias_of(graph, node) is None:
        return "its bias is not one constant value an output"
    return _conv_limits(graph, node)


def _mat_mul_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    weight = graph.constants.get(node.input[1])
    if node.input[0] in graph.constants:
        return "its left side is constant"
    return "its weight is no matrix" if weight is not None and len(weight.dims) != 2 else None


# --- to the integer model ---


def _lower_conv(to: IntegerModelBuilder, layer: Layer) -> None:
    weight, codes = to.weight(layer)
    window = sliding_window(to.graph, layer.first, codes.shape[2:])
    _lower(to, layer, Conv, weight, codes, group=attribute(layer.first, "group", 1), **window)


def _lower_conv_transpose(to: IntegerModelBuilder, layer: Layer) -> None:
    weight, codes = to.weight(layer)
    node, rank = layer.first, codes.ndim - 2
    output_padding = list(attribute(node, "output_padding", [0] * rank))
    window = sliding_window(to.graph, node, codes.shape[2:])
    group = attribute(node, "group", 1)
    _lower(to, layer, ConvTranspose, weight, codes, group=group, output_padding=output_padding, **window)


def _lower_mat_mul(to: IntegerModelBuilder, layer: Layer) -> None:
    node = layer.first
    if node.input[1] not in to.graph.constants:
        left, right = (to.qparams(name) for name in node.input)
        effective_scale = left.scale * right.scale / to.qparams(layer.output).scale
        terms = to.graph.shapes[node.input[0]][-1]
        bits = min(rules.FIXED_BITS, MAX_PRODUCT_BITS - (left.qmax * right.qmax * terms).bit_length())
        add_fixed_point(to, layer, MatMulFeatures, node.input, [effective_scale], bits=bits, terms=terms)
        return
    weight, codes = to.weight(layer)
    transposed = node.op_type == "Gemm" and attribute(node, "transB", 0)
    _lower(to, layer, MatMul, weight, codes.T if transposed else codes)


def _lower(
    to: IntegerModelBuilder,
    layer: Layer,
    record: type[Weighted],
    weight: WeightParams,
    codes: NDArray[np.int32],
    **attributes: Any,
) -> None:
    """Add a weighted operator with the parameters of the SOC's rule."""
    node = layer.first
    to.warn_if_wide(layer, codes, record.weight_axis)
    stem = node.name
    stored = to.constant(f"{stem}/weight", codes.astype(np.int8 if weight.bits <= 8 else np.int16))
    rule, values = _rule(to, layer, record, weight)
    # a float result is clamped by the activation itself, in float
    result = Layer(layer.kind, layer.nodes[:1]) if to.leaves_in_float(layer.output) else layer
    constants = [to.constant(f"{stem}/{n}", v) for n, v in zip(RULE_PARAMETERS[rule], values, strict=True)]
    inputs = [to.coded(node.input[0]), stored, *constants]
    to.add(record, inputs, result, rule=rule.value, **attributes)
    for activation in layer.nodes[len(result.nodes) :]:
        to.copy(activation)


def _rule(
    to: IntegerModelBuilder, layer: Layer, record: type[Weighted], weight: WeightParams
) -> tuple[Rule, list[NDArray[Any]]]:
    """The rule of a layer, and its parameters, one value an output channel."""
    node = layer.first
    channels = to.graph.shapes[node.output[0]][record.channel_axis]
    scales = np.broadcast_to(np.asarray(weight.scales, dtype=np.float32), (channels,))
    bias = bias_of(to.graph, node)
    real_bias = np.zeros(channels, dtype=np.float32) if bias is None else bias
    x_scales = rules.broadcast_scales(to.qparams(node.input[0]).scales, channels)
    products = x_scales.astype(np.float32) * scales
    if to.leaves_in_float(layer.output):
        return Rule.real, [rules.bias_codes(real_bias, products), products]
    output = to.qparams(layer.output)
    y_scales = rules.broadcast_scales(output.scales, channels)
    exact = to.soc.requantization is Requantization.nna_open
    if exact and record is MatMul and layer.output in to.graph.outputs and output.bits == EXACT_BITS:
        found = _exact_parameters(to, layer, x_scales * scales.astype(np.float64))
        if found is not None:
            return Rule.multiplier_shift, [rules.bias_codes(real_bias, products), *found]
    if exact:
        codes = rules.bias_codes(real_bias, products)
        return Rule.nna, list(
            rules.nna_integer_parameters(x_scales, scales, codes, y_scales, output.zero_point, output.bits)
        )
    if to.soc.requantization is Requantization.nna:
        parameters = rules.nna_parameters(x_scales, scales, real_bias, y_scales, output.zero_point, output.bits)
        return Rule.nna, list(parameters)
    shift_only = to.soc.requantization is Requantization.shift
    choose = rules.shift_parameters if shift_only else rules.multiplier_shift_parameters
    effective_scales = products.astype(np.float64) / y_scales
    return Rule.multiplier_shift, [rules.bias_codes(real_bias, products), *choose(effective_scales)]


def _exact_parameters(
    to: IntegerModelBuilder, layer: Layer, products: NDArray[np.float64]
) -> list[NDArray[np.int32]] | None:
    """Multipliers and shifts of a fully connected layer that round as real arithmetic; None if a channel has none.

    Args:
        to: the integer model.
        layer: its output has one scale.
        products: float64 [channels], the accumulator's scales.
    """
    output, x = to.qparams(layer.output), to.qparams(layer.first.input[0])
    _, codes = to.weight(layer)
    magnitudes = np.abs(codes.astype(np.int64))
    largest = x.qmax * max(int(magnitudes.sum(axis=axis).max()) for axis in (0, 1))  # of a sum, whichever the axis
    bits, pairs = MAX_PRODUCT_BITS - largest.bit_length(), []
    for product in products:
        last = int(np.ceil((output.qmax + 1) * output.scale / product))  # beyond it every code is clamped
        values = np.arange(-last, last + 1)
        pair = exact_multiplier(values, product * values / output.scale, output, bits)
        if pair is None:
            return None
        pairs.append(pair)
    return [np.array(column, np.int32) for column in zip(*pairs, strict=True)]


# --- in PyTorch ---


def _torch_conv(call: TorchCall) -> "Tensor":
    from stages.quantize.operators.torch_convolution import conv2d  # noqa: PLC0415  PyTorch is slow to load

    weight, bias = call.weight
    rank = weight.ndim - 2
    window, pad = torch_window(call, rank)
    x = pad(call[0], 0.0)
    if rank == 2:
        return conv2d(x, weight, bias, window)
    conv = {1: call.functional.conv1d, 3: call.functional.conv3d}[rank]
    return conv(x, weight, bias, window.strides, window.pads, window.dilations, window.groups)


def _torch_conv_transpose(call: TorchCall) -> "Tensor":
    weight, bias = call.weight
    rank, functional = weight.ndim - 2, call.functional
    window, _ = torch_window(call, rank)
    if list(call.get("pads", [0] * 2 * rank)) != window.pads * 2:
        raise NotImplementedError("ConvTranspose is not covered with pads that are not symmetric")
    conv = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}[rank]
    output_padding = list(call.get("output_padding", [0] * rank))
    return conv(call[0], weight, bias, window.strides, window.pads, output_padding, window.groups, window.dilations)


def _torch_gemm(call: TorchCall) -> "Tensor":
    weight, bias = call.weight
    if call.get("transA", 0) or call.get("alpha", 1.0) != 1.0 or call.get("beta", 1.0) != 1.0:
        raise NotImplementedError("Gemm is not covered where it transposes its input or scales its result")
    y = call[0] @ (weight.T if call.get("transB", 0) else weight)
    return y if bias is None else y + bias


def _torch_mat_mul(call: TorchCall) -> "Tensor":
    return call[0] @ (call.weight[0] if call.learned else call[1])


OPERATORS = {
    "Conv": OnnxOperator(_lower_conv, _conv_limits, torch=_torch_conv),
    "ConvTranspose": OnnxOperator(_lower_conv_transpose, _conv_limits, torch=_torch_conv_transpose),
    "Gemm": OnnxOperator(_lower_mat_mul, _gemm_limits, torch=_torch_gemm),
    "MatMul": OnnxOperator(_lower_mat_mul, _mat_mul_limits, torch=_torch_mat_mul),
}
"""They tie no channels: a weight absorbs the factors of both sides."""
