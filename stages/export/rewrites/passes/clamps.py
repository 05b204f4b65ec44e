"""Extremes with constants, as the activations that they are."""

import numpy as np
import onnx

from stages.export.rewrites.match import Match

__all__ = ["clip", "leaky_relu", "one_clip"]


def clip(match: Match) -> list[onnx.NodeProto] | None:
    """Write the larger, or the smaller, of a feature and a constant number as Clip."""
    node = match.node
    sides = match.sides(node) if len(node.input) == 2 else None
    bound = match.number(sides[1]) if sides else None
    if sides is None or bound is None or not match.is_float(sides[0]) or match.shape(sides[0]) is None:
        return None
    if len(match.shape(sides[1]) or ()) > len(match.shape(sides[0]) or ()):
        return None  # the constant would add axes
    value = match.value("bound", bound)
    return match.finish("Clip", [sides[0], value] if node.op_type == "Max" else [sides[0], "", value])


def one_clip(match: Match) -> list[onnx.NodeProto] | None:
    """Write a Clip of a Clip as one."""
    inner = match.producer(match.node.input[0], "Clip")
    if inner is None:
        return None
    low, high = -np.inf, np.inf
    for node in (inner, match.node):
        names = [match.input(index, node) for index in (1, 2)]
        bounds = [match.number(name) if name else None for name in names]
        if any(name and bound is None for name, bound in zip(names, bounds, strict=True)):
            return None
        first, last = (end if bound is None else bound for bound, end in zip(bounds, (-np.inf, np.inf), strict=True))
        low, high = min(max(low, first), last), min(max(high, first), last)
    ends = [match.value(name, end) if np.isfinite(end) else "" for name, end in (("low", low), ("high", high))]
    while ends and not ends[-1]:
        ends.pop()
    return match.finish("Clip", [inner.input[0], *ends])


def leaky_relu(match: Match) -> list[onnx.NodeProto] | None:
    """Write the larger of x and a * x, a from 0 to 1, as LeakyRelu."""
    if len(match.node.input) != 2:
        return None
    for x, other in (list(match.node.input), list(match.node.input)[::-1]):
        product = match.scaled(other)
        if product is not None and product[0] == x and 0 < product[1] < 1 and match.is_float(x):
            return match.finish("LeakyRelu", [x], alpha=product[1])
    return None
