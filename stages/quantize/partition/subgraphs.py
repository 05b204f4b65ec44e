"""Cutting a network into subgraphs: a run of layers as an ONNX model of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from stages.core.graph.onnx_graph import Graph, captured_names, subnetwork
from stages.quantize.partition.layers import Layer

__all__ = ["Subgraph", "downstream_subgraph", "find_blocks", "inputs_of", "layer_subgraphs", "subgraph_model"]

MAX_WEIGHTED_LAYERS_PER_BLOCK = 4
"""Weighted layers of a block, unless a shortcut spans more."""


@dataclass(frozen=True)
class Subgraph:
    """Consecutive layers.

    Attributes:
        layers: in graph order.
        inputs: tensors that they consume: network inputs and outputs of earlier layers.
        outputs: tensors that they produce and that later layers consume or the network returns.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Their nodes, in graph order."""
        return [node for layer in self.layers for node in layer.nodes]


def layer_subgraphs(graph: Graph, layers: Sequence[Layer]) -> list[Subgraph]:
    """Make every layer a subgraph, several only where a tensor between them cannot be a model's input."""
    cutter = _Cutter(graph, layers)
    subgraphs, start = [], 0
    for end in range(len(layers)):
        if end == len(layers) - 1 or cutter.may_cut(start, end):
            subgraphs.append(cutter.subgraph(start, end))
            start = end + 1
    return subgraphs


def find_blocks(graph: Graph, layers: Sequence[Layer]) -> list[Subgraph]:
    """Group the layers into blocks to be learned one at a time.

    A block may end where one tensor leaves it and no earlier tensor is still needed soon: not inside a residual block,
    but inside the long arms of a feature pyramid. Within `MAX_WEIGHTED_LAYERS_PER_BLOCK` weighted layers it ends at the
    smallest such tensor, so that an expansion and the projection after it stay together and little has to be kept
    between blocks.
    Source for blocks as units: Y. Li et al., "BRECQ", ICLR 2021.
    """
    cutter = _Cutter(graph, layers)
    blocks, start = [], 0
    while start < len(layers):
        end = cutter.end_of_block(start)
        blocks.append(cutter.subgraph(start, end))
        start = end + 1
    return blocks


def downstream_subgraph(graph: Graph, layers: Sequence[Layer], tensor: str) -> Subgraph:
    """Collect the layers that a tensor reaches: all that has to run again when it changes.

    Layers between them that produce a tensor of unknown rank, which no model can have as an input, belong to it too.

    Returns:
        A subgraph whose layers need not be consecutive; its outputs are those of the network that the tensor reaches.
    """
    return _Cutter(graph, layers).downstream(tensor)


def subgraph_model(graph: Graph, subgraph: Subgraph) -> onnx.ModelProto:
    """Write a subgraph as a model: the graph's constants, its own inputs and outputs; names and types are kept."""
    inputs, outputs = (
        [helper.make_value_info(name, graph.types[name]) for name in names]
        for names in (subgraph.inputs, subgraph.outputs)
    )
    return subnetwork(graph, subgraph.nodes, inputs, outputs)


def inputs_of(subgraphs: Sequence[Subgraph]) -> set[str]:
    """All tensors that subgraphs consume."""
    return {name for subgraph in subgraphs for name in subgraph.inputs}


