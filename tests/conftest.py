import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import settings

from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compose import run as compose_into
from stages.core.config.load import load_params
from stages.core.config.schema import Config
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.networks import tiny_classifier, write_pictures

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples every time; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("steady", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny network, pictures of three classes, and params.yaml composed for them; the current folder.

    Pictures to calibrate lie in `calibration/`, labelled ones in `evaluation/<class>/`.
    """
    onnx.save(tiny_classifier(), tmp_path / "tiny.onnx")
    write_pictures(tmp_path / "calibration", 12, seed=1)
    for index, name in enumerate(("ant", "bee", "cat")):
        write_pictures(tmp_path / "evaluation" / name, 2, seed=10 + index)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    monkeypatch.chdir(tmp_path)
    compose_into(project_overrides(), Path("conf"), Path("params.yaml"), check_only=False)
    return tmp_path


def project_overrides(*more: str) -> list[str]:
    """Overrides that point the default experiment at the files of the `project` fixture."""
    return [
        "model=onnx",
        "model.source=file:tiny.onnx",
        "model.inputs=[{mean: [128], normal: [64]}]",
        "data=folder",
        "data.calibration.source=file:calibration",
        "data.debug.source=file:evaluation/ant",
        "data.evaluation.source=file:evaluation",
        *more,
    ]


@pytest.fixture
def quantized(project: Path) -> Config:
    """The project's config, after export, calibset, calibrate and quantize."""
    config = load_params(Path("params.yaml"))
    for stage in (export, calibset, calibrate, quantize):
        stage(config)
    return config


@pytest.fixture
def command(project: Path) -> Run:
    """Run `python -m stages.<name> ...` in the project's folder."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", f"stages.{name}", *arguments]
        return subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)

    return run
