"""Comparing candidates on pictures that none of them was fitted on."""

from collections.abc import Sequence

import onnx

from stages.core.base.console import counted
from stages.core.data.inputs import NetworkInput, feeds, noun_of
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
        self._pictures = counted(len(samples), f"validation {noun_of(inputs)}")
        self._simulation = Simulation(reference, lambda: (feeds(sample, inputs) for sample in samples))

    def better(self, current: Candidate, changed: Candidate, change: str, features_only: bool = False) -> Candidate:
        """Give the candidate whose outputs are nearer to the float network's; `change` names what differs.

        With `features_only` both have their weights in float: before weights are learned, the error of rounding them
        hides the error of the features.
        """
        before, after = (self.error(candidate, features_only) for candidate in (current, changed))
        improves = after < before
        errors = f"error of the outputs on {self._pictures} {before:.4g} -> {after:.4g}"
        without = " with weights in float" if features_only else ""
        self.notes.append(f"{change}: {errors}{without}" + ("" if improves else ": refused, it does not improve"))
        return changed if improves else current

    def error(self, candidate: Candidate, features_only: bool = False) -> float:
        """The relative squared error of a candidate's outputs, see `Simulation.error`."""
        return (
            self._simulation.part_error(candidate, candidate.features, ())
            if features_only
            else self._simulation.error(candidate)
        )
