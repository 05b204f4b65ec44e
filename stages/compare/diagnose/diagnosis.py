"""All checks, one after the other."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.compare.diagnose.bit_width_findings import bit_width_findings
from stages.compare.diagnose.box_findings import box_findings
from stages.compare.diagnose.calibration_findings import calibration_findings, debug_findings
from stages.compare.diagnose.channel_imbalance import channel_imbalance_findings
from stages.compare.diagnose.cure import Cure
from stages.compare.diagnose.curve_findings import accumulated, curve_findings, not_finite_findings
from stages.compare.diagnose.finding import Finding, to_json, worst_first
from stages.compare.diagnose.information import UNCHECKED, dead_channels, float_layers, unchecked_input, unquantized
from stages.compare.diagnose.inputs.input_evidence import InputEvidence
from stages.compare.diagnose.inputs.input_findings import best_variant, input_findings
from stages.compare.diagnose.inputs.labelled_pictures import read_labelled
from stages.compare.diagnose.inputs.preprocessing_variants import PreprocessingVariant
from stages.compare.diagnose.loss_by_depth import Losses, loss_by_depth
from stages.compare.diagnose.outcome import Outcome
from stages.compare.diagnose.part_findings import part_findings
from stages.compare.diagnose.range_findings import few_code_findings, range_findings
from stages.compare.gather.gather import Gathered, TrainingRecord
from stages.core.config.schema import Config
from stages.core.data.inputs import NetworkInput, only_picture
from stages.core.outputs.output_judge import Level

__all__ = ["Diagnosis", "diagnose"]

MAX_STORED_PICTURES = 32
"""Calibration pictures that serve as evidence of how the network is fed: more would change little and take long."""

UNSEARCHED = "where the outputs lose is not searched, and no cure tried: compare.cures=0"


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        findings: what is wrong, worst first; none for a sound network.
        information: what is worth knowing and no fault.
        inputs: the preprocessing variants that were tried.
        outcome: how the network came through.
        losses: where the outputs lose; only where they are poor.
        accumulated: what is left to say of poor outputs where no finding holds; None where they are not poor.
        integer_types: ONNX operators that run in integers.
        cures: that were tried and help, best first.
        tried: all that were, in order.
        notes: lines on cures that could not be tried.
    """

    findings: Sequence[Finding]
    information: Sequence[Finding]
    inputs: Sequence[Mapping[str, Any]]
    outcome: Outcome
    losses: Losses = field(default_factory=Losses)
    accumulated: Finding | None = None
    integer_types: AbstractSet[str] = frozenset()
    cures: Sequence[Cure] = ()
    tried: Sequence[Cure] = ()
    notes: Sequence[str] = ()

    @property
    def unchecked(self) -> Finding | None:
        """The information that the input could not be checked; None where it was."""
        return next((item for item in self.information if item.kind == UNCHECKED), None)

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {
            "findings": [to_json(finding) for finding in self.findings],
            "information": [to_json(item) for item in self.information],
            "inputs": list(self.inputs),
            "samples": {"set": self.outcome.judged.name, "count": self.outcome.judged.count},
            "fidelity": self.outcome.fidelity,
            "box_agreement": self.outcome.box_agreement if self.outcome.boxes is not None else None,
            "outputs": [judged.to_json() for judged in self.outcome.outputs],
            "cures": [cure.to_json() for cure in self.cures],
            "tried": [cure.to_json() for cure in self.tried],
            "losses": [loss.to_json() for loss in self.losses.stretches],
        }


def diagnose(gathered: Gathered, config: Config) -> Diagnosis:
    """Make all checks. Where the outputs lose is asked only if they are poor, and spoken of if nothing explains it.

    Runs the float network where there is evidence of how it was fed in training: only where one picture is all that it
    takes.
    """
    outcome = Outcome.of(gathered.judged, gathered.evaluated, gathered.debug.noun, gathered.task)
    networks, similarity, observed = gathered.networks, gathered.similarity, gathered.observed
    reference, params, soc, quant = networks.reference, networks.params, config.soc, config.quant
    labelled = partial(read_labelled, reference, networks.inputs, config)
    pictures = _calibration_pictures(gathered.training, networks.inputs)
    # a converter that merges layers leaves no tensor between them
    norms = [norm for norm in gathered.training.norms if norm["tensor"] in reference.producers]
    evidence = InputEvidence(reference.model, norms, pictures, labelled)
    configured = PreprocessingVariant(networks.inputs[0])
    best = best_variant(configured, evidence) if evidence.exists else configured
    findings = input_findings(configured, best, evidence, config.model.inputs)
    findings += not_finite_findings(reference, networks.in_integers, similarity, quant, gathered.debug.noun)
    findings += unquantized(reference, networks.in_integers, params, soc.name, quant)
    findings += calibration_findings(params, observed, gathered.calibration, config.data)
    findings += range_findings(params, observed, soc, quant)
    findings += few_code_findings(reference, params, observed, gathered.judged.outputs, soc, quant)
    findings += bit_width_findings(reference, params, similarity, quant)
    named = {finding.node for finding in findings}
    isolated = similarity.isolated_cosines
    imbalances = channel_imbalance_findings(reference, params, observed, isolated, quant)
    findings += [finding for finding in imbalances if finding.node not in named]
    parts = part_findings(gathered.joints, params, isolated, gathered.head, config)
    named = {finding.node for finding in findings}  # of what is joined inside the network their cures are milder
    findings += [finding for finding in parts if "output" in finding.evidence or finding.node not in named]
    poor = outcome.level in (Level.look, Level.broken)
    searched = poor and config.compare.cures > 0  # as long as all the rest
    losses = loss_by_depth(networks, gathered.pictures) if searched else Losses()
    if poor and not findings:
        findings += curve_findings(similarity, losses.stretches if searched else None, params, soc, quant)
    findings += box_findings(gathered.boxes, outcome.boxes, config, outcome.samples)
    findings += debug_findings(gathered.debug)
    information = _unchecked_input(networks.inputs, evidence)
    information += float_layers(reference, networks.in_integers, params, soc.name)
    information += dead_channels(params, observed)
    types = frozenset(reference.producers[name].op_type for name in networks.in_integers if name in reference.producers)
    left = accumulated(similarity, losses.stretches, params) if searched and similarity.rows else None
    notes = [UNSEARCHED] if poor and not searched else []
    return Diagnosis(worst_first(findings), information, evidence.tried(), outcome, losses, left, types, notes=notes)


def _calibration_pictures(training: TrainingRecord, inputs: Sequence[NetworkInput]) -> list[NDArray[np.uint8]]:
    """Some of the calibration pictures, evenly over them; none where not one picture is all that the network takes."""
    if not only_picture(inputs):
        return []
    count = min(MAX_STORED_PICTURES, len(training.samples))
    chosen = training.samples.subset([index * len(training.samples) // count for index in range(count)])
    return [sample[inputs[0].name] for sample in chosen]


def _unchecked_input(inputs: Sequence[NetworkInput], evidence: InputEvidence) -> list[Finding]:
    """Say that the input is not checked, if it is not and has colours that may be exchanged."""
    if evidence.exists or not any(network_input.takes_picture for network_input in inputs):
        return []
    return [unchecked_input(only_picture(inputs), len(evidence.norms))]
