"""Sizes of windows: what a node says, or what its `auto_pad` means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from stages.core.graph.onnx_graph import attribute

__all__ = ["Slides", "slides_of"]


@dataclass(frozen=True)
class Slides:
    """How a window slides along some axes: one number an axis.

    Attributes:
        strides: from one output to the next.
        dilations: from one tap to the next.
        before: padding before the first element.
        after: padding behind the last element.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def attributes(self, axes: Sequence[int]) -> dict[str, Any]:
        """As attributes of a node, of these axes."""
        named = {name: [getattr(self, name)[axis] for axis in axes] for name in ("strides", "dilations")}
        return named | {"pads": [self.before[axis] for axis in axes] + [self.after[axis] for axis in axes]}


def slides_of(node: onnx.NodeProto, x: Sequence[int], y: Sequence[int], kernel: Sequence[int]) -> Slides:
    """Read how a pool's or convolution's window slides.

    Args:
        node: the node.
        x: sizes of its input along the spatial axes.
        y: of its output.
        kernel: of the window.

    Returns:
        The slides; the padding behind is what the last window needs, as where sizes are rounded up.
    """
    rank = len(kernel)
    strides, dilations = (tuple(attribute(node, name, [1] * rank)) for name in ("strides", "dilations"))
    spans = [(y[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 for i in range(rank)]
    automatic = attribute(node, "auto_pad", b"NOTSET").decode()
    if automatic == "NOTSET":
        before = list(attribute(node, "pads", [0] * (2 * rank)))[:rank]
    else:
        totals = [max(spans[i] - x[i], 0) for i in range(rank)]
        before = [total // 2 if automatic == "SAME_UPPER" else total - total // 2 for total in totals]
    after = tuple(max(spans[i] - x[i] - before[i], 0) for i in range(rank))
    return Slides(strides, dilations, tuple(before), after)
