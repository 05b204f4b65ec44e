"""What there is to choose: a variable for each feature and each weight, and what their widths cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from stages.autotune.solve import Allotment, Table, table
from stages.core.config.schema import FLOAT_BITS, Config
from stages.core.cost import CostModel, LayerWork, bit_operations, size
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import Layer, first_and_last_layers
from stages.quantize.quantizers.node_bits import FEATURE_BIT, MAX, MIN, WEIGHT_BIT, NodeBits
from stages.quantize.quantizers.setup import QuantizerSetup, WeightQuantizer, nearest_bit_width, place_quantizers

__all__ = ["FEATURE_BITS", "WEIGHT_BITS", "Problem", "Variable", "file_content", "find_problem", "from_content"]

FEATURE, WEIGHT = "feature", "weight"
FEATURE_BITS, WEIGHT_BITS = "feature bits", "weight bits"
"""Costs beside those of `options.COSTS`: the mean width of all elements of features, and of weights."""


@dataclass(frozen=True)
class Variable:
    """One width to choose: of a feature with all that shares its codes, or of a layer's weight.

    Attributes:
        name: the kind, and the tensor or the node.
        kind: "feature" or "weight".
        tensor: the feature whose codes are shared; of a weight the tensor that its layer makes.
        node: whose entry in a node-bits file sets it.
        members: tensors with its codes; empty for a weight.
        keys: entries of a node-bits file that together keep it in float.
        bit_widths: what it may take, narrowest first.
        elements: of all its members, or of the weight.
    """

    name: str
    kind: str
    tensor: str
    node: str
    members: tuple[str, ...]
    keys: tuple[str, ...]
    bit_widths: tuple[int, ...]
    elements: int


@dataclass(frozen=True)
class Problem:
    """The choices for a network on a SOC.

    Attributes:
        graph: the float network.
        setup: its quantizers at the experiment's widths.
        variables: in graph order, features first.
        given: the experiment's own node bits, which stay.
        cost: times on the SOC.
    """

    graph: Graph
    setup: QuantizerSetup
    variables: tuple[Variable, ...]
    given: Mapping[str, NodeBits]
    cost: CostModel

    @cached_property
    def bit_widths(self) -> dict[str, tuple[int, ...]]:
        """Variable -> widths that it may take."""
        return {entry.name: entry.bit_widths for entry in self.variables}

    def uniform(self, features: int, weights: int) -> dict[str, int]:
        """The allotment that `quant.feature_bits` and `quant.weight_bits` alone would give."""
        wanted = {FEATURE: features, WEIGHT: weights}
        return {entry.name: nearest_bit_width(wanted[entry.kind], entry.bit_widths) for entry in self.variables}

    def tables(self, kind: str) -> list[Table]:
        """The summands of a cost.

        Args:
            kind: "latency" (ms), "size" (bytes), "bitops", or a mean width: `FEATURE_BITS`, `WEIGHT_BITS`.

        Raises:
            UserError: for latency, if no times are known for the SOC.
        """
        if kind not in self._tables:
            layers = zip(self.setup.layers, self._works, strict=True)
            if kind in (FEATURE_BITS, WEIGHT_BITS):
                self._tables[kind] = self._mean_width(FEATURE if kind == FEATURE_BITS else WEIGHT)
            else:
                self._tables[kind] = [entry for layer, work in layers for entry in self._layer(kind, layer, work)]
        return self._tables[kind]

    def node_bits(self, allotment: Allotment) -> dict[str, NodeBits]:
        """Say an allotment as node bits, the experiment's own ranges and widths with it."""
        found = dict(self.given)
        for entry in self.variables:
            bits = allotment[entry.name]
            for key in entry.keys if bits == FLOAT_BITS else (entry.node,):
                said = NodeBits(feature_bits=bits) if entry.kind == FEATURE else NodeBits(weight_bits=bits)
                found[key] = said.over(found.get(key, NodeBits()))
        return found

    # --- costs ---

    @cached_property
    def _tables(self) -> dict[str, list[Table]]:
        """What was tabulated."""
        return {}

    @cached_property
    def _works(self) -> list[LayerWork]:
        return layer_work(self.graph, self.setup.layers)

    def _mean_width(self, kind: str) -> list[Table]:
        entries = [entry for entry in self.variables if entry.kind == kind]
        total = sum(entry.elements for entry in entries) or 1
        return [
            Table((entry.name,), np.array(entry.bit_widths, dtype=np.float64) * entry.elements / total)
            for entry in entries
        ]

    @cached_property
    def _fixed(self) -> dict[str, int]:
        """Widths of tensors with codes that are no variables: constant operands."""
        return {entry.tensor: entry.bits for entry in self.setup.features if entry.tensor not in self._features}

    @cached_property
    def _features(self) -> dict[str, str]:
        return {member: entry.name for entry in self.variables for member in entry.members}

    @cached_property
    def _weights(self) -> dict[str, str]:
        return {entry.node: entry.name for entry in self.variables if entry.kind == WEIGHT}

    def _layer(self, kind: str, layer: Layer, work: LayerWork) -> list[Table]:
        """A layer's cost. Of several operands each counts for its share of the elements, as if all had its width."""
        operands = list(dict.fromkeys(layer.operands(self.graph)))
        counts = [self._count(name) for name in operands]
        total, weight = sum(counts), self._weights.get(layer.first.name)
        shares = [(name, count / total) for name, count in zip(operands, counts, strict=True)] if total else [("", 1.0)]
        names = [[*self._variable(name), *self._variable(layer.output), *filter(None, [weight])] for name, _ in shares]

        def cost(name: str, share: float, allotment: Allotment) -> float:
            taken, made = self._bits(name, allotment), self._bits(layer.output, allotment)
            weighted = layer.weighted(self.graph)
            weights = allotment.get(weight or "", FLOAT_BITS) if weighted else taken
            runs = layer.name in self.setup.integer and FLOAT_BITS not in (taken, weights)
            if not runs or (made == FLOAT_BITS and not weighted):
                taken = weights = FLOAT_BITS
            if kind == "size":
                return share * size(work, weights)
            if kind == "bitops":
                return share * bit_operations(work, taken, weights)
            return share * self.cost.latency(work, taken, made, weights)

        return [
            table(needed, self.bit_widths, partial(cost, name, share))
            for needed, (name, share) in zip(names, shares, strict=True)
        ]

    def _variable(self, tensor: str) -> list[str]:
        return [self._features[tensor]] if tensor in self._features else []

    def _bits(self, tensor: str, allotment: Allotment) -> int:
        if tensor in self._features:
            return allotment[self._features[tensor]]
        return self._fixed.get(tensor, FLOAT_BITS)

    def _count(self, tensor: str) -> int:
        return _elements(self.graph, tensor)


