"""Convolutions: along three axes as sums over the first one's taps; transposed ones with their padding written out."""

from collections.abc import Sequence

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Rewriter, Rule
from stages.core.integer.float_forms.windows import slides_of

__all__ = ["RULES", "transposed_as_conv"]

VOLUME_RANK = 5
"""Axes of a batch of volumes: N, C, D, H, W."""


def _conv(to: Rewriter, node: onnx.NodeProto) -> None:
    x, y, weight = to.shape(node.input[0]), to.shape(node.output[0]), to.value(node, 1)
    if x is None or y is None or weight is None or weight.ndim != VOLUME_RANK:
        to.keep(node)
        return
    slides, group = slides_of(node, x[2:], y[2:], weight.shape[2:]), attribute(node, "group", 1)
    pads = [0, 0, slides.before[0], 0, 0, 0, 0, slides.after[0], 0, 0]
    frames = node.input[0]
    if slides.before[0] or slides.after[0]:
        frames = to.op("Pad", frames, np.array(pads, np.int64))
    frames = to.op("Transpose", frames, perm=[0, 2, 1, 3, 4])
    total = ""
    for tap in range(weight.shape[2]):
        first = tap * slides.dilations[0]
        ends = [first, first + (y[2] - 1) * slides.strides[0] + 1]
        cut = [np.array([value], np.int64) for value in (*ends, 1, slides.strides[0])]
        pictures = to.reshape(to.op("Slice", frames, *cut), [x[0] * y[2], x[1], *x[3:]])
        plane = np.ascontiguousarray(weight[:, :, tap])
        part = to.op("Conv", pictures, plane, group=group, **slides.attributes((1, 2)))
        total = to.op("Add", total, part) if total else part
    bias = to.value(node, 2)
    if bias is not None:
        total = to.op("Add", total, bias.reshape(-1, 1, 1))
    elif to.has(node, 2):
        total = to.op("Add", total, to.reshape(node.input[2], [-1, 1, 1]))
    volumes = to.reshape(total, [x[0], y[2], y[1], *y[3:]])
    to.op("Transpose", volumes, y=node.output[0], perm=[0, 2, 1, 3, 4])


def _transposed(to: Rewriter, node: onnx.NodeProto) -> None:
    """Along one axis or two only the padding is written out that `auto_pad` or `output_shape` means."""
    x, y, weight = to.shape(node.input[0]), to.shape(node.output[0]), to.value(node, 1)
    if x is None or y is None or weight is None:
        to.keep(node)
    elif weight.ndim == VOLUME_RANK:
        transposed_as_conv(to, node)
        to.again = True
    else:
        before, after = _crops(node, x, y, weight.shape[2:])
        if min(*before, *after) < 0:
            transposed_as_conv(to, node)
            return
        given = {name: attribute(node, name) for name in ("strides", "dilations", "group")}
        given = {name: value for name, value in given.items() if value is not None}
        to.op("ConvTranspose", *node.input, y=node.output[0], pads=[*before, *after], **given)


def _crops(node: onnx.NodeProto, x: Sequence[int], y: Sequence[int], kernel: Sequence[int]) -> tuple[list[int], ...]:
    """How much of the whole sum of a transposed convolution is cut off before and behind it, along each axis."""
    rank = len(kernel)
    strides, dilations = (attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    spans = [(x[2 + i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 for i in range(rank)]
    before = list(attribute(node, "pads", [0] * 2 * rank))[:rank]
    automatic = attribute(node, "auto_pad", b"NOTSET")
    if automatic != b"NOTSET" or attribute(node, "output_shape"):
        extra = attribute(node, "output_padding", [0] * rank)
        totals = [max(spans[i] + extra[i] - y[2 + i], 0) for i in range(rank)]
        before = [total // 2 if automatic == b"SAME_UPPER" else total - total // 2 for total in totals]
    return before, [spans[i] - before[i] - y[2 + i] for i in range(rank)]


def transposed_as_conv(to: Rewriter, node: onnx.NodeProto) -> None:
    """Write a transposed convolution as a convolution of its input with zeros between the elements."""
    x, y, weight = to.shape(node.input[0]), to.shape(node.output[0]), to.value(node, 1)
    assert x is not None
    assert y is not None
    assert weight is not None
    rank, group = weight.ndim - 2, attribute(node, "group", 1)
    strides, dilations = (list(attribute(node, name, [1] * rank)) for name in ("strides", "dilations"))
    before, after = _crops(node, x, y, weight.shape[2:])
    grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
    kernel = np.ascontiguousarray(np.flip(grouped.reshape(-1, *grouped.shape[2:]), tuple(range(2, 2 + rank))))
    reach = [dilations[i] * (weight.shape[2 + i] - 1) for i in range(rank)]
    pads = [*(reach[i] - before[i] for i in range(rank)), *(reach[i] - after[i] for i in range(rank))]
    spread = _with_zeros(to, node.input[0], x, strides)
    if min(pads) < 0:
        cut = [max(-pad, 0) for pad in pads]
        ends = [(x[2 + i] - 1) * strides[i] + 1 - cut[rank + i] for i in range(rank)]
        axes = np.arange(2, 2 + rank)
        spread = to.op("Slice", spread, np.array(cut[:rank]), np.array(ends), axes)
        pads = [max(pad, 0) for pad in pads]
    bias = [node.input[2]] if to.has(node, 2) else []
    to.op("Conv", spread, kernel, *bias, y=node.output[0], group=group, dilations=dilations, pads=pads)


def _with_zeros(to: Rewriter, x: str, shape: list[int], strides: list[int]) -> str:
    """Put stride - 1 zeros between neighbours along each axis."""
    if max(strides) == 1:
        return x
    spread, sizes = x, shape
    for axis, stride in enumerate(strides, start=2):
        if stride == 1:
            continue
        outer, inner = int(np.prod(sizes[:axis])), int(np.prod(sizes[axis + 1 :]))
        rows = to.reshape(spread, [outer, sizes[axis], inner])
        pads = np.array([0, 0, 0, 0, 0, (stride - 1) * inner], np.int64)
        rows = to.op("Pad", rows, pads)
        length = (sizes[axis] - 1) * stride + 1
        rows = to.reshape(rows, [outer, sizes[axis] * stride, inner])
        cut = [np.array([value], np.int64) for value in (0, length, 1)]
        sizes = [*sizes[:axis], length, *sizes[axis + 1 :]]
        spread = to.reshape(to.op("Slice", rows, *cut), sizes)
    return spread


RULES: dict[str, Rule] = {"Conv": _conv, "ConvTranspose": _transposed}
