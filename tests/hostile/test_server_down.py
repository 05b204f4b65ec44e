"""An MLflow server that is down is said in one line, and soon."""

import os
import socket

import pytest

from stages.core.base.errors import UserError
from stages.track.run import PATIENCE, open_experiment, store


@pytest.mark.slow
def test_a_server_that_is_down(monkeypatch):
    for name in PATIENCE:
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UserError) as caught, store(uri):
        open_experiment("any", uri)
    assert str(caught.value) == f"MLflow at {uri}: no server answers: start it, or change MLFLOW_TRACKING_URI"


@pytest.mark.slow
def test_a_store_that_is_no_database(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").write_text("no database" * 100)
    with pytest.raises(UserError) as caught, store(uri):
        open_experiment("any", uri)
    assert str(caught.value) == f"MLflow at {uri}: file is not a database"


def test_the_user_s_patience_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    for name in PATIENCE:
        monkeypatch.setenv(name, "7")
    with store(f"sqlite:///{tmp_path}/mlflow.db"):
        pass
    assert {os.environ[name] for name in PATIENCE} == {"7"}
