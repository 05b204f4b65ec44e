"""Tensors of several parts that share one scale: what is joined, taken apart, or an output of unlike channels."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.core.graph.onnx_graph import Graph, captured_names, output_name, subnetwork
from stages.core.graph.session import Runner
from stages.core.integer.operators import VIEWS

__all__ = ["Index", "Joint", "Part", "find_joints", "find_output_joints"]

MOVES = VIEWS | {"Concat", "DepthToSpace", "Slice", "SpaceToDepth", "Split", "Transpose"}
"""Operators whose output holds elements of their inputs and nothing else."""
TAKE_APART = ("Slice", "Split")
SAME_UNIT = {"HardSigmoid", "LogSoftmax", "Sigmoid", "Softmax", "Tanh"}
"""What bounds its output: all channels are of one unit there, and a small one is small beside the others too."""
MOST_ELEMENTS = 2**24
"""Up to here float32 counts without a gap."""
LOOKED_AT, LOOKED_AT_INSIDE = 2**20, 2**16
"""Elements of an output, and of a tensor inside, that are looked at, evenly over each part."""

Index = NDArray[np.int64]
"""Positions in a tensor as it lies in memory."""


@dataclass(frozen=True)
class Part:
    """Elements of a tensor that belong together.

    Attributes:
        name: for sentences: a node, or channels.
        index: where those that are looked at are in the tensor.
        source: the tensor that holds them by themselves before the joint; None where there is none.
        source_index: where they are in the source.
        whole: it is all of the source.
        joints: the nodes that join it to others on its way to the tensor, the first one first.
    """

    name: str
    index: Index
    source: str | None = None
    source_index: Index | None = None
    whole: bool = False
    joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joint:
    """A tensor of several parts.

    Attributes:
        tensor: its name.
        node: that computes it, or the values of which it consists.
        parts: its parts.
        chains: node that joins -> the nodes that hold joined values, itself first: those to keep in float.
        is_output: whether it is an output of the network.
        by_channel: the parts are channels, of which nothing says that they are unlike.
        alone: computes the tensor from inputs of `node` in float; None where the parts have sources.
        consumers: of a tensor inside, the layers that compute with it, and their outputs.
    """

    tensor: str
    node: str
    parts: Sequence[Part]
    chains: Mapping[str, Sequence[str]]
    is_output: bool
    by_channel: bool = False
    alone: onnx.ModelProto | None = None
    consumers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def runner(self) -> Runner | None:
        """Runs `alone`."""
        return Runner(self.alone) if self.alone else None


@dataclass(frozen=True)
class _Region:
    """What only moves elements on the way to a tensor: nodes in graph order, and the tensors that these begin with."""

    nodes: Sequence[onnx.NodeProto]
    leaves: Sequence[str]

    def computed(self, graph: Graph) -> list[str]:
        """The leaves that are no constants."""
        return [name for name in self.leaves if name not in graph.constants]


def find_joints(graph: Graph, coded: Collection[str]) -> list[Joint]:
    """Find the tensors whose parts are to be looked at one by one, in graph order.

    Each float output of the network: its parts are what Concat joined, through all that moves elements on the way to
    the output; if it joined nothing, the slices that consumers take apart, else the channels. Each tensor inside that
    Split or several Slices take apart. And each that a Concat joins for other layers.

    Args:
        graph: the float network, of static shapes.
        coded: tensors that have codes: channels, and what is joined inside, are told apart in these only.
    """
    known = [name for name in graph.float_tensors if name in graph.producers and _size(graph, name) <= MOST_ELEMENTS]
    chosen = {*graph.outputs, *(name for name in known if _takers(graph, name))}
    seen = {node.output[0] for name in known if name in chosen for node in _region(graph, name).nodes}
    inside = {name for name in known if name in coded and name not in seen and _is_joined(graph, name)}
    joints = (
        _inside(graph, name) if name in inside else _joint(graph, name, name in coded)
        for name in known
        if name in chosen | inside
    )
    return [_sampled(joint) for joint in joints if joint is not None]


def find_output_joints(graph: Graph) -> list[Joint]:
    """Find the parts of each float output that Concat joined or that consumers take apart; channels are no parts.

    Args:
        graph: the float network.
    """
    known = (name for name in graph.outputs if name in graph.float_tensors and name in graph.producers)
    joints = (_joint(graph, name, coded=False) for name in known if _size(graph, name) <= MOST_ELEMENTS)
    return [_sampled(joint) for joint in joints if joint is not None and len(joint.parts) > 1]


def _is_joined(graph: Graph, tensor: str) -> bool:
    node = graph.producers[tensor]
    return node.op_type == "Concat" and len({name for name in node.input if name not in graph.constants}) > 1


def _inside(graph: Graph, tensor: str) -> Joint | None:
    """What a Concat joins for layers that compute with it."""
    node = graph.producers[tensor]
    region = _Region([node], list(dict.fromkeys(node.input)))
    if sum(_size(graph, leaf) for leaf in region.leaves) > MOST_ELEMENTS:
        return None
    consumers = {other.name: other.output[0] for other in graph.consumers.get(tensor, [])}
    chains = {node.name: [node.name, *consumers]}
    parts = _joined(graph, tensor, region)
    return Joint(tensor, node.name, parts, chains, is_output=False, consumers=consumers)


def _sampled(joint: Joint) -> Joint:
    """Leave out elements of large tensors, evenly, so that memory does not grow with them."""
    most = LOOKED_AT if joint.is_output else LOOKED_AT_INSIDE
    step = -(-sum(len(part.index) for part in joint.parts) // most)
    if step < 2:
        return joint
    parts = [
        replace(
            part,
            index=part.index[::step].copy(),
            source_index=None if part.source_index is None else part.source_index[::step].copy(),
        )
        for part in joint.parts
    ]
    return replace(joint, parts=parts)


def _joint(graph: Graph, tensor: str, coded: bool) -> Joint | None:
    region = _region(graph, tensor)
    is_output = tensor in graph.outputs
    computed = region.computed(graph)
    if sum(_size(graph, leaf) for leaf in region.leaves) > MOST_ELEMENTS or not computed:
        return None
    if len(computed) > 1:
        joining = [node for node in region.nodes if node.op_type == "Concat"]
        chains = {node.name: _chain([node, *region.nodes, *_takers(graph, tensor)]) for node in joining}
        return Joint(tensor, joining[-1].name, _joined(graph, tensor, region), chains, is_output)
    producer = graph.producers.get(computed[0])
    if producer is None or captured_names(producer):
        return None
    parts, by_channel = _taken(graph, tensor), False
    if len(parts) < 2 and is_output and coded and producer.op_type not in SAME_UNIT:
        parts, by_channel = _channels(graph.shapes[tensor]), True
    if len(parts) < 2 and not is_output:
        return None
    parts = parts if len(parts) > 1 else [Part("", np.arange(_size(graph, tensor)))]
    chains = {producer.name: _chain([producer, *region.nodes, *_takers(graph, tensor)])}
    alone = _alone(graph, producer, region, tensor) if len(parts) > 1 else None
    return Joint(tensor, producer.name, parts, chains, is_output, by_channel, alone)


# --- regions ---


def _region(graph: Graph, tensor: str) -> _Region:
    names, leaves = set[str](), dict[str, None]()

    def walk(name: str) -> None:
        producer = graph.producers.get(name)
        if producer is None or not _moves(graph, producer):
            leaves[name] = None
        elif producer.output[0] not in names:
            names.add(producer.output[0])
            for source in _moved(producer):
                walk(source)

    walk(tensor)
    return _Region([node for node in graph.nodes if node.output[0] in names], list(leaves))


def _moves(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node moves elements, and always in the same way."""
    settings = node.input[len(_moved(node)) :]
    return node.op_type in MOVES and all(not name or name in graph.constants for name in settings)


