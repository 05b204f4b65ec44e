"""All checks, one after the other, on what compare has."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from stages.compare.diagnosis.bit_widths import width_findings
from stages.compare.diagnosis.calibration import calibration_findings, debug_finding
from stages.compare.diagnosis.curve import curve_findings
from stages.compare.diagnosis.finding import Finding, in_order, to_json
from stages.compare.diagnosis.information import UNCHECKED, dead_channels, float_layers, unchecked_input
from stages.compare.diagnosis.inputs import Labelled, Way, Witness, input_finding, search
from stages.compare.diagnosis.observed import Observed
from stages.compare.diagnosis.ranges import range_findings
from stages.compare.diagnosis.spread import spread_findings
from stages.core.base.errors import UserError
from stages.core.config.schema import Config, Task
from stages.core.data.inputs import NetworkInput, only_picture
from stages.core.data.labels import labels_of
from stages.core.data.sample_files import read_samples, select
from stages.core.data.sample_store import SampleReader
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.qparams import NetworkParams

__all__ = ["Case", "Diagnosis", "diagnose", "labelled_pictures", "witness_of"]

MOST_STORED, MOST_LABELLED = 32, 32
"""Pictures that the witnesses of the input see: more would change little and take long."""
KEY = "data.evaluation"


@dataclass(frozen=True)
class Case:
    """What compare knows of an experiment.

    Attributes:
        config: the experiment.
        graph: the float network.
        params: of the quantized network.
        rows: the similarity table, one row a float tensor that the network makes, in graph order.
        tensors: the rows' tensors.
        end: the output's row.
        observed: features on the debug pictures.
        in_integers: tensors that layers in integers make.
        debug_pictures: how many there were.
        known: of the debug pictures those that served to quantize.
        pictures: how many calibrated.
        available: how many the calibration source has.
        flat: names of those of one flat colour.
        noun: what messages call a sample.
    """

    config: Config
    graph: Graph
    params: NetworkParams
    rows: Sequence[Mapping[str, Any]]
    tensors: Sequence[str]
    end: Mapping[str, Any]
    observed: Mapping[str, Observed]
    in_integers: Collection[str]
    debug_pictures: int
    known: Sequence[str]
    pictures: int
    available: int
    flat: Sequence[str]
    noun: str


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        findings: what is wrong, worst first; none for a sound network.
        information: what is worth knowing and no fault.
        inputs: the ways of feeding the network that were tried.
    """

    findings: Sequence[Finding]
    information: Sequence[Finding]
    inputs: Sequence[Mapping[str, Any]]

    @property
    def unchecked(self) -> Finding | None:
        """The information that the input could not be checked; None where it was."""
        return next((each for each in self.information if each.kind == UNCHECKED), None)

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return {
            "findings": [to_json(each) for each in self.findings],
            "information": [to_json(each) for each in self.information],
            "inputs": list(self.inputs),
        }


def diagnose(case: Case, inputs: Sequence[NetworkInput], witness: Witness) -> Diagnosis:
    """Make all checks. The curve by itself is spoken of only where nothing explains it.

    The witness is able only where one picture is all that the network takes: then it is the first of `inputs`.
    """
    config, params, observed = case.config, case.params, case.observed
    configured = Way(inputs[0])
    found = search(configured, witness) if witness.able else configured
    findings = input_finding(configured, found, witness, config.model.inputs)
    counts = (case.pictures, case.available)
    findings += calibration_findings(params, observed, config.data, *counts, case.flat, case.noun)
    findings += range_findings(params, observed, config.soc, config.quant)
    findings += width_findings(case.graph, params, case.rows, case.end, config.quant)
    named = {finding.node for finding in findings}
    isolated = {
        name: float(row["isolated_cosine"])
        for name, row in zip(case.tensors, case.rows, strict=True)
        if "isolated_cosine" in row
    }
    spread = spread_findings(case.graph, params, observed, isolated, config.quant)
    findings += [finding for finding in spread if finding.node not in named]
    if not findings:
        findings += curve_findings(case.rows, case.end, params, config.soc, config.quant)
    findings += debug_finding(case.known, case.debug_pictures, case.noun)
    fed_picture = any(entry.takes_picture for entry in inputs)  # other inputs have no colours to exchange
    information = [unchecked_input(only_picture(inputs), witness.noted)] if fed_picture and not witness.able else []
    information += float_layers(case.graph, case.in_integers, params, config.soc.name)
    information += dead_channels(params, observed)
    return Diagnosis(in_order(findings), information, witness.tried())


def witness_of(
    network: onnx.ModelProto,
    inputs: Sequence[NetworkInput],
    norms: Sequence[Mapping[str, Any]],
    samples: SampleReader,
    labelled: Callable[[], Labelled | None],
) -> Witness:
    """The witness on some of the calibration pictures, evenly over them; of none where not one picture is all input."""
    if not only_picture(inputs):
        return Witness(network, norms, [], lambda: None)
    count = min(MOST_STORED, len(samples))
    chosen = samples.subset([index * len(samples) // count for index in range(count)])
    return Witness(network, norms, [sample[inputs[0].name] for sample in chosen], labelled)


def labelled_pictures(
    config: Config, inputs: Sequence[NetworkInput], outputs: Mapping[str, Sequence[int]]
) -> Labelled | None:
    """Read some of the evaluation pictures with their labels; None where there are none that can be read.

    What is wrong with them is for the stage evaluate to say.
    """
    data = config.data.evaluation
    if data.labels is None or data.task is not Task.classification or not only_picture(inputs):
        return None
    try:
        few = replace(data, size=min(data.size or MOST_LABELLED, MOST_LABELLED))
        files = select(few, inputs, KEY)
        labels = [label for label in labels_of(few, files, inputs, outputs) if label is not None]
        read = read_samples(files, inputs, config.model.preprocess, KEY)
        samples = [each.sample[inputs[0].name] for each in read]
    except UserError:
        return None
    classes = max(size for shape in outputs.values() for size in shape)
    return Labelled(samples, labels) if max(labels) < classes else None
