"""What a board measured, in the experiment's MLflow run."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from stages.core.base.errors import UserError
from stages.core.config.load import load_params
from stages.profile.__main__ import profile
from stages.profile.options import Request
from stages.track.__main__ import track
from tests.build.runtime.programs import Runtime, compiled
from tests.profile.logs import log_text, row
from tests.profile.test_nmem import REPORT

pytestmark = pytest.mark.slow

# of the tiny network; two rows of one layer, the stem and its activation
ROWS = [
    row("stem", 0.5),
    row("r1", 0.25),
    row("depthwise_relu6", 1.5),
    row("project_Quantize", 2.0),
    row("logits", 0.125),
]
LOG = log_text(ROWS, total="4.5")


@pytest.fixture
def tracked(evaluated, empty_store, monkeypatch):
    """The project up to its MLflow run; gives what to ask the run for."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_store, "mlflow.db")
    track(evaluated)
    run_id = json.loads(Path("out/track/run.json").read_text())["run_id"]
    Path("board.log").write_text(LOG)
    Path("nmem.txt").write_text(REPORT)
    client = mlflow.MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")

    def history(name):
        return sorted((entry.step, entry.value) for entry in client.get_metric_history(run_id, name))

    history.client, history.run_id = client, run_id
    return history


def test_times_and_memory_stand_beside_the_pcs_metrics(tracked, capsys):
    profile(Request([Path("board.log")], nmem=Path("nmem.txt")))
    shown = capsys.readouterr().out
    assert "memory: 15157 KB at most of 15480 KB, 97.9%; 10652 KB at the end" in shown
    assert f"MLflow run: {tracked.run_id}, board measurement 1 (new): board.latency_ms, board.nmem_peak_kb" in shown
    run = tracked.client.get_run(tracked.run_id)
    assert run.data.metrics["board.latency_ms"] == 4.5
    assert run.data.metrics["board.nmem_peak_kb"] == 15157
    assert run.data.metrics["board.nmem_total_kb"] == 15480
    assert "float.top1" in run.data.metrics
    assert run.info.status == "FINISHED"
    # stem_relu is node 1, depthwise_relu6 3, project 4, fc 8 of the network
    assert tracked("layers/board_ms") == [(1, 0.75), (3, 1.5), (4, 2.0), (8, 0.125)]
    paths = [entry.path for entry in tracked.client.list_artifacts(tracked.run_id, "board/1")]
    assert paths == ["board/1/board.log", "board/1/measurement.json", "board/1/nmem.txt"]


def test_the_same_log_again_makes_no_second_value(tracked, capsys):
    for _ in range(2):
        profile(Request([Path("board.log")], nmem=Path("nmem.txt")))
    assert "board measurement 1 (logged before)" in capsys.readouterr().out
    assert tracked("board.latency_ms") == [(0, 4.5)]
    assert len(tracked("layers/board_ms")) == 4
    # another log is a second measurement
    Path("board.log").write_text(log_text(ROWS, total="4.25"))
    profile(Request([Path("board.log")]))
    assert "board measurement 2 (new)" in capsys.readouterr().out
    assert tracked("board.latency_ms") == [(0, 4.5), (1, 4.25)]
    assert tracked("layers/board_ms_2") == tracked("layers/board_ms")


def test_a_file_that_was_logged_with_another_is_not_logged_again(tracked, capsys):
    profile(Request([Path("board.log")], nmem=Path("nmem.txt")))
    for request in (Request([], nmem=Path("nmem.txt")), Request([Path("board.log")])):
        profile(request)
        assert "board measurement 1 (logged before)" in capsys.readouterr().out
    assert (tracked("board.nmem_peak_kb"), tracked("board.latency_ms")) == ([(0, 15157)], [(0, 4.5)])
    Path("nmem.txt").write_text(REPORT + "\n")
    profile(Request([], nmem=Path("nmem.txt")))
    assert "board measurement 2 (new)" in capsys.readouterr().out
    profile(Request([Path("board.log")], nmem=Path("nmem.txt")))  # each of another measurement
    assert "board measurement 2 (logged before)" in capsys.readouterr().out
    assert len(tracked("board.nmem_peak_kb")) == 2


def test_memory_alone(tracked):
    profile(Request([], nmem=Path("nmem.txt")))
    assert tracked("board.nmem_peak_kb") == [(0, 15157)]
    assert tracked("board.latency_ms") == []


def test_a_log_of_another_network_or_width_is_not_logged(tracked, capsys):
    Path("other.log").write_text(log_text([row(f"layer{i}", 1.0) for i in range(4)]))
    profile(Request([Path("other.log")]))
    assert "not logged into the experiment's MLflow run: other.log is of another network: 0 of 4 rows" in (
        capsys.readouterr().err
    )
    profile(Request([Path("board.log")], [(4, 4)]))
    assert "board.log ran at 4/4 bits, the experiment has 8/8 (--track logs it all the same)" in capsys.readouterr().err
    profile(Request([Path("board.log"), Path("other.log")]))
    assert "2 logs are given, a run takes one" in capsys.readouterr().err
    assert tracked("board.latency_ms") == []
    profile(Request([Path("board.log")], track=False))
    assert tracked("board.latency_ms") == []
    profile(Request([Path("other.log")], track=True))
    assert tracked("board.latency_ms") == [(0, 4.0)]


def test_a_run_that_is_not_of_what_out_holds_is_refused(tracked):
    metrics = Path("out/evaluate/metrics.json")
    kept = metrics.read_text()
    metrics.write_text(kept + "\n")
    with pytest.raises(UserError, match=r"is another experiment's than out/ holds: run `dvc repro` first"):
        profile(Request([Path("board.log")]))
    metrics.write_text(kept)
    Path("mlflow.db").rename("away.db")
    with pytest.raises(UserError, match=r"is gone: `dvc repro --force --single-item track` logs"):
        profile(Request([Path("board.log")]))
    assert not Path("mlflow.db").exists()
    Path("out/track/run.json").unlink()
    profile(Request([Path("board.log")]))  # no run, nothing to log into
    with pytest.raises(UserError, match=r"--track: out/track/run\.json is missing"):
        profile(Request([Path("board.log")], track=True))


def test_what_the_reference_runtime_prints(tracked, capsys):
    """Its profile and nmem builds, on this machine."""
    config = load_params(Path("params.yaml"))
    model = f"out/build/t40/runtime/{config.model.name}.sqm"
    Path("in.bin").write_bytes(bytes(16 * 16 * 3))
    done = Runtime(compiled(Path("profile"), "profile", "CXXFLAGS=-O0")).run(model, "in.bin", "-o", "profile")
    Path("real.log").write_text(done.stdout)
    nmem = Runtime(compiled(Path("nmem"), "nmem", "CXXFLAGS=-O0"), environment={"NMEM_FILE": "real.txt"})
    assert nmem.run(model, "in.bin", "-o", "nmem").returncode == 0
    profile(Request([Path("real.log")], nmem=Path("real.txt")))
    shown = capsys.readouterr()
    assert "board measurement 1 (new)" in shown.out
    assert "not logged" not in shown.err
    assert {step for step, _ in tracked("layers/board_ms")} >= {1, 3, 4, 5, 8}
    assert tracked("board.nmem_peak_kb")[0][1] > 0
