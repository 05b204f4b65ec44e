"""Which channels of which tensors can be scaled, and which only together.

A tensor's channels (axis 1) are numbered through the network. An operator that is homogeneous channel by channel,
f(x / r) = f(x) / r for positive r, ties its output's channels to its input's: they share a factor. A weighted layer
ties nothing: its weight takes up the factors of both sides. All else fixes what it touches at the factor 1.

A Clip at other bounds than zero, a ReLU6 say, is such another: no factor but 1 leaves it the same function. Scaling
only channels that calibration saw far below the bound would not do: on EfficientNet-Lite0, with a margin of 4 over
what a dozen pictures showed, other pictures moved the logits by 30 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.core.graph.onnx_graph import WEIGHTED, Graph, attribute
from stages.quantize.partition.layers import bias_of

__all__ = ["Channels", "Indices", "scaled_constants"]

FLOAT32_MAX = np.finfo(np.float32).max  # how exporters write a bound that is none

Indices = NDArray[np.int64]
Tie = tuple[str, Indices, str, Indices]
"""Two tensors and, pair by pair, the channels of the one and of the other that share a factor."""


@dataclass
class Channels:
    """The classes of channels that share a factor.

    Attributes:
        graph: the network.
        first: tensor -> number of its first channel; float32 tensors of a known shape of two axes or more.
        classes: int64 [channels of all tensors], the class of each: the least number in it.
        groups: tensor -> the group it belongs to: tensors that are tied together, named by the first of them.
        fixed: bool [channels of all tensors]; by class: whether its factor must be 1.
    """

    graph: Graph
    first: dict[str, int] = field(init=False)
    classes: Indices = field(init=False)
    groups: dict[str, str] = field(init=False)
    fixed: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        graph, self.first, count = self.graph, {}, 0
        for name in graph.float_tensors:
            if len(graph.shapes.get(name, ())) >= 2:
                self.first[name] = count
                count += graph.shapes[name][1]
        ties, fixed = self._ties()
        pairs = [(self.first[a] + i, self.first[b] + j) for a, i, b, j in ties]
        self.classes = _least_members(count, pairs)
        names = {name: index for index, name in enumerate(self.first)}
        group = _least_members(len(names), [(np.array([names[a]]), np.array([names[b]])) for a, _, b, _ in ties])
        listed = list(names)
        self.groups = {name: listed[group[index]] for name, index in names.items()}
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
            elif (rule := _RULES.get(node.op_type)) and (found := self._found(rule, node)) is not None:
                ties += found
                touched -= {name for tie in found for name in (tie[0], tie[2])}
            fixed |= touched
        return ties, fixed

    def _found(self, rule: "Rule", node: onnx.NodeProto) -> list[Tie] | None:
        """What a rule ties; None if the operator, in the form it has here, is not homogeneous."""
        features = [name for name in node.input if name and name not in self.graph.constants]
        if not features or not all(name in self.first for name in (features[0], node.output[0])):
            return None
        found = rule(self.graph, node)
        return found if found is not None and all(a in self.first and b in self.first for a, _, b, _ in found) else None


def scaled_constants(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """Constant operands that must be divided by the factors of the node's output: those of a sum, Max or Min."""
    return [name for name in node.input if name in graph.constants] if node.op_type in _SUMS else []


def _least_members(count: int, pairs: Sequence[tuple[Indices, Indices]]) -> Indices:
    """Join numbers 0..count-1 in pairs; gives each the least number that it is joined to: int64 [count]."""
    a, b = np.concatenate([np.zeros((2, 0), np.int64), *map(np.stack, pairs)], axis=1)
    labels: Indices = connected_components(coo_array((np.ones(len(a)), (a, b)), (count, count)), directed=False)[1]
    least: Indices = np.unique(labels, return_index=True)[1]
    return least[labels]


