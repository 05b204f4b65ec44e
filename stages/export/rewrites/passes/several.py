"""Operators of any number of operands, and Swish, in operators of two."""

import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["several", "swish"]


def several(match: Match) -> list[onnx.NodeProto] | None:
    """Write a Sum as Adds, and a Mean as these times 1 / number."""
    names = list(match.node.input)
    if not any(match.is_float(name) for name in names) or len(names) == 1:
        return None
    averaged = match.node.op_type == "Mean"
    total = names[0]
    for index, name in enumerate(names[1:], start=1):
        if index == len(names) - 1 and not averaged:
            return match.finish("Add", [total, name])
        total = match.add("Add", [total, name], f"sum_{index}")
    return match.finish("Mul", [total, match.value("share", 1.0 / len(names))])


def swish(match: Match) -> list[onnx.NodeProto] | None:
    """Write Swish as x * Sigmoid(x), which SOCs run as one layer."""
    x, alpha = match.node.input[0], attribute(match.node, "alpha", 1.0)
    scaled = x if alpha == 1 else match.add("Mul", [x, match.value("alpha", float(alpha))], "scaled")
    return match.finish("Mul", [x, match.add("Sigmoid", [scaled], "Sigmoid")])
