"""Pools and means over the spatial axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer import rules
from stages.core.integer.exact_rounding import EXACT_BITS, TIED_BITS, exact_multiplier
from stages.core.integer.operators.average_pool import AveragePool
from stages.core.integer.operators.fixed_point import Mean
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_unary
from stages.quantize.operators.torch_call import TorchCall, torch_window
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import sliding_window

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OPERATORS"]

MOST_TRIED = 2**15
"""Values of a mean whose sums are all tried: 181 pixels square."""
PRODUCT_BITS = 52
"""Of a sum times its multiplier: exact in double."""


def _average_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    del graph
    return "it rounds its size up" if attribute(node, "ceil_mode", 0) else None


def _mean_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    tensor = node.input[1] if len(node.input) > 1 else ""
    if tensor and tensor not in graph.constants:
        return "its axes are computed"
    axes: Any = graph.constant(tensor) if tensor else attribute(node, "axes", ())
    return "it reduces nothing" if attribute(node, "noop_with_empty_axes", 0) and not len(axes) else None


def _lower_mean(to: IntegerModelBuilder, layer: Layer) -> None:
    node, shape = layer.first, to.graph.shapes[layer.first.input[0]]
    axes, keepdims = list(range(2, len(shape))), 1
    if node.op_type == "ReduceMean":
        given = to.graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        listed = attribute(node, "axes", given.tolist() if given is not None else []) or range(len(shape))
        axes, keepdims = sorted(axis % len(shape) for axis in listed), attribute(node, "keepdims", 1)
    count = int(np.prod([shape[axis] for axis in axes]))
    multipliers, shift = _mean_multipliers(to, layer, count)
    inputs = [to.coded(node.input[0])]
    to.add(Mean, inputs, layer, multipliers=multipliers, shift=shift, axes=axes, keepdims=keepdims, terms=count)


def _mean_multipliers(to: IntegerModelBuilder, layer: Layer, count: int) -> tuple[list[int], int]:
    """The multiplier of a mean of `count` values, and its shift."""
    x, output = to.qparams(layer.first.input[0]), to.qparams(layer.output)
    effective_scale = x.scale / (count * output.scale)
    exact = to.soc.requantization is Requantization.nna_open
    if not exact or max(x.bits, output.bits) > EXACT_BITS or x.channel_scales:
        return rules.fixed_point([effective_scale])
    bits = PRODUCT_BITS - (x.qmax * count).bit_length()
    if count <= MOST_TRIED and x.zero_point < x.qmax:
        sums = np.arange(-x.zero_point * count, (x.qmax - x.zero_point) * count + 1)
        found = exact_multiplier(sums, sums * x.scale / count / output.scale, output, bits)
        if found is not None:
            return [found[0]], found[1]
    return rules.fixed_point([effective_scale], min(TIED_BITS, bits))


def _lower_average_pool(to: IntegerModelBuilder, layer: Layer) -> None:
    node = layer.first
    kernel = list(attribute(node, "kernel_shape"))
    window = sliding_window(to.graph, node, kernel)
    counts = np.array(float(np.prod(kernel)))
    if any(window["pads"]) and not attribute(node, "count_include_pad", 0):
        counts = _pixels_covered(to.graph.shapes[node.input[0]][2:], kernel, window)
    effective_scales = to.qparams(node.input[0]).scale / (counts * to.qparams(layer.output).scale)
    _, shift = rules.fixed_point([float(effective_scales.max())])
    multipliers = np.rint(effective_scales * 2.0**shift).astype(np.int32)
    inputs = [to.coded(node.input[0]), to.constant(f"{node.name}/multipliers", multipliers)]
    to.add(AveragePool, inputs, layer, kernel_shape=kernel, shift=shift, **window)


def _pixels_covered(
    size: Sequence[int], kernel: Sequence[int], window: Mapping[str, Sequence[int]]
) -> NDArray[np.float64]:
    """How many pixels each window of a padded pool covers: [*S out]."""
    strides, dilations, pads = window["strides"], window["dilations"], window["pads"]
    counts = np.ones(())
    for i, length in enumerate(size):
        padded = np.pad(np.ones(length), (pads[i], pads[len(size) + i]))
        starts = range(0, len(padded) - dilations[i] * (kernel[i] - 1), strides[i])
        along = [padded[start : start + dilations[i] * (kernel[i] - 1) + 1 : dilations[i]].sum() for start in starts]
        counts = np.multiply.outer(counts, np.array(along))
    return counts


def _tie_spatial_mean(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    tensor = node.input[1] if len(node.input) > 1 else ""
    if tensor and tensor not in graph.constants:
        return None
    axes: Any = graph.constant(tensor) if tensor else attribute(node, "axes", ())
    rank = len(graph.shapes[node.input[0]])
    return tie_unary(graph, node) if len(axes) and all(int(axis) % rank > 1 for axis in axes) else None


def _torch_pool(maximum: bool) -> "Callable[[TorchCall], Tensor]":
    def run(call: TorchCall) -> "Tensor":
        kernel, functional = list(call.get("kernel_shape")), call.functional
        rank = len(kernel)
        window, pad = torch_window(call, rank)
        if rank != 2 or call.get("ceil_mode", 0):
            raise call.not_covered()
        if maximum:
            return functional.max_pool2d(
                pad(call[0], -float("inf")), kernel, window.strides, window.pads, window.dilations
            )
        if pad(call[0][:1, :1], 0.0).shape[2:] != call[0].shape[2:] or window.dilations != [1] * rank:
            raise call.not_covered()
        counted = bool(call.get("count_include_pad", 0))
        return functional.avg_pool2d(call[0], kernel, window.strides, window.pads, count_include_pad=counted)

    return run


def _torch_reduce_mean(call: TorchCall) -> "Tensor":
    axes = call.numbers(1, "axes")
    if not axes or any(axis % call[0].ndim == 0 for axis in axes):
        raise call.not_covered()
    return call[0].mean(axes, keepdim=bool(call.get("keepdims", 1)))


def _spatial_axes(call: TorchCall) -> list[int]:
    return list(range(2, call[0].ndim))


OPERATORS = {
    "AveragePool": OnnxOperator(_lower_average_pool, _average_limits, tie_unary, torch=_torch_pool(maximum=False)),
    "GlobalAveragePool": OnnxOperator(
        _lower_mean, ties=tie_unary, torch=lambda call: call[0].mean(_spatial_axes(call), keepdim=True)
    ),
    "ReduceMean": OnnxOperator(_lower_mean, _mean_limits, _tie_spatial_mean, torch=_torch_reduce_mean),
    "MaxPool": OnnxOperator(IntegerModelBuilder.move, ties=tie_unary, torch=_torch_pool(maximum=True)),
    "GlobalMaxPool": OnnxOperator(
        IntegerModelBuilder.move, ties=tie_unary, torch=lambda call: call[0].amax(_spatial_axes(call), keepdim=True)
    ),
}
