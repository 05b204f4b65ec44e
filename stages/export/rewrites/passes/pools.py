"""Pools whose size is rounded up, or whose padding is a layer of its own."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["average_pool", "max_pool"]


def average_pool(match: Match) -> list[onnx.NodeProto] | None:
    """Write an average pool that rounds its size up with the pixels that this takes as padding.

    Padding is left out of the mean in both forms. Where it would count, only a pool that needs no such pixels is
    rewritten.
    """
    node = match.node
    before, after = match.shape(node.input[0]), match.shape(node.output[0])
    automatic = attribute(node, "auto_pad", b"NOTSET") != b"NOTSET"
    if not attribute(node, "ceil_mode", 0) or automatic or before is None or after is None:
        return None
    kernel = list(attribute(node, "kernel_shape"))
    rank = len(kernel)
    strides, dilations = (list(attribute(node, name, [1] * rank)) for name in ("strides", "dilations"))
    pads = list(attribute(node, "pads", [0] * (2 * rank)))
    extra = [
        (after[2 + i] - 1) * strides[i]
        + dilations[i] * (kernel[i] - 1)
        + 1
        - (before[2 + i] + pads[i] + pads[rank + i])
        for i in range(rank)
    ]
    counts_padding = bool(attribute(node, "count_include_pad", 0))
    if counts_padding and max(extra) > 0:
        return None
    wider = [pads[rank + i] + max(extra[i], 0) for i in range(rank)]
    if any(pad >= size for pad, size in zip([*pads[:rank], *wider], kernel * 2, strict=True)):
        return None
    attributes = {"dilations": dilations} if any(size != 1 for size in dilations) else {}
    return match.finish(
        "AveragePool",
        [node.input[0]],
        kernel_shape=kernel,
        strides=strides,
        pads=[*pads[:rank], *wider],
        count_include_pad=int(counts_padding),
        **attributes,
    )


def max_pool(match: Match) -> list[onnx.NodeProto] | None:
    """Write a max pool of a padded tensor with the padding in the pool: it looks past what nothing is below."""
    node = match.node
    pad = match.producer(node.input[0], "Pad")
    if pad is None or attribute(pad, "mode", b"constant") != b"constant" or match.input(3, pad):
        return None
    widths, fill = match.constant(match.input(1, pad)), match.number(match.input(2, pad))
    kernel = list(attribute(node, "kernel_shape"))
    if widths is None or fill is None or fill > np.finfo(np.float32).min or widths.size != 2 * (len(kernel) + 2):
        return None
    before, after = widths.reshape(2, -1).tolist()
    if (
        attribute(node, "ceil_mode", 0)
        or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET"
        or any(before[:2] + after[:2])
    ):
        return None
    own = list(attribute(node, "pads", [0] * (2 * len(kernel))))
    pads = [width + more for width, more in zip([*before[2:], *after[2:]], own, strict=True)]
    if any(not 0 <= width < size for width, size in zip(pads, kernel * 2, strict=True)):
        return None
    kept = {name: attribute(node, name) for name in ("kernel_shape", "strides", "dilations") if attribute(node, name)}
    return match.finish("MaxPool", [pad.input[0]], pads=pads, **kept)
