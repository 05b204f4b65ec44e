"""One-input functions on BM1684X, BM1688 and CV186X: tables of the real function, or of an integer rule."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators.table import Table
from stages.core.integer.thresholds import converter_scale
from stages.quantize.emit.tpu_mlir.elementwise import code_values
from stages.quantize.emit.tpu_mlir.multipliers import round_away, scale_and_shift, shift_right
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.tables import FUNCTIONS, inner_values
from stages.quantize.partition.layers import Layer

__all__ = ["LOWERINGS", "add_entries", "lower_function", "lower_prelu", "lower_relu"]

Reals = NDArray[np.float64]

MOST_MULTIPLIER = 127
MOST_SHIFT = 62


def add_entries(to: IntegerModelBuilder, layer: Layer, codes: NDArray[np.floating | np.integer]) -> None:
    """Add a table of codes without their zero point: [2**bits], or one a channel [C, 2**bits]."""
    x, output = to.qparams(layer.first.input[0]), to.qparams(layer.output)
    entries = np.clip(np.asarray(codes, dtype=np.int64) + output.zero_point, 0, output.qmax).astype(output.dtype)
    inputs = [to.coded(layer.first.input[0]), to.constant(f"{layer.name}/table", entries)]
    if layer.gated:
        inputs.append(to.constant(f"{layer.name}/inner", inner_values(to.graph, layer, x)))
    to.add(Table, inputs, layer)


def lower_function(to: IntegerModelBuilder, layer: Layer) -> None:
    """The function in double at the table's scales, halves away from zero."""
    x, output = to.qparams(layer.first.input[0]), to.qparams(layer.output)
    values = FUNCTIONS[layer.kind](to.graph, layer.first, code_values(x).astype(np.float64) * converter_scale(x))
    add_entries(to, layer, round_away(values / converter_scale(output)))


def lower_relu(to: IntegerModelBuilder, layer: Layer) -> None:
    """Codes keep their scale; negative ones become 0."""
    add_entries(to, layer, np.maximum(code_values(to.qparams(layer.first.input[0])), 0))


def _lower_leaky_relu(to: IntegerModelBuilder, layer: Layer) -> None:
    """Codes keep their scale; negative ones are multiplied, halves up."""
    codes = code_values(to.qparams(layer.first.input[0]))
    multiplier, shift = scale_and_shift(np.array(attribute(layer.first, "alpha", 0.01)), 8)
    add_entries(to, layer, np.where(codes < 0, shift_right(codes * multiplier, shift), codes))


def lower_prelu(
    to: IntegerModelBuilder, layer: Layer, whole: Callable[[Reals], NDArray[np.floating]] = np.trunc
) -> None:
    """The same with a multiplier a channel and one shift, at which the largest slope still fits 7 bits.

    Args:
        to: takes the layer.
        layer: PRelu.
        whole: makes multipliers of slopes times 2**shift: the CV18xx round, the others cut off.
    """
    codes, slopes = code_values(to.qparams(layer.first.input[0])), to.graph.constant(layer.first.input[1])
    assert slopes is not None
    channels = to.graph.shapes[layer.output][1]
    values = np.broadcast_to(slopes.reshape(-1), (channels,)).astype(np.float64)
    largest = float(np.abs(values).max())
    fitting = [shift for shift in range(MOST_SHIFT) if largest * 2.0 ** (shift + 1) >= MOST_MULTIPLIER]
    shift = fitting[0] if fitting else 0
    multipliers = whole(values * 2.0**shift).astype(np.int64).astype(np.int8).astype(np.int64)
    add_entries(to, layer, np.where(codes < 0, shift_right(codes * multipliers[:, None], shift), codes))


LOWERINGS = {
    **dict.fromkeys(("HardSigmoid", "HardSwish", "Sigmoid", "Tanh"), lower_function),
    **dict.fromkeys(("Clip", "Relu"), lower_relu),
    "LeakyRelu": _lower_leaky_relu,
    "PRelu": lower_prelu,
}
