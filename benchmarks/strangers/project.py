"""The project of a stranger: its folder, its data, its stages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import PROJECT
from benchmarks.common.processes import call_in_fresh_process
from benchmarks.strangers.material.photos import Photo
from benchmarks.strangers.outputs import both_outputs
from benchmarks.strangers.stranger import Measured, Sample, Samples, Stranger, Value
from stages.core.base.errors import UserError

__all__ = ["QUANTIZING", "compose", "measure", "prepare", "run_stage", "run_stages", "write_samples"]

PICTURE_RANK = 4
QUANTIZING = ("export", "calibset", "calibrate", "quantize")
KINDS = ("calibration", "debug", "evaluation")


def prepare(folder: Path, samples: Samples) -> None:
    """Make a folder a project: a link to conf/, and the samples of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "conf").exists():
        (folder / "conf").symlink_to(PROJECT / "conf")
    for kind in KINDS:
        write_samples(folder / kind, getattr(samples, kind))


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write samples as the pipeline reads them, numbered; what lay there before is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for index, sample in enumerate(samples):
        name = f"{index:03d}"
        if isinstance(sample, Photo):
            (folder / f"{name}_{sample.name}").write_bytes(sample.content)
        elif isinstance(sample, np.ndarray):
            cv2.imwrite(str(folder / f"{name}.png"), sample)
        else:
            laid: dict[str, Any] = {key: _laid_out(value) for key, value in sample.items()}
            if len(laid) == 1:
                np.save(folder / f"{name}.npy", next(iter(laid.values())))
            else:
                np.savez(folder / f"{name}.npz", **laid)


def _laid_out(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """An input of rank 4 lies in a sample as [H, W, C], or [N, H, W, C] where the first size is not 1."""
    value = np.asarray(value, np.float32)
    if value.ndim != PICTURE_RANK:
        return value
    channels_last = value.transpose(0, 2, 3, 1)
    return channels_last[0] if len(value) == 1 else channels_last


def compose(stranger: Stranger, source: str, setting: Sequence[str]) -> None:
    """Write params.yaml in the current folder."""
    sources = [f"data.{kind}.source=file:{kind}" for kind in KINDS]
    labels = ["data.evaluation.labels=null", "data.evaluation.task=none"]
    sizes = [f"data.{kind}.size=null" for kind in KINDS]
    model = ["model=onnx", f"model.name={stranger.name}", f'model.source="{source}"']
    run_stage("compose", *model, "data=folder", *sources, *sizes, *labels, *stranger.overrides, *setting)


def run_stage(command: str, *arguments: str) -> str:
    """Run `python -m stages.<command>` in the current folder; gives what it prints.

    Raises:
        UserError: if it fails, with the line that says why.
    """
    line = [sys.executable, "-m", f"stages.{command}", *arguments]
    paths = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "1000"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if "error" in text.lower()] or done.stderr.splitlines()
        raise UserError(f"{command}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def run_stages() -> None:
    """Run all stages up to quantize in the current folder."""
    for stage in QUANTIZING:
        run_stage(stage)


def measure(stranger: Stranger, samples: Samples) -> Value:
    """The task measure of the experiment in the current folder."""
    outputs, _ = call_in_fresh_process(both_outputs, dict(stranger.states), list(samples.starts))
    measured = Measured(*outputs, samples.truth, Path.cwd())
    return Value.of(stranger.measure, measured, bool(stranger.states))