def find_problem(
    graph: Graph, config: Config, by_node: Mapping[str, NodeBits], cost: CostModel, allow_float: bool
) -> Problem:
    """Find what there is to choose.

    A feature may take the widths that the SOC's operators around it share, a weight those of its layer; where
    `by_node` gives a width it stays, and at the network's edges none is below `quant.edge_bits`.

    Args:
        graph: the float network.
        config: the experiment.
        by_node: its node bits.
        cost: times on the SOC.
        allow_float: let everything that is not given stay in float too.
    """
    setup = place_quantizers(graph, config.soc, config.quant, by_node)
    finder = _Finder(graph, config, by_node, setup, allow_float)
    return Problem(graph, setup, (*finder.features(), *finder.weights()), by_node, cost)


class _Finder:
    def __init__(
        self,
        graph: Graph,
        config: Config,
        by_node: Mapping[str, NodeBits],
        setup: QuantizerSetup,
        allow_float: bool,
    ) -> None:
        self._graph, self._config, self._by_node, self._setup = graph, config, by_node, setup
        self._float = (FLOAT_BITS,) if allow_float else ()
        self._producers = {name: layer for layer in setup.layers for name in layer.nodes[-1].output}
        self._layers = {name: layer for layer in setup.layers for name in layer.names}
        ends = first_and_last_layers(graph, setup.layers) & setup.integer if config.quant.edge_bits else set()
        self._edges = {layer.first.name for layer in setup.layers if layer.name in ends}
        self._edge_tensors = {layer.first.input[0] for layer in setup.layers if layer.name in ends}

    def features(self) -> list[Variable]:
        members: dict[str, list[str]] = {}
        nodes = {entry.tensor: entry.node for entry in self._setup.features}
        for entry in self._setup.features:
            members.setdefault(entry.source, []).append(entry.tensor)
        found = []
        for entry in self._setup.features:
            if entry.source != entry.tensor or entry.tensor in self._graph.constants:
                continue
            group = members[entry.tensor]
            simulated = self._config.soc.simulated.feature_bits
            edge = not self._edge_tensors.isdisjoint(group)
            bit_widths = self._bit_widths(entry.bit_widths, simulated, edge)
            if self._said(entry.tensor, entry.node).feature_bits is not None:
                bit_widths = (entry.bits,)
            count = sum(_elements(self._graph, name) for name in group)
            keys = tuple(nodes[name] for name in group)
            found.append(
                Variable(
                    f"{FEATURE} {entry.tensor}",
                    FEATURE,
                    entry.tensor,
                    entry.node,
                    tuple(group),
                    keys,
                    bit_widths,
                    count,
                )
            )
        return found

    def weights(self) -> list[Variable]:
        return [self._weight(entry) for entry in self._setup.weights]

    def _weight(self, entry: WeightQuantizer) -> Variable:
        simulated = self._config.soc.simulated.weight_bits
        bit_widths = self._bit_widths(entry.bit_widths, simulated, entry.node in self._edges)
        if any(self._by_node.get(name, NodeBits()).weight_bits for name in self._layers[entry.node].names):
            bit_widths = (entry.bits,)
        count = math.prod(self._graph.constants[entry.tensor].dims)
        return Variable(
            f"{WEIGHT} {entry.node}", WEIGHT, entry.output, entry.node, (), (entry.node,), bit_widths, count
        )

    def _bit_widths(self, able: Sequence[int], simulated: Sequence[int], edge: bool) -> tuple[int, ...]:
        real = [width for width in able if width not in simulated]
        least = (self._config.quant.edge_bits or 0) if edge else 0
        return (*(real if not edge else [width for width in real if width >= least] or real[-1:]), *self._float)

    def _said(self, tensor: str, node: str) -> NodeBits:
        """What the experiment's node bits say of a tensor: of any node of its layer."""
        layer = self._producers.get(tensor)
        names = layer.names if layer is not None and layer.output == tensor else [node]
        said = NodeBits()
        for name in names:
            said = self._by_node.get(name, NodeBits()).over(said)
        return said


def _elements(graph: Graph, tensor: str) -> int:
    constant = graph.constants.get(tensor)
    return math.prod(graph.shapes.get(tensor, [0]) if constant is None else constant.dims)


def file_content(bits: Mapping[str, NodeBits]) -> dict[str, dict[str, Any]]:
    """Write node bits as `quant.node_bits` reads them."""

    def entry(said: NodeBits) -> dict[str, Any]:
        low, high = said.range or (None, None)
        pairs = {FEATURE_BIT: said.feature_bits, WEIGHT_BIT: said.weight_bits, MIN: low, MAX: high}
        return {key: value for key, value in pairs.items() if value is not None}

    return {name: entry(said) for name, said in bits.items()}


def from_content(content: Mapping[str, Mapping[str, Any]]) -> dict[str, NodeBits]:
    """Read what `file_content` wrote."""
    return {
        name: NodeBits(said.get(FEATURE_BIT), said.get(WEIGHT_BIT), (said[MIN], said[MAX]) if MIN in said else None)
        for name, said in content.items()
    }