def _moved(node: onnx.NodeProto) -> list[str]:
    return list(node.input) if node.op_type == "Concat" else list(node.input[:1])


def _takers(graph: Graph, tensor: str) -> list[onnx.NodeProto]:
    """The Split or the Slices that take a tensor apart; none if only one Slice cuts it."""
    nodes = [node for node in graph.consumers.get(tensor, []) if node.op_type in TAKE_APART and _moves(graph, node)]
    return nodes if sum(len(node.output) for node in nodes) > 1 else []


def _chain(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    """The names of a node, the first, and of those that follow from it, in graph order."""
    first, *others = nodes
    reached, chain = set(first.output), [first.name]
    for node in others:
        if node.name != first.name and not reached.isdisjoint(node.input):
            reached.update(node.output)
            chain.append(node.name)
    return chain


# --- parts ---


def _joined(graph: Graph, tensor: str, region: _Region) -> list[Part]:
    """The elements of each leaf that reach a tensor."""
    positions = _positions(graph, region.nodes, region.leaves, tensor)
    joints = _joints_of(graph, region)
    parts, start = [], 0
    for leaf in region.leaves:
        stop = start + _size(graph, leaf)
        index = np.flatnonzero((positions >= start) & (positions < stop))
        if len(index) and leaf not in graph.constants:
            name = output_name(graph.producers[leaf], leaf) if leaf in graph.producers else leaf
            whole = len(index) == _size(graph, leaf)
            parts.append(Part(name, index, leaf, positions[index] - start, whole, joints[leaf]))
        start = stop
    return parts


def _joints_of(graph: Graph, region: _Region) -> dict[str, tuple[str, ...]]:
    """Leaf -> the names of the nodes that join it to others, in graph order."""
    reached: dict[str, set[str]] = {leaf: {leaf} for leaf in region.leaves}
    joints: dict[str, list[str]] = {leaf: [] for leaf in region.leaves}
    for node in region.nodes:
        leaves = set[str]().union(*(reached[name] for name in _moved(node)))
        reached |= dict.fromkeys(node.output, leaves)
        if node.op_type == "Concat" and len(leaves - graph.constants.keys()) > 1:
            for leaf in leaves:
                joints[leaf].append(node.name)
    return {leaf: tuple(names) for leaf, names in joints.items()}


def _taken(graph: Graph, tensor: str) -> list[Part]:
    """What Split or Slices take out of a tensor."""
    nodes = _takers(graph, tensor)
    outputs = [name for node in nodes for name in node.output if name]
    parts: dict[bytes, Part] = {}
    for node in nodes:
        for name in filter(None, node.output):
            index = np.sort(_positions(graph, [node], [tensor], name))
            label = output_name(node, name) if len(outputs) > 1 else node.name
            parts.setdefault(index.tobytes(), Part(label, index))
    return list(parts.values())


def _channels(shape: Sequence[int]) -> list[Part]:
    """The channels of an output: its last axis where that counts the values of a row, else axis 1."""
    if len(shape) < 2:
        return []
    axis = 2 if len(shape) == 3 and shape[2] < shape[1] else 1
    if len(shape) > 4:
        axis = len(shape) - 1
    positions = np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), axis, 0).reshape(shape[axis], -1)
    return [Part(f"channel {number}", index) for number, index in enumerate(positions)]


