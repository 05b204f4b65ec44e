"""Sums and products with constants, in the operators that SOCs have: Add and Mul."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["batch_norm", "division", "negation", "power", "subtraction"]


def division(match: Match) -> list[onnx.NodeProto] | None:
    """Write x / c as x * (1 / c).

    Exact where c is a power of two; else the reciprocal is rounded to float32, an error of half a unit in the last
    place, which is far below what any code resolves.
    """
    x, divisor = match.node.input
    value = match.constant(divisor)
    if value is None or not match.is_float(x) or not np.all(np.isfinite(value) & (value != 0)):
        return None
    with np.errstate(over="ignore"):
        reciprocal = (1 / value.astype(np.float64)).astype(np.float32)
    if not np.all(np.isfinite(reciprocal) & (np.abs(reciprocal) >= np.finfo(np.float32).tiny)):
        return None
    return match.finish("Mul", [x, match.value("reciprocal", reciprocal)])


def power(match: Match) -> list[onnx.NodeProto] | None:
    """Write the square and the cube of a feature as products."""
    x, exponent = match.node.input
    number = match.number(exponent) if match.is_float(x) else None
    if number == 2:
        return match.finish("Mul", [x, x])
    if number == 3:
        return match.finish("Mul", [match.add("Mul", [x, x], "square"), x])
    return None


def negation(match: Match) -> list[onnx.NodeProto] | None:
    """Write -x as x * -1, which is exact."""
    x = match.node.input[0]
    return match.finish("Mul", [x, match.value("minus_one", -1.0)]) if match.is_float(x) else None


def subtraction(match: Match) -> list[onnx.NodeProto] | None:
    """Write x - c as x + (-c), which is exact."""
    x, subtracted = match.node.input
    value = match.constant(subtracted)
    if value is None or not match.is_float(x):
        return None
    return match.finish("Add", [x, match.value("negative", -value)])


def batch_norm(match: Match) -> list[onnx.NodeProto] | None:
    """Write a batch norm of vectors, [N, C], as a product and a sum."""
    node = match.node
    values = [match.constant(name) for name in node.input[1:5]]
    if len(match.shape(node.input[0]) or ()) != 2 or any(value is None for value in values):
        return None
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    scaled = match.add("Mul", [node.input[0], match.value("factor", factor)], "scale")
    return match.finish("Add", [scaled, match.value("summand", shift - mean * factor)])
