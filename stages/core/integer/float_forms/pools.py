"""Pools: means by a convolution with ones, and pools along three axes one pair of axes after the other."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Array, Rewriter, Rule
from stages.core.integer.float_forms.windows import Slides, slides_of

__all__ = ["RULES", "summed"]

CUBE = 3
"""Axes of a volume."""


def summed(to: Rewriter, x: str, shape: list[int], kernel: list[int], slides: Slides) -> tuple[str, list[int]]:
    """The sums of windows of each channel, along one axis or two, then the third; gives them and their shape."""
    channels, spatial = shape[1], shape[2:]
    sizes = [
        (spatial[i] + slides.before[i] + slides.after[i] - slides.dilations[i] * (kernel[i] - 1) - 1)
        // slides.strides[i] + 1
        for i in range(len(kernel))
    ]  # fmt: skip
    if len(kernel) < CUBE:
        ones = np.ones((channels, 1, *kernel), np.float32)
        attributes = slides.attributes(range(len(kernel)))
        return to.op("Conv", x, ones, group=channels, **attributes), [shape[0], channels, *sizes]
    depth, height, width = spatial
    planes = to.reshape(x, [shape[0], channels * depth, height, width])
    ones = np.ones((channels * depth, 1, *kernel[1:]), np.float32)
    planes = to.op("Conv", planes, ones, group=channels * depth, **slides.attributes((1, 2)))
    columns = to.reshape(planes, [shape[0], channels, depth, sizes[1] * sizes[2]])
    along = slides.attributes((0,))
    columns = to.op(
        "Conv", columns, np.ones((channels, 1, kernel[0], 1), np.float32), group=channels,
        strides=[along["strides"][0], 1], dilations=[along["dilations"][0], 1],
        pads=[along["pads"][0], 0, along["pads"][1], 0],
    )  # fmt: skip
    return to.reshape(columns, [shape[0], channels, *sizes]), [shape[0], channels, *sizes]


def _average(to: Rewriter, node: onnx.NodeProto) -> None:
    """Sums of windows over how many values each has."""
    x, y = to.shape(node.input[0]), to.shape(node.output[0])
    if x is None or y is None:
        to.keep(node)
        return
    kernel = list(attribute(node, "kernel_shape"))
    slides = slides_of(node, x[2:], y[2:], kernel)
    total, _ = summed(to, node.input[0], x, kernel, slides)
    to.op("Div", total, _counts(node, x[2:], y[2:], kernel, slides), y=node.output[0])


def _counts(node: onnx.NodeProto, x: list[int], y: list[int], kernel: list[int], slides: Slides) -> Array:
    """How many values each window has: padding counts where the node says so, but not beyond what it declares."""
    padding = attribute(node, "count_include_pad", 0)
    declared = attribute(node, "pads", [0] * (2 * len(kernel))) if padding else [0] * (2 * len(kernel))
    if padding and attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        declared = [*slides.before, *slides.after]
    counts = []
    for axis, size in enumerate(x):
        first = np.arange(y[axis])[:, None] * slides.strides[axis] - slides.before[axis]
        taps = first + np.arange(kernel[axis]) * slides.dilations[axis]
        low, high = -declared[axis], size + declared[axis + len(kernel)]
        counts.append(((taps >= low) & (taps < high)).sum(axis=1))
    total: Array = counts[0].astype(np.float32)
    for line in counts[1:]:
        total = total[..., None] * line.astype(np.float32)
    alike = bool((total == total.flat[0]).all())
    return total.reshape(-1)[:1] if alike else total


def _lp(to: Rewriter, node: onnx.NodeProto) -> None:
    """The root of the sum of powers."""
    x, y, power = to.shape(node.input[0]), to.shape(node.output[0]), attribute(node, "p", 2)
    if x is None or y is None:
        to.keep(node)
        return
    kernel = list(attribute(node, "kernel_shape", x[2:]))
    slides = slides_of(node, x[2:], y[2:], kernel)
    size = to.op("Abs", node.input[0])
    raised = size if power == 1 else to.op("Mul", size, size) if power == 2 else to.op("Pow", size, np.float32(power))
    total, _ = summed(to, raised, x, kernel, slides)
    if power == 1:
        to.op("Identity", total, y=node.output[0])
    elif power == 2:
        to.op("Sqrt", total, y=node.output[0])
    else:
        to.op("Pow", total, np.float32(1 / power), y=node.output[0])


def _max(to: Rewriter, node: onnx.NodeProto) -> None:
    """Along three axes: first within planes, then across them."""
    x, y = to.shape(node.input[0]), to.shape(node.output[0])
    indices = len(node.output) > 1 and node.output[1]
    if x is None or y is None or len(x) != 2 + CUBE or indices:
        to.keep(node)
        return
    kernel = list(attribute(node, "kernel_shape", x[2:]))
    slides = slides_of(node, x[2:], y[2:], kernel)
    planes = to.reshape(node.input[0], [x[0], x[1] * x[2], *x[3:]])
    planes = to.op("MaxPool", planes, kernel_shape=kernel[1:], **slides.attributes((1, 2)))
    columns = to.reshape(planes, [x[0], x[1], x[2], y[3] * y[4]])
    depth = slides.attributes((0,))
    padding = [depth["pads"][0], 0, depth["pads"][1], 0]
    columns = to.op(
        "MaxPool", columns, kernel_shape=[kernel[0], 1], pads=padding,
        strides=[depth["strides"][0], 1], dilations=[depth["dilations"][0], 1],
    )  # fmt: skip
    to.reshape(columns, y, y=node.output[0])


RULES: dict[str, Rule] = {
    "AveragePool": _average,
    "LpPool": _lp,
    "GlobalLpPool": _lp,
    "MaxPool": _max,
    "GlobalMaxPool": _max,
}
