"""Einsum of two operands, as a matrix product of reordered axes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["einsum"]


def einsum(match: Match) -> list[onnx.NodeProto] | None:
    """Write an Einsum of two operands as Transpose, Reshape, MatMul, Reshape and Transpose, as far as each is needed.

    Axes that both operands and the result have are a batch; those that only the operands share are summed over. A
    constant operand is reordered here. Forms with `...`, with an axis twice in an operand, or with an axis that is
    summed in one operand alone stay.
    """
    equation = attribute(match.node, "equation", b"").decode().replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    shapes = [match.shape(name) for name in match.node.input]
    if len(parts) != 2 or not arrow or "." in equation or any(shape is None for shape in shapes):
        return None
    left, right = parts
    sizes = {
        axis: size
        for part, shape in zip(parts, shapes, strict=True)
        for axis, size in zip(part, shape or (), strict=True)
    }
    shared = set(left) & set(right)
    alone = (set(left) ^ set(right)) - set(result)
    if alone or any(len(set(part)) < len(part) for part in (left, right, result)):
        return None
    batch = [axis for axis in result if axis in shared]
    summed = [axis for axis in left if axis in shared and axis not in result]
    rows, columns = ([axis for axis in result if axis in part and axis not in shared] for part in parts)
    if not summed:
        return None
    one = _ordered(match, 0, left, [batch, rows, summed], sizes)
    other = _ordered(match, 1, right, [batch, summed, columns], sizes)
    order = [*batch, *rows, *columns]
    perm = [order.index(axis) for axis in result]
    if perm == sorted(perm) and len(rows) == len(columns) == 1:
        return match.finish("MatMul", [one, other])
    product = match.add("MatMul", [one, other], "product")
    whole = [product, match.value("sizes", np.array([sizes[axis] for axis in order], np.int64))]
    if perm == sorted(perm):
        return match.finish("Reshape", whole)
    return match.finish("Transpose", [match.add("Reshape", whole, "split")], perm=perm)


def _ordered(match: Match, index: int, axes: str, groups: Sequence[Sequence[str]], sizes: Mapping[str, int]) -> str:
    """An operand with its axes in groups: the batch as they are, each other group as one axis."""
    name, suffix = match.input(index), ("left", "right")[index]
    perm = [axes.index(axis) for group in groups for axis in group]
    batch, *others = groups
    shape = [*(sizes[axis] for axis in batch), *(math.prod(sizes[axis] for axis in group) for group in others)]
    value = match.constant(name)
    if value is not None:
        return match.value(suffix, value.transpose(perm).reshape(shape))
    if perm != sorted(perm):
        name = match.add("Transpose", [name], f"{suffix}_ordered", perm=perm)
    if all(len(group) == 1 for group in others):
        return name
    return match.add("Reshape", [name, match.value(f"{suffix}_sizes", np.array(shape, np.int64))], f"{suffix}_matrix")