class _Cutter:
    def __init__(self, graph: Graph, layers: Sequence[Layer]) -> None:
        self._graph, self._layers = graph, layers
        self._outputs_of = [{name for node in layer.nodes for name in node.output if name} for layer in layers]
        self._inputs_of = [
            self._consumed(layer) - outputs for layer, outputs in zip(layers, self._outputs_of, strict=True)
        ]
        self._last = {name: i for i, inputs in enumerate(self._inputs_of) for name in inputs}  # last consumers
        self._last |= dict.fromkeys(graph.outputs, len(layers))
        self._weighted = [layer.weighted(graph) for layer in layers]

    def _consumed(self, layer: Layer) -> set[str]:
        """Computed tensors and network inputs that a layer's nodes name."""
        names = {name for node in layer.nodes for name in (*node.input, *captured_names(node)) if name}
        return {name for name in names if name in self._graph.producers or name in self._graph.inputs}

    def subgraph(self, start: int, end: int) -> Subgraph:
        layers = tuple(self._layers[start : end + 1])
        return Subgraph(layers, tuple(self._inputs(start, end)), tuple(self._outputs(start, end)))

    def _outputs(self, start: int, end: int) -> list[str]:
        outputs = [name for layer in self._layers[start : end + 1] for node in layer.nodes for name in node.output]
        return [name for name in outputs if self._last.get(name, -1) > end]

    def _inputs(self, start: int, end: int) -> list[str]:
        outputs = set().union(*self._outputs_of[start : end + 1])
        inputs = dict.fromkeys(name for i in range(start, end + 1) for name in sorted(self._inputs_of[i]))
        return [name for name in inputs if name not in outputs]

    def downstream(self, tensor: str) -> Subgraph:
        changed, reached = {tensor}, set()
        for index, layer_inputs in enumerate(self._inputs_of):
            if not changed.isdisjoint(layer_inputs):
                reached.add(index)
                changed |= self._outputs_of[index]
        producers = {name: index for index, outputs in enumerate(self._outputs_of) for name in outputs}
        inputs: list[str] = []
        pending = sorted(reached)
        while pending:  # from the end: the inputs of each layer
            index = pending.pop()
            for name in sorted(self._inputs_of[index]):
                producer = producers.get(name)
                if producer in reached or name in inputs:
                    continue
                if name == tensor or producer is None or self._of_known_rank(name):
                    inputs.append(name)
                else:
                    reached.add(producer)
                    pending.append(producer)
        consumed = {name for index in reached for name in self._inputs_of[index]}
        produced = {name for index in reached for name in self._outputs_of[index]}
        return Subgraph(
            tuple(self._layers[index] for index in sorted(reached)),
            tuple(name for name in inputs if name in consumed and name not in produced),
            tuple(name for name in self._graph.outputs if name in produced & changed),
        )

    def may_cut(self, start: int, end: int) -> bool:
        """Whether a subgraph's outputs have a known rank, as a model's inputs and outputs need."""
        return all(self._of_known_rank(name) for name in self._outputs(start, end))

    def _of_known_rank(self, name: str) -> bool:
        kind = self._graph.types.get(name)
        return kind is not None and kind.tensor_type.HasField("shape")

    def _may_end(self, start: int, end: int) -> bool:
        if not self.may_cut(start, end):
            return False
        leaving = [name for name in self._outputs(start, end) if self._near(end + 1, name)]
        open_shortcuts = [
            name for name in self._inputs(start, end) if end < self._last[name] and self._near(start, name)
        ]
        return len(leaving) <= 1 and not open_shortcuts

    def _near(self, start: int, name: str) -> bool:
        """Whether a tensor's last consumer is so close to a layer that it closes a shortcut rather than a long arm."""
        return sum(self._weighted[start : self._last[name]]) <= MAX_WEIGHTED_LAYERS_PER_BLOCK + 1

    def _size(self, start: int, end: int) -> int:
        return sum(math.prod(self._graph.shapes.get(name, [])) for name in self._outputs(start, end))

    def _pools(self, start: int, before: int, after: int) -> bool:
        """Whether a feature map becomes a vector in between: weights are learned from many positions before that."""
        areas = [
            max((math.prod(self._graph.shapes.get(name, [1])[2:]) for name in self._outputs(start, end)), default=1)
            for end in (before, after)
        ]
        return areas[0] > 1 and areas[1] == 1

    def end_of_block(self, start: int) -> int:
        best: int | None = None
        for end in range(start, len(self._layers)):
            count = sum(self._weighted[start : end + 1])
            if best is not None and count > MAX_WEIGHTED_LAYERS_PER_BLOCK:
                return best
            if end == len(self._layers) - 1:
                return best if best is not None and self._size(start, end) > self._size(start, best) else end
            if count and self._may_end(start, end):
                larger = best is not None and self._size(start, end) > self._size(start, best)
                if best is not None and (larger or self._pools(start, best, end)):
                    return best
                best = end
        return len(self._layers) - 1
