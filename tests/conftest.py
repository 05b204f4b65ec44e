import contextlib
import copy
import os
import shutil
import signal
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

# A shell's background jobs do not hear Ctrl-C, nor do the programs that they start: those of tests must.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def project_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `project` copies."""
    folder = tmp_path_factory.mktemp("project")
    onnx.save(tiny_classifier(), folder / "tiny.onnx")
    write_pictures(folder / "calibration", 12, seed=1)
    for index, name in enumerate(("ant", "bee", "cat")):
        write_pictures(folder / "evaluation" / name, 2, seed=10 + index)
    (folder / "conf").symlink_to(REPOSITORY / "conf")
    with contextlib.chdir(folder):
        compose_into(project_overrides(), Path("conf"), Path("params.yaml"), check_only=False)
    return folder


@pytest.fixture
def project(project_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny network, pictures of three classes, and params.yaml composed for them; the current folder.

    Pictures to calibrate lie in `calibration/`, labelled ones in `evaluation/<class>/`.
    """
    shutil.copytree(project_files, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
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


@pytest.fixture(scope="session")
def quantized_files(project_files: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    """What `quantized` copies: the folder `out` after export, calibset, calibrate and quantize, and the config."""
    folder = tmp_path_factory.mktemp("quantized")
    shutil.copytree(project_files, folder, symlinks=True, dirs_exist_ok=True)
    with contextlib.chdir(folder):
        config = load_params(Path("params.yaml"))
        for stage in (export, calibset, calibrate, quantize):
            stage(config)
    return folder / "out", config


@pytest.fixture
def quantized(quantized_files: tuple[Path, Config], project: Path) -> Config:
    """The project's config, after export, calibset, calibrate and quantize."""
    out, config = quantized_files
    shutil.copytree(out, project / "out", symlinks=True)
    return copy.deepcopy(config)


@pytest.fixture
def command(project: Path) -> Run:
    """Run `python -m stages.<name> ...` in the project's folder."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", f"stages.{name}", *arguments]
        return subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)

    return run
