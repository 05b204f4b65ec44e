"""Facts about single nodes of the float network that several folders of quantize ask for."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["bias_of", "bounded", "clamp_bounds", "sliding_window"]


def bias_of(graph: Graph, node: onnx.NodeProto) -> NDArray[np.float32] | None:
    """A weighted node's constant bias, one value an output channel; None if it has none."""
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is None:
        return None
    channels = graph.shapes[node.output[0]][-1 if node.op_type in ("Gemm", "MatMul") else 1]
    fits = bias.size in (1, channels) and bias.size == (bias.shape or (1,))[-1]
    return np.broadcast_to(bias.reshape(-1), (channels,)) if fits else None


def sliding_window(graph: Graph, node: onnx.NodeProto, kernel: Sequence[int]) -> dict[str, list[int]]:
    """Strides, dilations and pads of a sliding window (a convolution's or a pool's), all written out."""
    rank = len(kernel)
    strides = list(attribute(node, "strides", [1] * rank))
    dilations = list(attribute(node, "dilations", [1] * rank))
    pads = list(attribute(node, "pads", [0] * 2 * rank))
    automatic = attribute(node, "auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
        before, after = graph.shapes[node.input[0]][2:], graph.shapes[node.output[0]][2:]
        totals = [
            max((after[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - before[i], 0) for i in range(rank)
        ]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pads = [*small, *large] if automatic == b"SAME_UPPER" else [*large, *small]
    return {"strides": strides, "dilations": dilations, "pads": pads}


def clamp_bounds(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """The real bounds of a Relu or of a Clip with constant bounds."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    bounds = [graph.constant(name) if name else None for name in node.input[1:3]]
    low, high = (*bounds, None, None)[:2]
    return (-np.inf if low is None else float(low.item())), (np.inf if high is None else float(high.item()))


def bounded(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a clamp's bounds are constants."""
    return all(name in graph.constants for name in node.input[1:] if name)
