"""Convolutions and matrix products, on codes and in float."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from stages.build.runtime.contract import (
    Attributes,
    Clamp,
    Conv,
    FloatConv,
    FloatMatMul,
    Kind,
    MatMulFeatures,
    Opcode,
    Product,
    Rule,
    Window,
)
from stages.build.runtime.translate.attributes import clamp_of, scaled_of
from stages.build.runtime.translate.pools import leading_pads
from stages.build.runtime.translate.translation import Array, Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer import operators
from stages.core.integer.operators import fixed_point, weighted

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS"]


# --- on codes ---


def _conv(to: Translation, node: onnx.NodeProto, operator: weighted.Conv | weighted.ConvTranspose) -> None:
    x, y = node.input[0], node.output[0]
    weight, transposed = to.constants[node.input[1]], isinstance(operator, weighted.ConvTranspose)
    slides = {"strides": operator.strides, "dilations": operator.dilations, "pads": operator.pads}
    window = to.window(to.shape(x), to.shape(y), weight.shape[2:], slides)
    stored = _channels_last(weight, operator.group, transposed)
    number = to.pixels(x)

    def compute(output: int) -> None:
        _weighted(to, node, operator, [number, output], stored, _Geometry(transposed, window, operator.group))

    to.from_pixels(y, compute)


def _mat_mul(to: Translation, node: onnx.NodeProto, operator: weighted.MatMul) -> None:
    weight, shape = to.constants[node.input[1]], to.shape(node.input[0])
    if weight.ndim != 2:
        raise to.unsupported(f" with a weight of rank {weight.ndim}")
    number = to.rows(node.input[0])

    def compute(output: int) -> None:
        _weighted(to, node, operator, [number, output], weight.T, _Geometry(False, _rows_window(shape), 1))

    to.from_rows(node.output[0], compute)


class _Geometry:
    """How products are summed up: over which window, in how many groups."""

    def __init__(self, transposed: bool, window: Window, groups: int) -> None:
        self.transposed, self.window, self.groups = int(transposed), window, groups


def _weighted(
    to: Translation,
    node: onnx.NodeProto,
    operator: weighted.Weighted,
    ends: Sequence[int],
    weight: Array,
    geometry: _Geometry,
) -> None:
    """Add a weighted operation: weights [channels, ...], then the parameters of its rule.

    Args:
        to: the program.
        node: the node; its further inputs are the rule's parameters.
        operator: its record.
        ends: numbers of the input and of the output.
        weight: output channels first.
        geometry: the window and the groups.
    """
    channels, (x, output) = len(weight), ends
    inputs = [x, to.stored(Kind.weights, weight, bits=_bits_of(weight))]
    for name in node.input[2:]:
        values = np.broadcast_to(to.constants[name].reshape(-1), (channels,))
        inputs.append(to.stored(Kind.f32 if values.dtype == np.float32 else Kind.i32, values))
    rule = Rule[weighted.Rule(operator.rule).name]
    clamp = clamp_of(operator) if rule is not Rule.real else Clamp(0, 0)
    attributes = Conv(geometry.transposed, geometry.window, geometry.groups, channels, rule, clamp)
    to.emit(Opcode.conv, inputs, output, attributes)


def _bits_of(weight: Array) -> int:
    """Bits that hold every weight."""
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def _mat_mul_features(to: Translation, node: onnx.NodeProto, operator: fixed_point.MatMulFeatures) -> None:
    multiplier, scaled = operator.multipliers[0], scaled_of(operator)
    _product(to, node, Opcode.mat_mul_features, lambda sizes: MatMulFeatures(multiplier, scaled, sizes))


# --- in float ---


def _float_conv(to: Translation, node: onnx.NodeProto) -> None:
    x, y = node.input[0], node.output[0]
    to.need_kind(x, Kind.f32)
    group, weight_shape = attribute(node, "group", 1), to.shape(node.input[1])
    transposed, weight = node.op_type == "ConvTranspose", to.constants.get(node.input[1])
    if transposed and (weight is None or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET"):
        raise to.unsupported(" with auto_pad or a computed weight")
    rank = len(weight_shape) - 2
    slides = {name: attribute(node, name, [1] * rank) for name in ("strides", "dilations")}
    slides["pads"] = leading_pads(node, to.shape(x)[2:], to.shape(y)[2:], weight_shape[2:])
    window = to.window(to.shape(x), to.shape(y), weight_shape[2:], slides)
    channels = to.shape(y)[1]
    biased = len(node.input) > 2 and node.input[2]
    bias = to.operand(node.input[2]) if biased else to.stored(Kind.f32, np.zeros(channels, np.float32))
    if weight is None:
        weights = to.pixels(node.input[1])
    else:
        weights = to.stored(Kind.f32, _channels_last(weight, group, transposed))
    inputs = [to.pixels(x), weights, bias]
    attributes = FloatConv(int(transposed), window, group, channels)
    to.from_pixels(y, lambda output: to.emit(Opcode.float_conv, inputs, output, attributes))


def _float_mat_mul(to: Translation, node: onnx.NodeProto) -> None:
    kinds = [to.need_kind(name, Kind.f32, Kind.f64) for name in node.input]
    weight = to.constants.get(node.input[1])
    if weight is None or weight.ndim != 2 or Kind.f64 in kinds:
        _product(to, node, Opcode.float_mat_mul, FloatMatMul)
    else:
        _float_rows(to, node, weight.T, np.zeros(1, np.float32))


def _float_gemm(to: Translation, node: onnx.NodeProto) -> None:
    to.need_kind(node.input[0], Kind.f32)
    weight = to.constants[node.input[1]]
    bias = to.constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(1, np.float32)
    _float_rows(to, node, weight if attribute(node, "transB", 0) else weight.T, bias)


def _float_rows(to: Translation, node: onnx.NodeProto, weight: Array, bias: Array) -> None:
    """Rows times a constant matrix [outputs, inputs], plus a bias."""
    biases = np.broadcast_to(bias.reshape(-1), (len(weight),))
    number = to.rows(node.input[0])
    inputs = [number, to.stored(Kind.f32, weight), to.stored(Kind.f32, biases)]
    attributes = FloatConv(0, _rows_window(to.shape(node.input[0])), 1, len(weight))
    to.from_rows(node.output[0], lambda output: to.emit(Opcode.float_conv, inputs, output, attributes))


# --- both ---


def _channels_last(weight: Array, group: int, transposed: bool) -> Array:
    """Weights as [channels out, *kernel, channels in of the group]."""
    if transposed:
        grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = grouped.reshape(-1, *grouped.shape[2:])
    return np.moveaxis(weight, 1, -1)


def _rows_window(shape: Sequence[int]) -> Window:
    """Rows of a matrix as pixels of a picture of one row, under a 1x1 window."""
    rows = int(np.prod(shape[:-1], dtype=np.int64))
    return Window(n=1, h=1, w=rows, c=shape[-1], ho=1, wo=rows, kh=1, kw=1, sh=1, sw=1, dh=1, dw=1, ph=0, pw=0)


def _product(
    to: Translation, node: onnx.NodeProto, opcode: Opcode, attributes: Callable[[Product], Attributes]
) -> None:
    """A product of two computed matrices, batch by batch."""
    left, right = (to.shape(name) for name in node.input)
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    inputs = [to.rows(name) for name in node.input]
    for shape in (left, right):
        matrices = np.arange(int(np.prod(shape[:-2], dtype=np.int64))).reshape(shape[:-2]) * (shape[-2] * shape[-1])
        inputs.append(to.stored(Kind.i32, np.broadcast_to(matrices, batch).reshape(-1)))
    sizes = Product(int(np.prod(batch, dtype=np.int64)), left[-2], left[-1], right[-1])
    to.from_rows(node.output[0], lambda output: to.emit(opcode, inputs, output, attributes(sizes)))


INTEGER_TRANSLATORS: dict[type[operators.Operator], Callable[..., None]] = {
    weighted.Conv: _conv,
    weighted.ConvTranspose: _conv,
    weighted.MatMul: _mat_mul,
    fixed_point.MatMulFeatures: _mat_mul_features,
}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], Any]] = {
    "Conv": _float_conv,
    "ConvTranspose": _float_conv,
    "Gemm": _float_gemm,
    "MatMul": _float_mat_mul,
}
