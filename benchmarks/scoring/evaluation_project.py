"""The temporary project in which networks are quantized and scored: its pictures and its overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.common.picture_folders import link_pictures
from benchmarks.common.processes import run_stage
from benchmarks.common.project import CALIBRATION_FOLDER, folder_overrides, link_network
from benchmarks.scoring.evaluation import Task
from stages.core.base.errors import UserError

__all__ = ["compose", "link_data", "split"]

T = TypeVar("T")
EVALUATION_FOLDER = "evaluation"


def split(pictures: Sequence[T], offset: int, period: int) -> tuple[list[T], list[T]]:
    """Every period-th picture from the offset on, and all others.

    Raises:
        UserError: for an offset that is not below the period.
    """
    if not 0 <= offset < period:
        raise UserError(f"--offset {offset}: must be 0 to {period - 1}: one picture in {period} calibrates")
    rest = [picture for index, picture in enumerate(pictures) if index % period != offset]
    return list(pictures[offset::period]), rest


def link_data(calibration: Sequence[Path], evaluation: Sequence[Path], network: Path | None) -> None:
    """Link pictures and network into the current folder."""
    link_pictures(Path(CALIBRATION_FOLDER), calibration, len(calibration))
    link_pictures(Path(EVALUATION_FOLDER), evaluation, len(evaluation))
    link_network(network)


def compose(task: Task, *overrides: str) -> None:
    """Compose an experiment on the linked pictures; the evaluation pictures are the debug pictures too."""
    folders = folder_overrides(debug=EVALUATION_FOLDER, evaluation=EVALUATION_FOLDER)
    run_stage("compose", *task.network.overrides, *folders, "data.calibration.size=null", *overrides)
