"""Layer normalization, spelled out."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["layer_norm"]


def layer_norm(match: Match) -> list[onnx.NodeProto] | None:
    """Write (x - mean) / sqrt(variance + epsilon), times a scale, plus a shift, as LayerNormalization.

    The mean is over the last axes; scale and shift may be left out.
    """
    tensor, shift = _with_constant(match, match.node.output[0], "Add")
    tensor, scale = _with_constant(match, tensor, "Mul")
    found = _normalized(match, tensor)
    if found is None:
        return None
    x, first, epsilon = found
    sizes = (match.shape(x) or [])[first:]
    constants = [np.ones(sizes) if scale is None else scale, np.zeros(sizes) if shift is None else shift]
    spread = [_spread(value, sizes) for value in constants]
    if any(value is None for value in spread):
        return None
    names = [
        match.value(suffix, value)
        for suffix, value in zip(("scale", "shift"), spread, strict=True)
        if value is not None
    ]
    return match.finish("LayerNormalization", [x, *names], axis=first, epsilon=epsilon)


def _with_constant(match: Match, tensor: str, kind: str) -> tuple[str, np.ndarray | None]:
    """Take a constant summand or factor off a tensor, if it has one."""
    node = match.producer(tensor, kind)
    sides = match.sides(node) if node is not None else None
    return (sides[0], match.constant(sides[1])) if sides else (tensor, None)


def _spread(value: np.ndarray, sizes: list[int]) -> np.ndarray | None:
    """A scale or shift in the sizes of the normalized axes; None if it differs along others."""
    while value.ndim > len(sizes) and value.shape[0] == 1:
        value = value[0]
    if value.ndim > len(sizes):
        return None
    try:
        return np.ascontiguousarray(np.broadcast_to(value, sizes), np.float32)
    except ValueError:
        return None


def _normalized(match: Match, tensor: str) -> tuple[str, int, float] | None:
    """Read a tensor as (x - mean) / sqrt(variance + epsilon); gives x, the first axis of the mean, epsilon."""
    divided = match.producer(tensor, "Div")
    root = match.producer(divided.input[1], "Sqrt") if divided is not None else None
    shifted = match.shifted(root.input[0]) if root is not None else None
    if divided is None or shifted is None or shifted[1] <= 0:
        return None
    centered = _centered(match, divided.input[0])
    variance = match.producer(shifted[0], "ReduceMean")
    if centered is None or variance is None:
        return None
    x, axes = centered
    if _last_axes(match, variance) != axes or _square_of(match, variance.input[0]) != centered:
        return None
    return x, axes[0], shifted[1]


def _square_of(match: Match, tensor: str) -> tuple[str, list[int]] | None:
    """What, less its mean, a tensor is the square of."""
    node = match.producer(tensor, "Pow", "Mul")
    if node is None:
        return None
    if node.op_type == "Pow":
        return _centered(match, node.input[0]) if match.number(node.input[1]) == 2 else None
    left, right = (_centered(match, name) for name in node.input)
    return left if left == right else None


def _centered(match: Match, tensor: str) -> tuple[str, list[int]] | None:
    """Read a tensor as x less its mean over the last axes; gives x and the axes."""
    node = match.producer(tensor, "Sub")
    mean = match.producer(node.input[1], "ReduceMean") if node is not None else None
    if node is None or mean is None or mean.input[0] != node.input[0]:
        return None
    axes = _last_axes(match, mean)
    return (node.input[0], axes) if axes else None


def _last_axes(match: Match, mean: onnx.NodeProto) -> list[int] | None:
    """The axes of a mean that keeps them, if they are the last ones."""
    axes, shape = match.axes(mean), match.shape(mean.input[0])
    if not axes or shape is None or not attribute(mean, "keepdims", 1):
        return None
    return axes if axes == list(range(len(shape) - len(axes), len(shape))) else None
