"""Tensors that are infinite in places by design: masks, and the padding of what looks for the largest value.

Networks write minus infinity where nothing is: attention masks, pitches that are out of range, borders of a max pool.
Such values are no part of a range, and no code stands for them.
"""

import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, used_names

__all__ = ["infinite_tensors", "without_infinity"]

FINITE = {
    "Softmax", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Exp", "Relu", "Clip", "Max", "MaxPool", "GlobalMaxPool",
    "ReduceMax", "ReduceLogSumExp", "TopK", "Shape", "Size",
}  # fmt: skip
"""Operators that make minus infinity finite, or leave it out."""


def infinite_tensors(graph: Graph) -> set[str]:
    """Name the computed tensors that may hold infinity since a constant of the network does."""
    found = {name for name in graph.constants if _is_infinite(graph, name)}
    constants = set(found)
    for node in graph.nodes if found else ():
        if node.op_type not in FINITE and not found.isdisjoint(used_names([node])):
            found.update(name for name in node.output if name)
    return found - constants


def without_infinity(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the least and the greatest finite value in the places of infinity; 0 where all are infinite.

    NaN stays.
    """
    infinite = np.isinf(values)
    if not infinite.any():
        return values
    finite = values[~infinite]
    low, high = (finite.min(), finite.max()) if finite.size else (np.float32(0), np.float32(0))
    return np.where(infinite, np.where(values < 0, low, high), values).astype(np.float32)


def _is_infinite(graph: Graph, name: str) -> bool:
    value = graph.constant(name)
    return value is not None and value.dtype.kind == "f" and bool(np.isinf(value).any())
