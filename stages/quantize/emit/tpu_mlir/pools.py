"""Average pools on BM1684X, BM1688 and CV186X: depthwise convolutions whose weights are all 1."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.weighted import Conv, Rule
from stages.core.integer.thresholds import converter_scale
from stages.quantize.emit.tpu_mlir.multipliers import scale_and_shift
from stages.quantize.emit.tpu_mlir.weighted import add_weighted, whole_shifts
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import sliding_window

__all__ = ["LOWERINGS", "lower_average"]

Parameters = tuple[NDArray[Any], NDArray[Any]]


def lower_average(to: IntegerModelBuilder, layer: Layer, parameters: Callable[[int], Parameters]) -> None:
    """An average pool as a depthwise convolution whose weights are all 1.

    Args:
        to: takes the layer.
        layer: AveragePool or GlobalAveragePool.
        parameters: of the number of values that are averaged gives the multiplier and the shift of the rule.
    """
    node, shape = layer.first, to.graph.shapes[layer.first.input[0]]
    whole = node.op_type != "AveragePool"
    kernel = shape[2:] if whole else list(attribute(node, "kernel_shape"))
    rank = len(kernel)
    window = sliding_window(to.graph, node, kernel)
    if whole:
        window = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank}
    weight, zero = np.ones((shape[1], 1, *kernel), dtype=np.int32), np.zeros(1, dtype=np.int32)
    parts = (weight, zero, *parameters(math.prod(kernel)))
    add_weighted(to, layer, Conv, Rule.multiplier_shift, parts, group=shape[1], **window)


def _lower_pool(to: IntegerModelBuilder, layer: Layer) -> None:
    into, out = (converter_scale(to.qparams(name)) for name in (layer.first.input[0], layer.output))
    lower_average(to, layer, lambda size: whole_shifts(*scale_and_shift(np.array([into / (out * size)]), 8)))


LOWERINGS = {"AveragePool": _lower_pool, "GlobalAveragePool": _lower_pool}
