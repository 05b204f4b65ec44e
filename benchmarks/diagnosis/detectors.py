"""Faults planted in detectors: a row each."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.bars import BarResult
from benchmarks.common.tables import Row
from benchmarks.detection.project import labelled, link_pictures, unlabelled
from benchmarks.diagnosis.detector_faults import DETECTORS, FAULTS, DetectorFault
from benchmarks.diagnosis.project import compose_command, finding_bar, finding_columns, first_cure, shell
from stages.core.base.artifacts import read_json
from stages.core.base.console import console
from stages.core.base.paths import DIAGNOSIS, METRICS

__all__ = ["COLUMNS", "detector_rows", "hold_detector_bars"]

COLUMNS = [
    "fault", "detector", "first_finding", "node", "cure", "before", "after", "sound", "restored", "seconds",
]  # fmt: skip
MARGIN = 0.01
"""Boxes are restored if mAP or the agreement is within this of the sound detector's, and harmed if it is lower."""
SIZES = ("data.calibration.size=32", "data.debug.size=16", "data.evaluation.size=32")
"""Of DIR's pictures. Of few boxes compare says little, and few of the photos show what NudeNet looks for."""


@dataclass(frozen=True)
class Measured:
    """A run of the pipeline.

    Attributes:
        value: mAP50-95 of the quantized network's boxes, or without labels their agreement with the float network's.
        findings: of diagnosis.json.
    """

    value: float
    findings: Sequence[Mapping[str, Any]]


def detector_rows(data: Path, names: Sequence[str] | None) -> Iterator[Row]:
    """Plant each fault in the project in the current folder; gives the rows as they come.

    Args:
        data: DIR.
        names: of faults; None: all.

    Raises:
        UserError: if DIR lacks something, or the pipeline fails.
    """
    link_pictures(data)
    selected = [fault for fault in FAULTS if names is None or fault.name in names]
    for detector in dict.fromkeys(fault.detector for fault in selected):
        base = base_overrides(detector, data)
        for fault in selected:
            if fault.detector == detector:
                console.print(fault.name)
                yield detector_row(fault, base)


def base_overrides(detector: str, data: Path) -> list[str]:
    """The sound experiment of a detector."""
    settings = DETECTORS[detector]
    if settings.demo:
        return [f"model={detector}", "data=detection_demo", *settings.quant]
    overrides = *settings.quant, *SIZES
    return labelled(data, *overrides) if settings.labelled else unlabelled(detector, *overrides)


def detector_row(fault: DetectorFault, base: Sequence[str]) -> Row:
    """Run the sound experiment, which is not computed twice, then the one with a fault, then its first cure.

    Args:
        fault: to plant.
        base: overrides of the sound experiment.
    """
    start = time.perf_counter()
    shell(compose_command(base), "dvc repro evaluate")
    sound = measured_value()
    planted = fault.plant()
    text = shell(compose_command([*base, *planted.overrides]), "dvc repro compare evaluate")
    before, cure_command = Measured(measured_value(), read_json(DIAGNOSIS)["findings"]), first_cure(text)
    after = before
    if cure_command:
        shell(cure_command)
        after = Measured(measured_value(), read_json(DIAGNOSIS)["findings"])
    row = finding_columns(fault.name, before.findings) | {
        "detector": fault.detector, "before": before.value, "after": after.value, "sound": sound,
    }  # fmt: skip
    results = hold_detector_bars(fault, planted.node, row)
    return row | {
        "restored": after.value >= sound - MARGIN if fault.kind else None,
        "left": [finding["kind"] for finding in after.findings],
        "seconds": time.perf_counter() - start,
        "printed": cure_command,
        "sentences": [finding["sentence"] for finding in before.findings],
        "bars": [asdict(result) for result in results],
    }


def measured_value() -> float:
    """What the boxes of the experiment in the current folder reach."""
    metrics = read_json(METRICS)
    return float(metrics["quantized"]["map"] if "quantized" in metrics else metrics["agreement"])


def hold_detector_bars(fault: DetectorFault, node: str | None, row: Row) -> list[BarResult]:
    """Hold a row against its bars: the first finding, that the fault harms, that the cure restores.

    Args:
        fault: that was planted.
        node: that the first finding must name; of a sound detector it is not looked at.
        row: what was measured.
    """
    results = [BarResult(fault.name, *finding_bar(fault.kind, node if fault.kind else None, row))]
    if fault.kind:
        least, before, after = row["sound"] - MARGIN, row["before"], row["after"]
        results.append(BarResult(fault.name, f"boxes before < {least:.4f}", before, before < least))
        results.append(BarResult(fault.name, f"boxes cured >= {least:.4f}", after, after >= least))
    return results
