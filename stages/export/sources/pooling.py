"""Pooling with windows that reach beyond the padding, in ONNX without its ceil_mode.

Where the number of windows is rounded up, padding behind the feature makes rounding down give as many. An average
divides by all that a window has of the feature and its padding, but not by what lies beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["Pool", "add_pool", "padding_at_end"]


@dataclass(frozen=True)
class Pool:
    """How a feature is pooled; each a value an axis, rows first.

    Attributes:
        average: the mean of a window; else its maximum.
        kernel: size of a window.
        strides: its steps.
        pads: padding on either side.
        ends: padding behind the axis with which rounding down gives the number of windows.
        counts_padding: an average divides by the padding too.
    """

    average: bool
    kernel: Sequence[int]
    strides: Sequence[int]
    pads: Sequence[int]
    ends: Sequence[int]
    counts_padding: bool = True


def padding_at_end(size: int, kernel: int, stride: int, pad: int, *, clipped: bool) -> int:
    """Padding behind an axis with which rounding down gives as many windows as rounding up with `pad` on both sides.

    Args:
        size: of the axis.
        kernel: of the window.
        stride: its step.
        pad: on both sides.
        clipped: a window has to start before the padding ends, as in Caffe.
    """
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    if clipped and (count - 1) * stride >= size + pad:
        count -= 1
    return max((count - 1) * stride + kernel - size - pad, 0)


def add_pool(graph: GraphBuilder, pool: Pool, value: str, name: str, outputs: Sequence[str]) -> str:
    """Add the node, and a Pad before it where an average needs it; gives the output.

    One window over the whole feature is a global pool: more runtimes have that.
    """
    if tuple(pool.kernel) == graph.shapes[value][2:] and not any((*pool.pads, *pool.ends)):
        return graph.add("GlobalAveragePool" if pool.average else "GlobalMaxPool", [value], name, outputs)
    pads, settings = [*pool.pads, *pool.ends], {}
    beyond = np.subtract(pool.ends, pool.pads)
    if pool.average and pool.counts_padding and any(pool.pads):
        if (beyond > 0).any():
            both = graph.constant(f"{name}/pads", [0, 0, *pool.pads, 0, 0, *pool.pads])
            value = graph.add("Pad", [value, both], f"{name}/Pad")
            pads = [0] * len(pool.pads) + beyond.clip(0).tolist()
        else:
            pads, settings = [*pool.pads, *pool.pads], {"count_include_pad": 1}
    return graph.add(
        "AveragePool" if pool.average else "MaxPool",
        [value],
        name,
        outputs,
        kernel_shape=pool.kernel,
        strides=pool.strides,
        pads=pads,
        **settings,
    )
