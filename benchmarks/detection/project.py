"""The temporary project of a detector: its pictures, its overrides, its stages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.networks import NETWORKS, find_data
from benchmarks.common.picture_folders import link_under_own_names
from benchmarks.common.processes import run_stage
from benchmarks.common.project import link_network
from stages.core.base.artifacts import read_json
from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.base.paths import METRICS
from stages.core.config.overrides import split_overrides

__all__ = [
    "QUANTIZING", "YOLOX", "cured", "evaluate", "labelled", "link_pictures", "run", "sources",
    "unlabelled",
]  # fmt: skip

YOLOX = "yolox_nano"
QUANTIZING = ("export", "calibset", "calibrate", "quantize")


def link_pictures(data: Path) -> list[Path]:
    """Link DIR's pictures and YOLOX-nano into the current folder: by name every second calibrates, the others evaluate.

    Returns:
        Those that evaluate.

    Raises:
        UserError: naming what DIR lacks.
    """
    pictures, file = find_data(NETWORKS[YOLOX], data, least=2)
    link_under_own_names({"calibration": pictures[::2], "evaluation": pictures[1::2]})
    link_network(file)
    return pictures[1::2]


def sources() -> list[str]:
    """Overrides that name the linked pictures; four of those that evaluate are compared."""
    folders = {"calibration": "calibration", "debug": "evaluation", "evaluation": "evaluation"}
    named = [f"data.{kind}.source=file:{folder}" for kind, folder in folders.items()]
    return ["data=detection", *named, "data.calibration.size=null"]


def labelled(data: Path, *more: str, file: str = "network.onnx") -> list[str]:
    """Overrides of YOLOX-nano with DIR's labels; the network's file is DIR's, or another one in the current folder."""
    labels = f'data.evaluation.labels="file:{data / "coco_train128" / "labels"}"'
    return [f"model={YOLOX}", f"model.source=file:{file}", *sources(), labels, *more]


def unlabelled(model: str, *more: str) -> list[str]:
    """Overrides of a detector of conf/model/, without labels."""
    return [f"model={model}", *sources(), *more]


def run(overrides: Sequence[str], *stages: str) -> None:
    """Compose an experiment and run stages."""
    run_stage("compose", *overrides)
    for stage in stages:
        run_stage(stage)


def evaluate() -> dict[str, Any]:
    """Run evaluate; gives its metrics."""
    run_stage("evaluate")
    metrics: dict[str, Any] = read_json(METRICS)
    return metrics


def cured(cure: str) -> dict[str, Any] | None:
    """Change the current experiment by the overrides of a finding, and quantize anew.

    Returns:
        Evaluate's metrics; None if the overrides are refused.
    """
    try:
        run_stage("compose", "--keep", *split_overrides(cure))
        for stage in QUANTIZING:
            run_stage(stage)
    except UserError as error:
        warn(f"{cure}: {error}")
        return None
    return evaluate()
