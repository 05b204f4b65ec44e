"""What an allocation costs: time, bytes, bit operations and mean bit widths, as tables over the variables."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

import numpy as np

from stages.autotune.allocation.integer_program import BitAllocation, Table, tabulate, total
from stages.autotune.allocation.variables import FEATURE, WEIGHT, Variable, element_count
from stages.core.config.schema import FLOAT_BITS, SocConfig
from stages.core.cost import CostModel, LayerWork, bit_operations, size
from stages.core.graph.onnx_graph import Graph
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import Layer
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["BITOPS", "FEATURE_BITS", "LATENCY", "MEAN_BITS", "SIZE", "WEIGHT_BITS", "CostTables"]

LATENCY, SIZE, BITOPS = "latency", "size", "bitops"
"""Costs: ms, bytes of the weights, multiplications times the bits of both operands."""
FEATURE_BITS, WEIGHT_BITS = "feature bits", "weight bits"
"""Costs: the mean bit width of all elements of features, and of weights."""
MEAN_BITS = "bits"
"""A cost that no table has: the mean of FEATURE_BITS and WEIGHT_BITS."""


class CostTables:
    """The costs of a network's allocations; each is tabulated once.

    Args:
        graph: the float network.
        setup: its quantizers.
        variables: what is chosen.
        soc: what a layer in float returns, and computes with.
        cost_model: times on it.
    """

    def __init__(
        self, graph: Graph, setup: QuantizerSetup, variables: Sequence[Variable], soc: SocConfig, cost_model: CostModel
    ) -> None:
        self._graph, self._setup, self._variables = graph, setup, variables
        self._soc, self._cost_model = soc, cost_model
        self._bit_widths = {variable.name: variable.bit_widths for variable in variables}
        self._features = {member: variable.name for variable in variables for member in variable.members}
        self._weights = {variable.node: variable.name for variable in variables if variable.kind == WEIGHT}
        self._constants = {
            feature.tensor: feature.bits for feature in setup.features if feature.tensor not in self._features
        }
        self._read_in_float = {feature.tensor for feature in setup.features if feature.float_consumers}
        self._tables: dict[str, list[Table]] = {}

    def of(self, cost: str) -> list[Table]:
        """The summands of a cost.

        Raises:
            UserError: for LATENCY, if no times are known for the SOC.
        """
        if cost not in self._tables:
            if cost in (FEATURE_BITS, WEIGHT_BITS):
                self._tables[cost] = self._mean_bits(FEATURE if cost == FEATURE_BITS else WEIGHT)
            else:
                layers = zip(self._setup.layers, self._layer_work, strict=True)
                self._tables[cost] = [table for layer, work in layers for table in self._of_layer(cost, layer, work)]
        return self._tables[cost]

    def total(self, cost: str, allocation: BitAllocation) -> float:
        """What an allocation costs, in the cost's unit."""
        if cost == MEAN_BITS:
            return (self.total(FEATURE_BITS, allocation) + self.total(WEIGHT_BITS, allocation)) / 2
        return total(self.of(cost), self._bit_widths, allocation)

    @cached_property
    def _layer_work(self) -> list[LayerWork]:
        return layer_work(self._graph, self._setup.layers)

    def _mean_bits(self, kind: str) -> list[Table]:
        variables = [variable for variable in self._variables if variable.kind == kind]
        elements = sum(variable.elements for variable in variables) or 1
        return [
            Table((variable.name,), np.array(variable.bit_widths, dtype=np.float64) * variable.elements / elements)
            for variable in variables
        ]

    def _of_layer(self, cost: str, layer: Layer, work: LayerWork) -> list[Table]:
        """A layer's cost. Of several operands each counts for its share of the elements, as if all had its width."""
        weight = self._weights.get(layer.first.name)
        coupled = [*self._variable(layer.output), *filter(None, [weight])]
        return [
            tabulate(
                [*self._variable(operand), *coupled],
                self._bit_widths,
                partial(self._of_operand, cost, layer, work, operand, share),
            )
            for operand, share in self._operand_shares(layer).items()
        ]

    def _of_operand(
        self, cost: str, layer: Layer, work: LayerWork, operand: str, share: float, allocation: BitAllocation
    ) -> float:
        in_bits, out_bits = self._bits(operand, allocation), self._bits(layer.output, allocation)
        weighted = layer.weighted(self._graph)
        if weighted and layer.output in self._read_in_float:
            out_bits = FLOAT_BITS  # the unit returns float; codes for the other consumers follow from that
        weight = self._weights.get(layer.first.name, "")
        weight_bits = allocation.get(weight, FLOAT_BITS) if weighted else in_bits
        in_integers = layer.name in self._setup.integer and FLOAT_BITS not in (in_bits, weight_bits)
        returns_float = weighted and self._soc.float_outputs
        if not in_integers or (out_bits == FLOAT_BITS and not returns_float):
            in_bits = weight_bits = FLOAT_BITS
        if cost == SIZE:
            return share * size(work, weight_bits, self._soc.float_bits)
        if cost == BITOPS:
            return share * bit_operations(work, in_bits, weight_bits, self._soc.float_bits)
        return share * self._cost_model.latency(work, in_bits, out_bits, weight_bits)

    def _operand_shares(self, layer: Layer) -> Mapping[str, float]:
        """Operand -> its share of the elements of all; one without a name where there are no elements."""
        counts = {name: element_count(self._graph, name) for name in layer.operands(self._graph)}
        elements = sum(counts.values())
        return {name: count / elements for name, count in counts.items()} if elements else {"": 1.0}

    def _variable(self, tensor: str) -> list[str]:
        return [self._features[tensor]] if tensor in self._features else []

    def _bits(self, tensor: str, allocation: BitAllocation) -> int:
        """The bit width of a feature: a variable's, a constant operand's own, or float."""
        if tensor in self._features:
            return allocation[self._features[tensor]]
        return self._constants.get(tensor, FLOAT_BITS)
