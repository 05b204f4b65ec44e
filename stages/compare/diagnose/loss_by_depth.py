"""Where the outputs lose: the network up to a depth in integers, the rest in float, depth by depth.

A layer that errs much by itself may cost the outputs nothing, and one that errs little much. Here the loss is taken
where it counts: at the outputs. Each depth runs the float network from there on, on the tensors of the integer model.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import onnx
from onnx import helper

from stages.compare.gather.networks import Networks
from stages.compare.gather.picture_sets import DebugPictures
from stages.compare.gather.units import in_float_units
from stages.core.base.threads import in_order
from stages.core.graph.onnx_graph import WEIGHTED, Graph, output_name, subnetwork, used_names
from stages.core.graph.session import Runner, with_outputs
from stages.core.integer.model import inner_tensors
from stages.core.integer.simulator import simulator_model
from stages.core.outputs.output_error import NetworkError, Outputs
from stages.core.outputs.output_parts import parts_of_outputs
from stages.core.outputs.states import answering_outputs

__all__ = ["LayerLoss", "Losses", "loss_by_depth"]

MOST_PICTURES = 4
DEPTHS = 8
"""Depths that are tried at first, and then once more in each stretch where the loss is largest."""
STEEP, MOST_STEEP = 0.15, 2
"""Such stretches make this part of the loss each; so many are looked into."""
FRONT, MIN_LEFT = 0.8, 0.25
"""Part of the loss that arises in a front, and part of the layers with weights that lie behind it, at least."""
MOST_BLAMED = 6
"""Layers that are blamed together where the network cannot be taken apart between them."""
CAP = 1.0
"""An error of 1 is as bad as can be: what comes on top tells nothing."""


@dataclass(frozen=True)
class LayerLoss:
    """What a stretch of the network costs the outputs.

    Attributes:
        nodes: the layers of the stretch, names as in tables; one where it was told apart.
        before: relative error of the outputs with all before it in integers, at most 1.
        after: the same with the stretch in integers too.
        total: of the quantized network, at most 1.
    """

    nodes: Sequence[str]
    before: float
    after: float
    total: float

    @property
    def name(self) -> str:
        """The layer, or the first and the last of several."""
        return self.nodes[0] if len(self.nodes) == 1 else f"{self.nodes[0]} to {self.nodes[-1]}"

    @property
    def told_apart(self) -> bool:
        """Whether it is one layer, or so few that they can be blamed together."""
        return len(self.nodes) <= MOST_BLAMED

    @property
    def share(self) -> float:
        """Its part of the whole loss."""
        return (self.after - self.before) / self.total if self.total else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {"nodes": list(self.nodes), "before": self.before, "after": self.after, "share": self.share}


@dataclass(frozen=True)
class Losses:
    """Where the outputs lose.

    Attributes:
        stretches: of the network, the one that costs most first.
        front: the nodes up to which most of the loss arises, if that leaves enough layers for integers; else none.
    """

    stretches: Sequence[LayerLoss] = ()
    front: Sequence[str] = ()


@dataclass(frozen=True)
class _Depth:
    """A place where the network can be taken apart.

    Attributes:
        index: how many nodes lie before it.
        tensors: what the rest needs of those.
    """

    index: int
    tensors: Sequence[str]


def loss_by_depth(networks: Networks, pictures: DebugPictures) -> Losses:
    """Find the stretches that cost the outputs most, the worst first.

    Args:
        networks: the float network and its integer model.
        pictures: some of them are run.

    Returns:
        Nothing where the network cannot be taken apart.
    """
    depths = list(_depths(networks))
    if not depths:
        return Losses()
    end = len(networks.reference.nodes)
    coarse = _evenly(depths, DEPTHS)
    errors = {0: 0.0} | _errors(networks, pictures, coarse)
    total = errors[end] if end in errors else max(errors.values())
    fine = [
        place
        for low, high in _steep(errors)
        for place in _evenly([depth for depth in depths if low < depth.index < high], DEPTHS)
    ]
    if fine:
        errors |= _errors(networks, pictures, fine)
    places = sorted(errors)
    losses = [
        LayerLoss(_layers(networks, start, stop), errors[start], errors[stop], total)
        for start, stop in pairwise(places)
    ]
    stretches = sorted((loss for loss in losses if loss.nodes), key=lambda loss: loss.before - loss.after)
    return Losses(stretches, _front(networks.reference, depths, errors))


def _front(graph: Graph, depths: Sequence[_Depth], errors: Mapping[int, float]) -> list[str]:
    """The nodes at the first depth by which most of the loss has arisen."""
    by_index = {depth.index: depth for depth in depths}
    total = max(errors.values())
    start = next((index for index in sorted(errors) if index in by_index and errors[index] >= FRONT * total), None)
    if start is None:
        return []
    weighted = [node.op_type in WEIGHTED and node.input[1] in graph.constants for node in graph.nodes]
    if sum(weighted[start:]) < MIN_LEFT * sum(weighted):
        return []
    return [graph.producers[name].name for name in by_index[start].tensors]


def _steep(errors: Mapping[int, float]) -> list[tuple[int, int]]:
    """The stretches that make most of the loss: a few, and none that makes little."""
    pairs = sorted(pairwise(sorted(errors)), key=lambda pair: errors[pair[0]] - errors[pair[1]])
    least = STEEP * max(errors.values())
    return [pair for pair in pairs[:MOST_STEEP] if errors[pair[1]] - errors[pair[0]] >= least] or pairs[:1]


def _evenly(depths: Sequence[_Depth], count: int) -> list[_Depth]:
    """At most so many, evenly, the last one among them."""
    step = max(math.ceil(len(depths) / count), 1)
    return list(reversed(depths[::-1][::step]))


def _layers(networks: Networks, start: int, stop: int) -> list[str]:
    """The layers between two depths."""
    graph, layers = networks.reference, set(networks.layers)
    return [output_name(node, tensor) for node in graph.nodes[start:stop] for tensor in node.output if tensor in layers]


def _depths(networks: Networks) -> Iterator[_Depth]:
    """Where the network can be taken apart: between layers, where all that goes on is float."""
    graph = networks.reference
    inside, known = inner_tensors(networks.integer.graph.node), set(networks.node_names)
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in used_names([node])}
    last_use |= dict.fromkeys(graph.outputs, len(graph.nodes))
    live: dict[str, None] = {}
    for index, node in enumerate(graph.nodes, 1):
        live |= dict.fromkeys(name for name in node.output if name in last_use)
        live = {name: None for name in live if last_use[name] >= index}
        if live and set(live) <= known and inside.isdisjoint(live):
            yield _Depth(index, list(live))


def _errors(networks: Networks, pictures: DebugPictures, depths: Sequence[_Depth]) -> dict[int, float]:
    """Depth -> relative error of the outputs, at most 1, the worst part of them."""
    graph, factors = networks.reference, networks.params.factors
    outputs = answering_outputs(graph)
    tensors = list(dict.fromkeys(name for depth in depths for name in depth.tensors))
    integer = Runner(simulator_model(networks.integer, tensors), optimize="safe")
    reference = Runner(with_outputs(graph.model, outputs))
    parts = parts_of_outputs(graph)
    rests = {depth.index: _rest(graph, depth, outputs) for depth in depths}
    errors = {depth.index: NetworkError(parts) for depth in depths}

    def run(feeds: Outputs) -> tuple[Outputs, Outputs, dict[int, Outputs]]:
        """What is fed, what the float network gives, and what it gives from each depth on."""
        expected = reference.run(feeds)
        values = {name: in_float_units(name, array, factors) for name, array in integer.run(feeds).items()}
        computed = dict[int, Outputs]()
        for depth in depths:
            known, rest = {**feeds, **{name: values[name] for name in depth.tensors}}, rests[depth.index]
            after = rest.run({name: known[name] for name in rest.inputs}) if rest else {}
            computed[depth.index] = {name: after[name] if name in after else values[name] for name in outputs}
        return feeds, {name: expected[name] for name in outputs}, computed

    for fed, expected, computed in in_order(run, pictures.some_feeds(MOST_PICTURES)):
        for index, actual in computed.items():
            errors[index].add(expected, actual, fed)
    return {index: min(error.worst(), CAP) for index, error in errors.items()}


def _rest(graph: Graph, depth: _Depth, outputs: Sequence[str]) -> Runner | None:
    """The float network from a depth on; None where nothing follows."""
    nodes = graph.nodes[depth.index :]
    computed = {name for node in nodes for name in node.output}
    ends = [name for name in outputs if name in computed]
    if not ends:
        return None
    used = used_names(nodes)
    fed = [helper.make_value_info(name, graph.types[name]) for name in (*graph.inputs, *depth.tensors) if name in used]
    return Runner(subnetwork(graph, nodes, fed, [onnx.ValueInfoProto(name=name) for name in ends]))
