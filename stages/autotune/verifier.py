"""Measuring the error of allocations: quantized as quantize would, run in the exact simulator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from stages.autotune.allocation.integer_program import BitAllocation
from stages.autotune.allocation.predicted_error import ErrorClass
from stages.autotune.allocation.problem import AllocationProblem
from stages.autotune.allocation.variables import WEIGHT
from stages.autotune.sensitivity import Ranges, ranges_of
from stages.core.config.schema import FLOAT_BITS
from stages.quantize.candidate import Candidate
from stages.quantize.pipeline import Pipeline
from stages.quantize.quantizers.placement import place_quantizers
from stages.quantize.simulation import Simulation

__all__ = ["UNPREDICTED_RATIO", "ErrorMeasure", "Verified", "Verifier"]

UNPREDICTED_RATIO = 1.3
"""Measured over predicted error from where on the prediction is wrong. Other pictures alone make a tenth or two."""


@dataclass(frozen=True)
class Verified:
    """An allocation with the error that was predicted (by the sum of its parts) and the one that was measured."""

    allocation: BitAllocation
    predicted: float
    error: float


class ErrorMeasure(Protocol):
    """Measures allocations."""

    def error(self, allocation: BitAllocation) -> float:
        """The error of the outputs."""
        ...

    def class_errors(self, allocation: BitAllocation) -> Mapping[ErrorClass, float]:
        """The error that each class of an allocation's variables makes alone."""
        ...


class Verifier:
    """Quantizes the network by an allocation and measures its error; what was measured is kept in memory.

    Args:
        problem: the variables.
        pipeline: of the experiment; its node bits are replaced.
        ranges: gives ranges by bit width.
        simulation: the pictures.
    """

    def __init__(
        self, problem: AllocationProblem, pipeline: Pipeline, ranges: Callable[[], Ranges], simulation: Simulation
    ) -> None:
        self._problem, self._pipeline, self._ranges, self._simulation = problem, pipeline, ranges, simulation
        self._errors: dict[tuple[tuple[str, int], ...], float] = {}

    def candidate(self, allocation: BitAllocation) -> Candidate:
        """Choose all parameters at the allocation's bit widths; weights are rounded to the nearest."""
        pipeline = replace(self._pipeline, by_node=self._problem.node_bits(allocation))
        quant, network = pipeline.config.quant, pipeline.network
        setup = place_quantizers(network.graph, pipeline.config.soc, quant, pipeline.by_node)
        return pipeline.choose_parameters(replace(network, ranges=ranges_of(self._ranges(), setup)), quant)

    def error(self, allocation: BitAllocation) -> float:
        """Measure the error of the outputs in the exact simulator."""
        key = tuple(allocation.items())
        if key not in self._errors:
            self._errors[key] = self._simulation.error(self.candidate(allocation))
        return self._errors[key]

    def class_errors(self, allocation: BitAllocation) -> dict[ErrorClass, float]:
        """Measure the error of each class of variables alone: the features, and the weights, of each bit width."""
        candidate, variables = self.candidate(allocation), self._problem.variables
        errors: dict[ErrorClass, float] = {}
        for kind, bits in sorted({(variable.kind, allocation[variable.name]) for variable in variables}):
            if bits == FLOAT_BITS:
                continue
            members = [each for each in variables if (each.kind, allocation[each.name]) == (kind, bits)]
            features = {tensor for variable in members for tensor in variable.members}
            nodes = {variable.node for variable in members if variable.kind == WEIGHT}
            errors[kind, bits] = self._simulation.part_error(candidate, features, nodes)
        return errors
