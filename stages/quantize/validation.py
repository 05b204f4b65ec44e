"""Comparing candidates on pictures that none of them has seen."""

from collections.abc import Sequence

import onnx

from stages.core.base.console import counted
from stages.core.data.inputs import NetworkInput, feeds
from stages.core.data.sample_store import SampleReader
from stages.quantize.candidate import Candidate
from stages.quantize.simulation import Simulation

__all__ = ["Validator"]


class Validator:
    """Compares candidates on the validation pictures.

    Attributes:
        notes: a line for each comparison.
    """

    def __init__(self, reference: onnx.ModelProto, inputs: Sequence[NetworkInput], samples: SampleReader) -> None:
        self.notes: list[str] = []
        self._pictures = counted(len(samples), "validation picture")
        self._simulation = Simulation(reference, lambda: (feeds(sample, inputs) for sample in samples))

    def better(self, current: Candidate, changed: Candidate, what: str, features_only: bool = False) -> Candidate:
        """Give the candidate whose outputs are nearer to the float network's; `what` names the change.

        With `features_only` both have their weights in float: before weights are learned, what rounding them costs
        hides what features cost.
        """
        before, after = (self.error(each, features_only) for each in (current, changed))
        improves = after < before
        change = f"error of the outputs on {self._pictures} {before:.4g} -> {after:.4g}"
        without = " with weights in float" if features_only else ""
        self.notes.append(f"{what}: {change}{without}" + ("" if improves else ": refused, it does not improve"))
        return changed if improves else current

    def error(self, candidate: Candidate, features_only: bool = False) -> float:
        """The relative squared error of a candidate's outputs, see `Simulation.error`."""
        return (
            self._simulation.part_error(candidate, candidate.features, ())
            if features_only
            else self._simulation.error(candidate)
        )
