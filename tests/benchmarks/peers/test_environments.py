import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import __main__ as child
from benchmarks.peers.adapter import Peer, Pictures
from benchmarks.peers.environments import Hosted, failure, find_peers, run_peer
from benchmarks.peers.toolkit_settings import PEERS
from stages.core.base.errors import UserError


def fake_python(folder: Path, script: str) -> str:
    """An interpreter that does this instead of what it is asked for."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport json, sys\nfrom pathlib import Path\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.slow
def test_the_first_environment_that_can_runs_it(tmp_path: Path) -> None:
    python = fake_python(tmp_path, f"print('noise'); print({list(range(len(PEERS)))})")
    hosted = find_peers([sys.executable, python], [])
    assert [setting.number for setting in hosted] == list(range(len(PEERS)))
    assert {setting.python for setting in hosted if setting.peer.toolkit == "onnxruntime"} == {sys.executable}
    named = find_peers([python], ["nncf"])
    assert {setting.peer.toolkit for setting in named} == {"nncf"}
    assert [setting.peer.name for setting in find_peers([python], ["nncf mixed"])] == ["nncf mixed"]


@pytest.mark.parametrize(
    ("toolkit", "why"),
    [("ncnf", "no adapter for 'ncnf'; did you mean 'nncf'"), ("nncf", "nncf cannot run here; --peer-python")],
)
def test_a_toolkit_that_is_not_there(tmp_path: Path, toolkit: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        find_peers([fake_python(tmp_path, "print([])")], [toolkit])


def test_an_environment_that_cannot_tell(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python: exit code 1: No module named 'numpy'; it needs numpy and onnx"):
        find_peers([fake_python(tmp_path, "sys.exit(\"No module named 'numpy'\")")], [])
    with pytest.raises(UserError, match="--peer-python /nowhere"):
        find_peers(["/nowhere/python"], [])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


RESULT_FILE = "Path(sys.argv[sys.argv.index('--result') + 1])"


def test_running_does_not_count(here: Path) -> None:
    written = {"version": "x 1", "peak_mb": 5.0, "running": 1000.0}
    python = fake_python(here, f"{RESULT_FILE}.write_text('{json.dumps(written)}')")
    result = run_peer(Hosted(0, python), Path("samples.npy"), Path("outputs.npy"))
    assert (result["version"], result["peak_mb"]) == ("x 1", 5.0)
    assert result["seconds"] < 0
    assert "running" not in result


def test_an_error_is_told(here: Path) -> None:
    python = fake_python(here, f"{RESULT_FILE}.write_text('{json.dumps({'error': 'ValueError: no'})}')")
    assert run_peer(Hosted(0, python), Path("s"), Path("o")) == {"error": "ValueError: no"}


def test_a_process_that_dies(here: Path) -> None:
    python = fake_python(here, "print('out of luck', file=sys.stderr); sys.exit(3)")
    assert run_peer(Hosted(0, python), Path("s"), Path("o")) == {"error": "exit code 3: out of luck"}


def test_failure_in_one_line() -> None:
    assert failure("a\n b \n\n", 1) == "exit code 1: b"
    assert failure("", -9) == "exit code -9"


def test_a_module_that_is_not_there() -> None:
    assert child.importable("onnxruntime")
    assert not child.importable("no_such_toolkit")
    assert not child.importable("no_such_toolkit.onnx")


def write_nothing(model: Path, calibration: Pictures, target: Path) -> None:
    """A toolkit that prints its error and returns."""


@pytest.mark.usefixtures("quantized")
def test_a_toolkit_that_writes_nothing() -> None:
    np.save("samples.npy", np.zeros((1, 8, 8, 3), dtype=np.uint8))
    silent = Peer("silent", "numpy", "x", 8, 8, write_nothing)
    with pytest.raises(FileNotFoundError, match="without a network"):
        child.work(silent, Path("samples.npy"), Path("outputs.npy"))


@pytest.mark.slow
@pytest.mark.usefixtures("quantized")
def test_onnx_runtime_on_a_tiny_network() -> None:
    minmax = next(number for number, peer in enumerate(PEERS) if peer.name == "onnxruntime MinMax")
    calibration = np.load("out/calibset/calibration/0.npy")
    np.save("samples.npy", calibration[:3])
    result = run_peer(Hosted(minmax, sys.executable), Path("samples.npy"), Path("outputs.npy"))
    assert "error" not in result
    assert "onnxruntime" in result["version"]
    assert np.load("outputs.npy").shape == (3, 3)
