"""Which channels of which tensors can be scaled, and which only together.

A tensor's channels (axis 1) are numbered through the network. An operator that is homogeneous channel by channel,
f(x / r) = f(x) / r for positive r, ties its output's channels to its input's: they share a factor. A weighted layer
ties nothing: its weight takes up the factors of both sides. All else fixes what it touches at the factor 1.

A Clip at other bounds than zero, a ReLU6 say, is such another: no factor but 1 leaves it the same function. Scaling
only channels that calibration saw far below the bound would not do: on EfficientNet-Lite0, with a margin of 4 over
the values on a dozen pictures, other pictures moved the logits by 30 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators import WEIGHTED
from stages.quantize.operators import ONNX_OPERATORS
from stages.quantize.operators.onnx_operator import Indices, Tie, tie_unary
from stages.quantize.partition.nodes import bias_of, clamp_bounds

__all__ = ["Channels", "Indices", "scaled_constants"]


@dataclass
class Channels:
    """The classes of channels that share a factor.

    Attributes:
        graph: the network.
        through_clips: a Clip that begins at 0 ties too: its upper bound is left to the feature's threshold.
        clips: output of such a Clip -> its input, and the bound.
        first: tensor -> number of its first channel; float32 tensors of a known shape of two axes or more.
        classes: int64 [channels of all tensors], the class of each: the least number in it.
        groups: tensor -> the group it belongs to: tensors that are tied together, named by the first of them.
        fixed: bool [channels of all tensors]; by class: whether its factor must be 1.
    """

    graph: Graph
    through_clips: bool = False
    clips: dict[str, tuple[str, float]] = field(init=False)
    first: dict[str, int] = field(init=False)
    classes: Indices = field(init=False)
    groups: dict[str, str] = field(init=False)
    fixed: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        graph, self.first, self.clips, count = self.graph, {}, {}, 0
        for name in graph.float_tensors:
            if len(graph.shapes.get(name, ())) >= 2:
                self.first[name] = count
                count += graph.shapes[name][1]
        ties, fixed = self._ties()
        pairs = [(self.first[a] + i, self.first[b] + j) for a, i, b, j in ties]
        self.classes = _least_members(count, pairs)
        names = {name: index for index, name in enumerate(self.first)}
        group = _least_members(len(names), [(np.array([names[a]]), np.array([names[b]])) for a, _, b, _ in ties])
        tensors = list(names)
        self.groups = {name: tensors[group[index]] for name, index in names.items()}
        self.fixed = np.zeros(count, dtype=np.bool_)
        for name in fixed:
            self.fixed[self.of(name)] = True

    def of(self, tensor: str) -> Indices:
        """Give the class of each channel of a tensor: int64 [C]."""
        start = self.first[tensor]
        return self.classes[start : start + self.graph.shapes[tensor][1]]

    def _ties(self) -> tuple[list[Tie], set[str]]:
        """All ties, and the tensors that are fixed."""
        graph = self.graph
        ties: list[Tie] = []
        fixed = {name for name in (*graph.inputs, *graph.outputs, *graph.captured) if name in self.first}
        for node in graph.nodes:
            touched = {name for name in (*node.input, *node.output) if name in self.first}
            if node.op_type in WEIGHTED and _scalable(graph, node):
                touched -= {node.input[0], node.output[0]}
            elif (own := self._ties_of(node)) is not None:
                ties += own
                touched -= {name for tie in own for name in (tie[0], tie[2])}
            fixed |= touched
        return ties, fixed

    def _ties_of(self, node: onnx.NodeProto) -> list[Tie] | None:
        """The ties of a node; None if the operator, in the form it has here, is not homogeneous."""
        operator = ONNX_OPERATORS.get(node.op_type)
        features = [name for name in node.input if name and name not in self.graph.constants]
        if operator is None or operator.ties is None or not features:
            return None
        if not all(name in self.first for name in (features[0], node.output[0])):
            return None
        if self.through_clips and node.op_type == "Clip" and (bounds := clamp_bounds(self.graph, node))[0] == 0.0:
            self.clips[node.output[0]] = node.input[0], bounds[1]
            return tie_unary(self.graph, node)
        ties = operator.ties(self.graph, node)
        return ties if ties is not None and all(a in self.first and b in self.first for a, _, b, _ in ties) else None


def scaled_constants(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """Constant operands that must be divided by the factors of the node's output: those of a sum, Max or Min."""
    operator = ONNX_OPERATORS.get(node.op_type)
    divides = operator is not None and operator.divides_constants
    return [name for name in node.input if name in graph.constants] if divides else []


def _least_members(count: int, pairs: Sequence[tuple[Indices, Indices]]) -> Indices:
    """Join numbers 0..count-1 in pairs; gives each the least number that it is joined to: int64 [count]."""
    a, b = np.concatenate([np.zeros((2, 0), np.int64), *map(np.stack, pairs)], axis=1)
    labels: Indices = connected_components(coo_array((np.ones(len(a)), (a, b)), (count, count)), directed=False)[1]
    least: Indices = np.unique(labels, return_index=True)[1]
    return least[labels]


def _scalable(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a weighted layer's weight and bias are constants that can take up factors on axis 1 of both sides."""
    x_shape, y_shape = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if node.input[0] in graph.constants or node.input[1] not in graph.constants or not x_shape or not y_shape:
        return False
    if len(node.input) > 2 and node.input[2] and bias_of(graph, node) is None:
        return False
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) == len(x_shape) == 2
    return node.op_type != "Gemm" or not attribute(node, "transA", 0)
