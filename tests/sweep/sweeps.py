"""Results and sweeps made up, and a project to sweep in."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import onnx

from stages.sweep.ranking import Ranking
from stages.sweep.sweep_state import PointResult, Sweep
from tests.conftest import REPOSITORY, copy_code, run_here
from tests.networks import tiny_classifier, write_pictures

TINY = """\
# @package _global_
defaults:
  - override /model: onnx
  - override /data: folder
model: {source: 'file:tiny.onnx', name: tiny, inputs: [{mean: [128], normal: [64]}]}
data:
  calibration: {source: 'file:pictures/calibration'}
  debug: {source: 'file:pictures/evaluation/ant'}
  evaluation: {source: 'file:pictures/evaluation'}
compare: {isolated: false}
"""


def made_up(folder: Path = Path("/sweeps/a"), **changed: Any) -> Sweep:
    """A sweep over feature bits and weight bits by agreement."""
    content: dict[str, Any] = {
        "folder": folder, "project": Path("/project"), "cache": Path("/cache"), "uri": "sqlite:////mlflow.db",
        "experiment_id": "1", "parent": "p", "varied": ("quant.feature_bits", "quant.weight_bits"), "metric": None,
        "direction": "maximize", "cost": "bit_operations", "command": "quant.feature_bits=4,8", "launcher": "basic",
        "process": 1,
    }  # fmt: skip
    return Sweep(**content | changed)


def result(
    number: int, features: str, weights: str, agreement: float, fidelity: float, cost: float, **changed: Any
) -> PointResult:
    """A point that did not fail."""
    metrics = {
        "agreement": agreement, "cosine": 0.5, "fidelity": fidelity,
        "cost.bit_operations": cost * 1e9, "cost.weight_bytes": cost * 1e6,
    }  # fmt: skip
    content: dict[str, Any] = {
        "number": number, "overrides": (f"quant.feature_bits={features}", f"quant.weight_bits={weights}"),
        "metrics": metrics, "value": agreement, "error": None, "run": f"r{number}", "executed": (), "seconds": 1.0,
    }  # fmt: skip
    return PointResult(**content | changed)


def failure(number: int, features: str = "9", error: str = "no such bits") -> PointResult:
    """A point that failed."""
    return PointResult(
        number, (f"quant.feature_bits={features}", "quant.weight_bits=8"), {}, None, error, None, (), 0.5
    )


POINTS = [
    result(0, "4", "8", 0.5, 0.8, 2),
    result(1, "8", "8", 0.75, 0.9, 4, executed=("quantize", "compare")),
    result(2, "10", "8", 0.75, 0.9, 5),
    failure(3, error="quant.feature_bits=9: the T40 cannot | <do> it"),
]
"""Three points that did not fail, two of them equally good, and one that did."""


def ranking(*results: PointResult, **changed: Any) -> Ranking:
    """Results of such a sweep."""
    return Ranking(made_up(**changed), results)


def small_project(folder: Path) -> Path:
    """A DVC project of its own with a tiny network and `experiment=tiny`, nothing computed yet."""
    folder.mkdir(parents=True)
    copy_code(folder)
    for name in ("dvc.yaml", ".dvcignore", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "conf/experiment/tiny.yaml").write_text(TINY)
    onnx.save(tiny_classifier(), folder / "tiny.onnx")
    write_pictures(folder / "pictures/calibration", 4, seed=1)
    for index, name in enumerate(("ant", "bee", "cat")):
        write_pictures(folder / "pictures/evaluation" / name, 1, seed=10 + index)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def environment() -> dict[str, str]:
    """For a sweep in a process of its own, which imports the project's code from its current folder."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    return kept | {"SOCQUANT_THREADS": "1"}


def start(project: Path, words: Sequence[str], json_file: str = "points.json") -> subprocess.Popen[str]:
    """Start `python -m stages.sweep experiment=tiny ...`."""
    line = [sys.executable, "-m", "stages.sweep", "experiment=tiny", *words, "--json", json_file]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=project, env=environment(), text=True, stdout=pipe, stderr=pipe)


def swept(project: Path, *words: str) -> tuple[int, str, list[dict[str, Any]]]:
    """Run a sweep in this process, which has imported its libraries; its stages have their own, as always.

    Returns:
        Exit code, all that it printed, and its points in the order tried.
    """
    with contextlib.chdir(project), mock.patch.dict(os.environ, environment(), clear=True):
        done = run_here("-m", "stages.sweep", "experiment=tiny", *words, "--json", "points.json")
    rows = json.loads((project / "points.json").read_text())["points"] if done.returncode in (0, 1) else []
    return done.returncode, done.stdout + done.stderr, sorted(rows, key=lambda row: row["point"])
