"""Pools: the largest value or the mean of windows."""

from collections.abc import Callable, Sequence

import onnx

from stages.build.runtime.contract import AveragePool, Kind, MaxPool, Opcode
from stages.build.runtime.translate.attributes import scaled_of
from stages.build.runtime.translate.translation import Translation
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.operators import Operator, average_pool

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS", "MAX_POOLS", "leading_pads", "max_pool"]

MAX_POOLS = {"MaxPool", "GlobalMaxPool"}
"""They work on codes and floats alike."""


def max_pool(to: Translation, node: onnx.NodeProto) -> None:
    """Add a pool of the largest values, of codes or floats."""
    x, y = node.input[0], node.output[0]
    if len(node.output) > 1 and node.output[1]:
        raise to.unsupported(" with indices")
    if x not in to.quant_params:
        to.need_kind(x, Kind.f32, Kind.f64, Kind.i8, Kind.byte)
    number, before, after = to.pixels(x), to.shape(x), to.shape(y)
    if node.op_type == "GlobalMaxPool":
        window = to.window(before, after, before[2:], {})
    else:
        kernel = list(attribute(node, "kernel_shape"))
        slides = {name: attribute(node, name, [1] * len(kernel)) for name in ("strides", "dilations")}
        slides["pads"] = leading_pads(node, before[2:], after[2:], kernel)
        window = to.window(before, after, kernel, slides)
    to.from_pixels(y, lambda output: to.emit(Opcode.max_pool, [number], output, MaxPool(window)))


def leading_pads(node: onnx.NodeProto, before: Sequence[int], after: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """The padding before each axis of a pool or convolution, from the sizes of input and output; the rest is unused."""
    rank, automatic = len(kernel), attribute(node, "auto_pad", b"NOTSET").decode()
    if automatic in ("NOTSET", "VALID"):
        pads = attribute(node, "pads", [0] * (2 * rank))
        return list(pads) if automatic == "NOTSET" else [0] * (2 * rank)
    strides, dilations = (attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    spans = [(after[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - before[i] for i in range(rank)]
    totals = [max(span, 0) for span in spans]
    return [total // 2 if automatic == "SAME_UPPER" else total - total // 2 for total in totals] + [0] * rank


def _average_pool(to: Translation, node: onnx.NodeProto, operator: average_pool.AveragePool) -> None:
    x, y = node.input[0], node.output[0]
    slides = {"strides": operator.strides, "dilations": operator.dilations, "pads": operator.pads}
    window = to.window(to.shape(x), to.shape(y), operator.kernel_shape, slides)
    inputs = [to.pixels(x), to.stored(Kind.i32, to.constants[node.input[1]])]
    attributes = AveragePool(window, scaled_of(operator))
    to.from_pixels(y, lambda output: to.emit(Opcode.average_pool, inputs, output, attributes))


INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {average_pool.AveragePool: _average_pool}
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {}
