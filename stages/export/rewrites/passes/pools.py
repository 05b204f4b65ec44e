"""Pools whose size is rounded up."""

import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["average_pool"]


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
