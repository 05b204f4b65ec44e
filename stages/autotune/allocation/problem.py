"""The choice of bit widths for a network on a SOC: its variables, their costs, and the node bits that say a choice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from stages.autotune.allocation.cost_tables import CostTables
from stages.autotune.allocation.integer_program import BitAllocation, Limit, Table, solve, tabulate
from stages.autotune.allocation.variables import FEATURE, WEIGHT, Variable, find_variables
from stages.core.config.schema import FLOAT_BITS, Config
from stages.core.cost import CostModel
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.bit_widths import nearest_bit_width
from stages.quantize.quantizers.node_bits import NodeBits
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["AllocationProblem", "find_problem"]


@dataclass(frozen=True)
class AllocationProblem:
    """What there is to choose, and what it costs.

    Attributes:
        graph: the float network.
        setup: its quantizers at the experiment's bit widths.
        variables: in graph order, features first.
        given: the experiment's own node bits, which stay.
        config: the experiment.
        cost_model: times on its SOC.
    """

    graph: Graph
    setup: QuantizerSetup
    variables: tuple[Variable, ...]
    given: Mapping[str, NodeBits]
    config: Config
    cost_model: CostModel

    @cached_property
    def costs(self) -> CostTables:
        """What allocations cost."""
        return CostTables(self.graph, self.setup, self.variables, self.config.soc, self.cost_model)

    @cached_property
    def rules(self) -> list[Limit]:
        """What every allocation keeps: without float outputs, a layer whose output stays in float has float weights."""
        features = {member: variable for variable in self.of_kind(FEATURE) for member in variable.members}
        coupled = [
            (feature.name, weight.name)
            for weight in self.of_kind(WEIGHT)
            if (feature := features.get(weight.tensor)) and FLOAT_BITS in feature.bit_widths
        ]
        if self.config.soc.float_outputs or not coupled:
            return []
        return [Limit([tabulate(names, self.bit_widths, partial(_breaks, *names)) for names in coupled], 0.0)]

    def solve(self, objective: Sequence[Table], limits: Sequence[Limit]) -> dict[str, int] | None:
        """The allocation of least objective within limits and the rules; None if there is none."""
        return solve(self.bit_widths, objective, [*self.rules, *limits])

    @cached_property
    def bit_widths(self) -> dict[str, tuple[int, ...]]:
        """Variable -> bit widths that it may take."""
        return {variable.name: variable.bit_widths for variable in self.variables}

    def of_kind(self, kind: str) -> list[Variable]:
        """The variables of features, or of weights."""
        return [variable for variable in self.variables if variable.kind == kind]

    def integer_bit_widths(self, kind: str) -> list[int]:
        """All bit widths that features, or weights, may take, float left out; narrowest first."""
        return sorted({bits for variable in self.of_kind(kind) for bits in variable.integer_bit_widths})

    def uniform(self, feature_bits: int, weight_bits: int) -> dict[str, int]:
        """The allocation that `quant.feature_bits` and `quant.weight_bits` alone would give: none in float."""
        wanted = {FEATURE: feature_bits, WEIGHT: weight_bits}
        return {
            each.name: nearest_bit_width(wanted[each.kind], each.integer_bit_widths or each.bit_widths)
            for each in self.variables
        }

    def node_bits(self, allocation: BitAllocation) -> dict[str, NodeBits]:
        """Say an allocation as node bits, with the experiment's own ranges and bit widths."""
        by_node = dict(self.given)
        for variable in self.variables:
            bits = allocation[variable.name]
            keys: Iterable[str] = variable.keys if bits == FLOAT_BITS else (variable.node,)
            chosen = NodeBits(feature_bits=bits) if variable.kind == FEATURE else NodeBits(weight_bits=bits)
            by_node |= {key: chosen.over(by_node.get(key, NodeBits())) for key in keys}
        return by_node

    def layers_in_float(self, allocation: BitAllocation) -> list[str]:
        """The weighted layers that an allocation keeps in float, in graph order."""
        setup = place_quantizers(self.graph, self.config.soc, self.config.quant, self.node_bits(allocation))
        return [each.name for each in setup.layers if each.weighted(self.graph) and each.name not in setup.integer]


def find_problem(
    graph: Graph, config: Config, by_node: Mapping[str, NodeBits], cost_model: CostModel, allow_float: bool
) -> AllocationProblem:
    """Find what there is to choose.

    A feature may take the bit widths that the SOC's operators around it share, a weight those of its layer; where
    `by_node` gives a bit width it stays, and at the first and last layers none is below `quant.edge_bits`.

    Args:
        graph: the float network.
        config: the experiment.
        by_node: its node bits.
        cost_model: times on the SOC.
        allow_float: let everything that is not given stay in float too.
    """
    setup = place_quantizers(graph, config.soc, config.quant, by_node)
    variables = find_variables(graph, setup, allow_float)
    return AllocationProblem(graph, setup, tuple(variables), by_node, config, cost_model)


def _breaks(feature: str, weight: str, allocation: BitAllocation) -> float:
    """1 for an output in float of weights in codes, else 0."""
    return float(allocation[feature] == FLOAT_BITS != allocation[weight])
