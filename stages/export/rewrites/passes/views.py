"""Operators in a row that only give the same values other sizes, as one."""

import onnx

from stages.export.rewrites.match import Match

__all__ = ["one_view"]

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def one_view(match: Match) -> list[onnx.NodeProto] | None:
    """Write two or more of Reshape, Flatten, Squeeze, Unsqueeze as one Reshape, or none where the sizes are the same.

    A single one stays: every SOC runs each of them on codes as they are.
    """
    first = match.node
    before, sizes = None, match.shape(match.node.output[0])
    while (node := match.producer(first.input[0], *VIEWS)) is not None and _only_read_here(match, first.input[0]):
        before, first = node, node
    if before is None or sizes is None or 0 in sizes or not match.is_float(first.input[0]):
        return None
    return match.finish("Reshape", [first.input[0], match.value("sizes", sizes)])


def _only_read_here(match: Match, tensor: str) -> bool:
    graph = match.graph
    return len(graph.consumers[tensor]) == 1 and tensor not in graph.outputs and tensor not in graph.captured
