"""Parts of a network that could be computed in the layout before a Transpose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["AXIS", "ELEMENTWISE", "Region", "axes_of", "data_inputs", "perm_of", "region_of"]

ELEMENTWISE = {
    "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh",
}  # fmt: skip
AXIS = {"ArgMax", "Concat", "LogSoftmax", "Softmax", "Split"}
"""Operators with an attribute `axis`, that give a tensor of the same rank."""
RESHAPES = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
AXES_OPSET = 13
"""From this opset on Softmax works along its axis alone."""


@dataclass
class Region:
    """What one Transpose leads to in operators that work in any layout.

    Attributes:
        perm: of the Transpose.
        tensors: in the order in which they are reached; they keep the layout before the Transpose, if the region is
            rewritten.
        nodes: indices of the operators inside.
        heads: indices of the Transposes that lead into the region, all with `perm`.
        undone: indices of the Transposes that end it, and are no longer needed.
        ends: indices of operators that read it and give the same output in either layout, such as a mean over pixels.
        entering: other computed operands, which need a Transpose.
        leaving: tensors that are also needed in the layout after the Transpose.
    """

    perm: list[int]
    tensors: dict[str, None] = field(default_factory=dict)
    nodes: set[int] = field(default_factory=set)
    heads: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    entering: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)

    @property
    def pays(self) -> bool:
        """Whether rewriting it leaves fewer Transposes."""
        return len(self.heads) + len(self.undone) > len(self.entering) + len(self.leaving)


def region_of(graph: Graph, nodes: Sequence[onnx.NodeProto], index_of: Mapping[str, int], start: int) -> Region:
    """Follow a Transpose through operators that work in any layout.

    Args:
        graph: the network.
        nodes: its nodes.
        index_of: first output of a node -> its index.
        start: index of the Transpose.
    """
    perm = perm_of(graph, nodes[start])
    region = Region(perm)
    if not perm or nodes[start].input[0] in graph.constants:
        return region
    inverse = list(np.argsort(perm))
    region.heads.add(start)
    pending = [nodes[start].output[0]]
    while pending:
        tensor = pending.pop()
        if tensor in region.tensors:
            continue
        region.tensors[tensor] = None
        if tensor in graph.outputs or tensor in graph.captured:
            region.leaving.add(tensor)
        for node in graph.consumers.get(tensor, []):
            if node.op_type == "Transpose" and perm_of(graph, node) == inverse:
                region.undone.add(index_of[node.output[0]])
            elif _ends(graph, node, perm):
                region.ends.add(index_of[node.output[0]])
            elif tensor in data_inputs(node) and _movable(graph, node, len(perm)):
                region.nodes.add(index_of[node.output[0]])
                pending.extend(node.output)
                pending.extend(_operands(graph, node, nodes, index_of, region))
            else:
                region.leaving.add(tensor)
    region.entering -= region.tensors.keys()
    around = any(nodes[head].input[0] in region.tensors for head in region.heads)
    return Region(perm) if around else region


def _operands(
    graph: Graph, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto], index_of: Mapping[str, int], region: Region
) -> list[str]:
    """Note the other operands of a node of a region; gives those that a Transpose like its own makes."""
    same = []
    for name in data_inputs(node):
        if not name or name in graph.constants or name in region.tensors:
            continue
        producer = index_of.get(name)
        alike = producer is not None and nodes[producer].op_type == "Transpose"
        if alike and producer is not None and perm_of(graph, nodes[producer]) == region.perm:
            region.heads.add(producer)
            same.append(name)
        else:
            region.entering.add(name)
    return same


def perm_of(graph: Graph, node: onnx.NodeProto) -> list[int]:
    """A Transpose's permutation; empty where it is not known."""
    rank = len(graph.shapes.get(node.input[0], []))
    return list(attribute(node, "perm", range(rank)[::-1]))


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs of a node that have the layout of its output."""
    several = node.op_type in ELEMENTWISE - {"Clip"} or node.op_type == "Concat"
    return list(node.input) if several else list(node.input[:1])


def _movable(graph: Graph, node: onnx.NodeProto, rank: int) -> bool:
    """Whether a node can work in another layout."""
    if not all(_fits(graph, name, rank) for name in data_inputs(node)):
        return False
    if node.op_type in ELEMENTWISE:
        return node.op_type != "Clip" or all(name in graph.constants for name in node.input[1:] if name)
    if node.op_type in AXIS:
        opset = max((each.version for each in graph.model.opset_import if each.domain in ("", "ai.onnx")), default=0)
        return opset >= AXES_OPSET and bool(attribute(node, "keepdims", 1))
    if node.op_type == "Pad":
        return len(node.input) in (2, 3) and node.input[1] in graph.constants
    return node.op_type == "ReduceMean" and attribute(node, "keepdims", 1) == 1 and axes_of(graph, node) is not None


def _fits(graph: Graph, name: str, rank: int) -> bool:
    """Whether an operand has the rank of a Transpose, or is a constant that broadcasts to it."""
    if name in graph.constants:
        return len(graph.constants[name].dims) <= rank
    shape = graph.shapes.get(name)
    return shape is not None and len(shape) == rank and name not in graph.captured


def _ends(graph: Graph, node: onnx.NodeProto, perm: Sequence[int]) -> bool:
    """Whether a node gives the same output in either layout, with its axes changed or as a Reshape."""
    shape, output = graph.shapes.get(node.input[0]), graph.shapes.get(node.output[0])
    if shape is None or output is None or len(shape) != len(perm):
        return False
    if node.op_type == "ReduceMean" and attribute(node, "keepdims", 1) == 0:
        axes = axes_of(graph, node)
        if axes is None:
            return False
        left = [perm[axis] for axis in range(len(perm)) if axis not in {each % len(perm) for each in axes}]
        return left == sorted(left)
    if node.op_type in RESHAPES:
        large = [perm[axis] for axis, size in enumerate(shape) if size != 1]
        return large == sorted(large)
    return False


def axes_of(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    """The axes of a ReduceMean; None where they are computed or left out."""
    axes = attribute(node, "axes")
    given = graph.constant(node.input[1]) if axes is None and len(node.input) > 1 else None
    return list(axes) if axes is not None else None if given is None else [int(axis) for axis in given]