def _scalable(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a weighted layer's weight and bias are constants that can take up factors on axis 1 of both sides."""
    taken, made = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if node.input[0] in graph.constants or node.input[1] not in graph.constants or not taken or not made:
        return False
    if len(node.input) > 2 and node.input[2] and bias_of(graph, node) is None:
        return False
    if node.op_type == "MatMul":
        return len(graph.constants[node.input[1]].dims) == len(taken) == 2
    return node.op_type != "Gemm" or not attribute(node, "transA", 0)


# --- the operators that tie ---

Rule = Callable[[Graph, onnx.NodeProto], list[Tie] | None]


def _same(graph: Graph, name: str, output: str) -> list[Tie] | None:
    """Channel by channel, where both have as many."""
    before, after = graph.shapes.get(name, ()), graph.shapes.get(output, ())
    if len(before) < 2 or len(after) < 2 or before[1] != after[1]:
        return None
    channels = np.arange(before[1])
    return [(name, channels, output, channels)]


def _unary(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    return _same(graph, node.input[0], node.output[0])


def _clip(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Homogeneous only with bounds at zero or infinity, as a Relu's."""
    bounds = [graph.constant(name) for name in node.input[1:] if name]
    free = all(bound is not None and bool(np.all((bound == 0) | (np.abs(bound) >= FLOAT32_MAX))) for bound in bounds)
    return _unary(graph, node) if free else None


def _slope(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    return _unary(graph, node) if node.input[1] in graph.constants else None


def _sum(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Every computed operand; a constant one is divided by the factors, for which it must not widen the channels."""
    rank = len(graph.shapes[node.output[0]])
    ties: list[Tie] = []
    for name in node.input:
        if name in graph.constants:
            if len(graph.constants[name].dims) > rank:
                return None
        elif len(graph.shapes.get(name, ())) != rank or (tie := _same(graph, name, node.output[0])) is None:
            return None
        else:
            ties += tie
    return ties


def _times_constant(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    features = [name for name in node.input if name not in graph.constants]
    if len(features) != 1 or (node.op_type == "Div" and features != [node.input[0]]):
        return None
    widened = len(graph.shapes[features[0]]) != len(graph.shapes[node.output[0]])
    return None if widened else _same(graph, features[0], node.output[0])


def _spatial_mean(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    given = node.input[1] if len(node.input) > 1 else ""
    if given and given not in graph.constants:
        return None
    axes: Any = graph.constant(given) if given else attribute(node, "axes", ())
    rank = len(graph.shapes[node.input[0]])
    return _unary(graph, node) if len(axes) and all(int(axis) % rank > 1 for axis in axes) else None


def _pad(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    value = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.float32(0)
    if value is None or node.input[1] not in graph.constants or (len(node.input) > 3 and node.input[3]):
        return None
    pads = np.asarray(graph.constant(node.input[1])).reshape(2, -1)
    zeros = not value.any() or attribute(node, "mode", b"constant") != b"constant"
    return _unary(graph, node) if zeros and not pads[:, 1].any() else None


def _resize(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    crops = attribute(node, "coordinate_transformation_mode") == b"tf_crop_and_resize"
    return None if crops else _unary(graph, node)


def _slice(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    given = [graph.constant(name) if name else None for name in node.input[1:]]
    if len(given) < 2 or any(name and name not in graph.constants for name in node.input[1:]):
        return None
    starts, ends = (np.asarray(part).tolist() for part in given[:2])
    axes = range(len(starts)) if len(given) < 3 or given[2] is None else given[2].tolist()
    steps = [1] * len(starts) if len(given) < 4 or given[3] is None else given[3].tolist()
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    kept = np.arange(before[1])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % len(before) == 1:
            kept = kept[start:end:step]
    return [(node.input[0], kept, node.output[0], np.arange(after[1]))] if len(kept) == after[1] else None


def _split(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    rank = len(graph.shapes[node.input[0]])
    ties: list[Tie] = []
    start = 0
    for name in filter(None, node.output):
        if len(graph.shapes.get(name, ())) != rank:
            return None
        channels = np.arange(graph.shapes[name][1])
        ties.append((node.input[0], start + channels, name, channels))
        start += len(channels) if attribute(node, "axis", 0) % rank == 1 else 0
    return ties


def _concat(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    rank = len(graph.shapes[node.output[0]])
    ties: list[Tie] = []
    start = 0
    for name in node.input:
        if name in graph.constants or len(graph.shapes.get(name, ())) != rank:
            return None
        channels = np.arange(graph.shapes[name][1])
        ties.append((name, channels, node.output[0], start + channels))
        start += len(channels) if attribute(node, "axis", 0) % rank == 1 else 0
    return ties


def _reshape(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Values keep their order: a channel of the one is a part of a channel of the other, or several whole ones."""
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    sizes = [int(np.prod(shape[2:], dtype=np.int64)) for shape in (before, after)]
    if before[0] != after[0] or min(sizes) == 0 or max(sizes) % min(sizes):
        return None
    parts = np.arange(before[1] * sizes[0] // min(sizes))
    return [(node.input[0], parts * min(sizes) // sizes[0], node.output[0], parts * min(sizes) // sizes[1])]


def _transpose(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    return _unary(graph, node) if list(attribute(node, "perm", ()))[:2] == [0, 1] else None


_SUMS = {"Add", "Sub", "Max", "Min"}
_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("AveragePool", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MaxPool", "Relu"),
        _unary,
    ),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys(("Div", "Mul"), _times_constant),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Clip": _clip,
    "Concat": _concat,
    "Pad": _pad,
    "PRelu": _slope,
    "ReduceMean": _spatial_mean,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}
