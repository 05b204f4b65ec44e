import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from stages.core.base.errors import UserError
from stages.track.run import RunContent, fingerprint, flatten, git_revision, log_once, log_run, tracking_uri


@pytest.fixture(scope="module")
def store(empty_store, tmp_path_factory):
    """Address of an empty store; runs inside its folder, where artifacts go."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def content(tmp_path, request):
    (tmp_path / "report.html").write_text("<p>report</p>")
    (tmp_path / "model.onnx").write_bytes(b"network")
    return RunContent(
        experiment="cameras",
        run_name="net T40 a8w8",
        params={"soc.name": "T40", "quant.feature_bits": 8, "model.outputs": []},
        metrics={"cosine": 0.75, "float.top1": 1.0},
        curves={"layer_cosine": [0.9, 0.8, 0.7], "layer_euclidean": [0.1, 0.2, 0.3]},
        tags={"fingerprint": request.node.name, "soc": "T40", "git_revision": "abc"},
        artifacts={"": [tmp_path / "report.html"], "models": [tmp_path / "model.onnx"]},
    )


def runs(store, name, filter_string=""):
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id], filter_string) if experiment else []


# --- logging


@pytest.mark.slow
def test_the_first_run_is_new_and_complete(store, content):
    run_id, new = log_once(content, store)
    assert new
    client = mlflow.MlflowClient(store)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "net T40 a8w8"
    assert run.data.params == {"soc.name": "T40", "quant.feature_bits": "8", "model.outputs": "[]"}
    assert {key: run.data.metrics[key] for key in ("cosine", "float.top1")} == {"cosine": 0.75, "float.top1": 1.0}
    assert {key: run.data.tags[key] for key in content.tags} == content.tags
    assert [file.path for file in client.list_artifacts(run_id)] == ["models", "report.html"]
    assert [file.path for file in client.list_artifacts(run_id, "models")] == ["models/model.onnx"]
    text = mlflow.artifacts.load_text(f"runs:/{run_id}/report.html")
    assert text == "<p>report</p>"


def test_a_curve_has_one_value_a_node(store, content):
    run_id, _ = log_once(content, store)
    history = mlflow.MlflowClient(store).get_metric_history(run_id, "layer_cosine")
    assert sorted((point.step, point.value) for point in history) == [(0, 0.9), (1, 0.8), (2, 0.7)]


def test_a_curve_over_many_nodes_is_logged_whole(store, content):
    values = [i / 1200 for i in range(1200)]
    run_id, _ = log_once(replace(content, curves={"layer_cosine": values}), store)
    history = mlflow.MlflowClient(store).get_metric_history(run_id, "layer_cosine")
    assert [point.value for point in sorted(history, key=lambda point: point.step)] == values


def test_a_point_of_a_sweep_does_not_stand_for_the_experiment_alone(store, content):
    parent, _ = log_once(replace(content, tags={**content.tags, "fingerprint": "of the sweep"}), store)
    experiment_id = mlflow.MlflowClient(store).get_run(parent).info.experiment_id
    point = log_run(content, experiment_id, parent)
    alone, new = log_once(content, store)
    assert (new, alone != point) == (True, True)
    assert log_once(content, store) == (alone, False)


def test_the_second_time_the_same_run_is_given(store, content):
    first, _ = log_once(content, store)
    count = len(runs(store, "cameras"))
    assert log_once(content, store) == (first, False)
    assert len(runs(store, "cameras")) == count


def test_another_fingerprint_is_another_run(store, content):
    first, _ = log_once(content, store)
    second, new = log_once(replace(content, tags=content.tags | {"fingerprint": "other"}), store)
    assert new
    assert second != first


def test_another_experiment_has_its_own_runs(store, content):
    first, _ = log_once(content, store)
    second, new = log_once(replace(content, experiment="others"), store)
    assert new
    assert second != first
    assert len(runs(store, "others")) == 1


def test_a_run_that_breaks_off_does_not_count(store, content, tmp_path):
    (tmp_path / "model.onnx").rename(tmp_path / "away.onnx")
    with pytest.raises(UserError, match=r"^MLflow at sqlite:"):
        log_once(content, store)
    condition = f"tags.fingerprint = '{content.tags['fingerprint']}'"
    assert [run.info.status for run in runs(store, "cameras", condition)] == ["FAILED"]
    (tmp_path / "away.onnx").rename(tmp_path / "model.onnx")
    run_id, new = log_once(content, store)
    assert new
    assert log_once(content, store) == (run_id, False)


def test_a_deleted_run_does_not_count(store, content):
    first, _ = log_once(content, store)
    mlflow.MlflowClient(store).delete_run(first)
    second, new = log_once(content, store)
    assert new
    assert second != first


def test_no_run_stays_open(store, content):
    log_once(content, store)
    assert mlflow.active_run() is None


def test_a_store_that_cannot_be_opened_is_refused(content):
    with pytest.raises(UserError, match=r"^MLflow at nonsense://store: .+$"):
        log_once(content, "nonsense://store")


# --- parts


@pytest.mark.parametrize(
    ("content", "flat"),
    [
        ({}, {}),
        ({"a": 1, "b": {"c": 2, "d": {"e": None}}}, {"a": 1, "b.c": 2, "b.d.e": None}),
        ({"a": [1, {"b": 2}], "c": {}}, {"a": [1, {"b": 2}]}),
    ],
)
def test_flatten(content, flat):
    assert flatten(content) == flat


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_fingerprint_is_the_same_for_the_same(files):
    digest = fingerprint({"x": 1, "y": "a"}, files)
    assert fingerprint({"y": "a", "x": 1}, files) == digest
    assert len(digest) == 16
    assert int(digest, 16) >= 0


@pytest.mark.parametrize("params", [{"x": 2, "y": "a"}, {"x": 1}, {"x": "1", "y": "a"}, {"x": 1, "z": "a"}])
def test_fingerprint_changes_with_a_parameter(files, params):
    assert fingerprint(params, files) != fingerprint({"x": 1, "y": "a"}, files)


@pytest.mark.parametrize("content", [b"B", b"b\n", b""])
def test_fingerprint_changes_with_a_byte_of_a_file(files, content):
    before = fingerprint({}, files)
    files[1].write_bytes(content)
    assert fingerprint({}, files) != before


def test_tracking_uri(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking_uri() == "http://server:5000"


def test_git_revision(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision() == "none"
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    Path("file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], [*author, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert git_revision() == done.stdout[:12]
    Path("file").write_text("two")
    assert git_revision() == done.stdout[:12] + "-dirty"


def test_git_revision_without_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision() == "none"


def test_a_store_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch, content):
    monkeypatch.setattr("os.access", lambda *_: False)  # as on a file system that is mounted read-only
    with pytest.raises(UserError, match=r"mlflow\.db cannot be written$"):
        log_once(content, f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("inside", [".", ".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/standalone/tmpabc"])
def test_a_temporary_workspace_logs_into_the_projects_store(tmp_path, monkeypatch, inside):
    folder = tmp_path / inside
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_an_address_in_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert tracking_uri() == "http://localhost:5000"
