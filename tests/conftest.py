import contextlib
import copy
import gc
import io
import os
import runpy
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

import onnx
import pytest
from omegaconf import OmegaConf

from stages.build.__main__ import build
from stages.calibrate.__main__ import calibrate
from stages.calibset.__main__ import calibset
from stages.compare.__main__ import compare
from stages.core.config.composition import compose
from stages.core.config.first_line import first_line
from stages.core.config.schema import Config
from stages.evaluate.__main__ import evaluate
from stages.export.__main__ import export
from stages.quantize.__main__ import quantize
from tests.build.runtime import programs
from tests.core.heads.exporters import yolox
from tests.examples import load_profile
from tests.networks import tiny_classifier, write_pictures

REPOSITORY = Path(__file__).resolve().parent.parent

MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes that tests start import the same modules


def pytest_configure(config: pytest.Config) -> None:
    """Before any module of tests is imported."""
    load_profile(config.option.markexpr)


@pytest.fixture(scope="session", autouse=True)
def schema_once() -> Iterator[None]:
    """OmegaConf builds its form of the schema once, which is a fifth of the time of each composition.

    Who takes it copies it: Hydra's store, and a merge.
    """
    structured = OmegaConf.structured
    built = cache(structured)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            OmegaConf,
            "structured",
            lambda kind, *more, **flags: (
                built(kind) if isinstance(kind, type) and not more and not flags else structured(kind, *more, **flags)
            ),
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_ahead(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Begin at once with the runtime's program that takes longest to compile: no test process waits for another's."""
    if not any("debug" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function)):
        yield
        return
    folder = programs.shared_folder(tmp_path_factory)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(programs.sanitized, folder)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that none of them is left to a single process at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Whatever was imported and collected stays: the garbage collector need not look at it again."""
    gc.freeze()


def pytest_runtest_teardown() -> None:
    """Take back what a command that ran in this process set for all of it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the test process ends by it again
    # MLflow sets it with the store: a process that the next test starts would log into this one's
    os.environ.pop(MLFLOW_ADDRESS, None)


# A shell's background jobs do not hear Ctrl-C, nor do the programs that they start: those of tests must.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., subprocess.CompletedProcess[str]]


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


@cache
def _composition(*overrides: str) -> tuple[Config, str]:
    return compose(overrides, REPOSITORY / "conf")


def write_params(*overrides: str) -> Config:
    """Compose into params.yaml of the current folder; gives what it holds.

    Composing takes long: it is done once for the same overrides, and without what `stages.compose` does beside it.
    """
    config, text = _composition(*overrides)
    Path("params.yaml").write_text(f"{first_line(overrides)}\n{text}", encoding="utf-8")
    return copy.deepcopy(config)


def composed(*more: str) -> Config:
    """Compose the `project` in the current folder with more overrides; gives its config."""
    return write_params(*project_overrides(*more))


def detector_config(*more: str) -> Config:
    """Compose the project of the `detector` fixture in the current folder; without labels unless told otherwise."""
    return write_params(
        "model=onnx",
        "model.source=file:detector.onnx",
        "model.inputs=[{mean: [128], normal: [64]}]",
        "model.preprocess.fit=letterbox",
        "model.detector.score_threshold=0.2",
        "data=folder",
        "data.calibration.source=file:calibration",
        "data.debug.source=file:evaluation",
        "data.evaluation.source=file:evaluation",
        *(more or ("data.evaluation.labels=null", "data.evaluation.task=none")),
    )


# What takes long is made once a session, in a folder of its own; each test has a copy.


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
        composed()
    return folder


@pytest.fixture(scope="session")
def calibrated_files(project_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `calibrated` copies."""
    return after_stages(project_files, tmp_path_factory, export, calibset, calibrate)


@pytest.fixture(scope="session")
def quantized_files(calibrated_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `quantized` copies."""
    return after_stages(calibrated_files, tmp_path_factory, quantize)


@pytest.fixture(scope="session")
def evaluated_files(quantized_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `evaluated` copies."""
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        return after_stages(quantized_files, tmp_path_factory, compare, build, evaluate)


@pytest.fixture(scope="session")
def detector_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `detector` copies."""
    folder = tmp_path_factory.mktemp("detector")
    onnx.save(yolox(), folder / "detector.onnx")
    write_pictures(folder / "calibration", 6, seed=1)
    write_pictures(folder / "evaluation", 3, seed=10)
    (folder / "conf").symlink_to(REPOSITORY / "conf")
    with contextlib.chdir(folder):
        config = detector_config()
        for stage in (export, calibset, calibrate, quantize):
            stage(config)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs, to be copied: making its tables takes longer than most tests."""
    import mlflow

    from stages.track.run import store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with store(f"sqlite:///{path}"):
        mlflow.search_experiments()
    os.environ.pop(MLFLOW_ADDRESS, None)
    return path


def after_stages(project: Path, tmp_path_factory: pytest.TempPathFactory, *stages: Callable[[Config], None]) -> Path:
    """A copy of a project in which some stages have run."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(project, folder)
    with contextlib.chdir(folder):
        config = composed()
        for stage in stages:
            stage(config)
    return folder


def copy_conf(folder: Path) -> Path:
    """Copy conf/ into a folder; gives the copy."""
    return Path(shutil.copytree(REPOSITORY / "conf", folder / "conf"))


def copy_code(folder: Path) -> None:
    """Copy conf/ and stages/ into a folder, with what Python and numba have compiled (`evaluated_files` has it all)."""
    unfinished = shutil.ignore_patterns("*.pyc.*", "*.tmp.*")  # another test process writes them now
    for name in ("conf", "stages"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=unfinished)


def copy_project(source: Path, folder: Path) -> None:
    """Copy a project into a folder that is there."""
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)


@pytest.fixture
def project(project_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny network, pictures of three classes, and params.yaml composed for them; the current folder.

    Pictures to calibrate lie in `calibration/`, labelled ones in `evaluation/<class>/`.
    """
    copy_project(project_files, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def calibrated(calibrated_files: Path, project: Path) -> Config:
    """The project's config, after export, calibset and calibrate."""
    shutil.copytree(calibrated_files / "out", project / "out")
    return composed()


@pytest.fixture
def quantized(quantized_files: Path, project: Path) -> Config:
    """The project's config, after export, calibset, calibrate and quantize."""
    shutil.copytree(quantized_files / "out", project / "out")
    return composed()


@pytest.fixture
def evaluated(evaluated_files: Path, project: Path) -> Config:
    """The project's config, after all stages but track."""
    shutil.copytree(evaluated_files / "out", project / "out")
    return composed()


@pytest.fixture
def detector(detector_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The config of a small YOLOX with pictures in `calibration/` and `evaluation/`, after quantize; no labels."""
    copy_project(detector_files, tmp_path)
    monkeypatch.chdir(tmp_path)
    return detector_config()


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the lines of compare's findings as they are: trying them takes a composed project and other processes."""
    monkeypatch.setattr("stages.compare.cures.cures.with_cures", lambda diagnosis, _: diagnosis)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare draws nothing, which would be most of its time: for tests that look at no figure."""
    leave_undrawn(monkeypatch)


def leave_undrawn(patch: pytest.MonkeyPatch) -> None:
    """Make every figure of compare's report empty."""
    empty: Future[str] = Future()
    empty.set_result("<svg/>")
    patch.setattr("stages.compare.background.Background.prepare", lambda *_: None)
    patch.setattr("stages.compare.background.Background.draw", lambda *_, **__: empty)


def quick(config: pytest.Config) -> bool:
    """Whether the run is one of quick tests, which leaves to the whole suite what it only does once more."""
    return bool(config.option.markexpr == "not slow")


@pytest.fixture
def command(python: Run, project: Path) -> Run:
    """Run `python -m stages.<name> ...` in the project's folder, as `python` does."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        with contextlib.chdir(project):
            return python("-m", f"stages.{name}", *arguments)

    return run


@pytest.fixture
def python() -> Run:
    """Run `python -m MODULE ...` or `python SCRIPT ...` in the current folder, in this process."""
    return run_here


def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `python -m MODULE ...` or `python SCRIPT ...` does, in this process, which has imported most of it."""
    out, err, code = io.StringIO(), io.StringIO(), None
    words = arguments[1:] if arguments[0] == "-m" else arguments
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(action="ignore", category=RuntimeWarning),  # the module may be imported already
    ):
        patch.setattr(sys, "argv", list(words))
        try:
            if arguments[0] == "-m":
                runpy.run_module(words[0], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(words[0], run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    assert code is None or isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code or 0, out.getvalue(), err.getvalue())