def _positions(graph: Graph, nodes: Sequence[onnx.NodeProto], leaves: Sequence[str], tensor: str) -> Index:
    """Of each element of a tensor where it is in the leaves, one leaf after the other; [elements]."""
    if not nodes:
        return np.arange(_size(graph, tensor))
    fed, start = dict[str, NDArray[np.float32]](), 0
    for leaf in leaves:
        size = _size(graph, leaf)
        fed[leaf] = np.arange(start, start + size, dtype=np.float32).reshape(_shape(graph, leaf))
        start += size
    moved = Runner(_subgraph(graph, nodes, leaves, [tensor]), optimize="none").run(fed)
    return moved[tensor].reshape(-1).astype(np.int64)


# --- graphs ---


def _subgraph(
    graph: Graph, nodes: Sequence[onnx.NodeProto], inputs: Iterable[str], outputs: Iterable[str]
) -> onnx.ModelProto:
    """Nodes as a network of their own that takes floats, whatever its tensors were."""
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _shape(graph, name)) for name in inputs]
    return subnetwork(graph, nodes, infos, [onnx.ValueInfoProto(name=name) for name in outputs])


def _alone(graph: Graph, producer: onnx.NodeProto, region: _Region, tensor: str) -> onnx.ModelProto | None:
    """A node, and what moves its values, as a network of its own; None where that takes other than float tensors."""
    inputs = [name for name in dict.fromkeys(producer.input) if name and name not in graph.constants]
    if any(name not in graph.float_tensors or name not in graph.shapes for name in inputs):
        return None
    return _subgraph(graph, [producer, *region.nodes], inputs, [tensor])


def _shape(graph: Graph, tensor: str) -> list[int]:
    return list(graph.constants[tensor].dims) if tensor in graph.constants else graph.shapes[tensor]


def _size(graph: Graph, tensor: str) -> int:
    """Elements of a tensor; more than any may have where its shape is not known."""
    known = tensor in graph.constants or tensor in graph.shapes
    return int(np.prod(_shape(graph, tensor), dtype=np.int64)) if known else MOST_ELEMENTS + 1
