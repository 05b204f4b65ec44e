"""A sweep in MLflow: one parent run, a child run for every point, whether it was computed or came from the cache."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Metric, Param, RunTag

from stages.core.base.artifacts import read_json
from stages.core.base.paths import FLOAT_MODEL, METRICS, SIMILARITY
from stages.core.config.schema import Config
from stages.sweep.session import Session, load_session, save_session
from stages.track.__main__ import experiment, run_params
from stages.track.run import git_revision, log_run, open_experiment, store

__all__ = ["FINISHED", "KILLED", "close_abandoned", "close_parent", "log_failure", "log_point", "open_parent"]

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
CHILD_OF = "mlflow.parentRunId"
MAKING = ".mlflow-"  # how the name of the folder begins where a database is made
IN_USE = ".lock"  # in a sweep's folder, held while it runs


def folder_lock(folder: Path) -> FileLock:
    """The lock that a sweep holds on its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / IN_USE)


def open_parent(
    config: Mapping[str, Any], name: str, uri: str, store_lock: Path, params: Mapping[str, Any]
) -> tuple[str, str]:
    """Create the sweep's run, and before it the database and the experiment where they are not there yet.

    Args:
        config: `soc`, `model`, `data` of the first point, to search by.
        name: of the MLflow experiment.
        uri: of the store.
        store_lock: two sweeps that both create a database would crash.
        params: what defines the sweep; `name` is the run's.

    Returns:
        The ids of the experiment and of the run.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(uri), FileLock(store_lock):
        _create_database(uri)
        experiment_id = open_experiment(name, uri)
        client = mlflow.MlflowClient()
        tags = {key: str(value) for key, value in config.items()} | {
            "kind": "sweep",
            "git_revision": git_revision(),
            "mlflow.source.name": "stages.sweep",
        }
        run = client.create_run(experiment_id, run_name=str(params["name"]), tags=tags)
        _log(client, run.info.run_id, params)
        return experiment_id, str(run.info.run_id)


def _create_database(uri: str) -> None:
    """Make a SQLite database that is not there yet in one step: MLflow cannot open one that a kill left half made."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    for abandoned in path.parent.glob(f"{MAKING}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with TemporaryDirectory(prefix=MAKING, dir=path.parent) as folder:
        made = Path(folder) / path.name
        mlflow.MlflowClient(f"sqlite:///{made}").search_experiments()
        made.rename(path)


def close_parent(
    session: Session, status: str, metrics: Mapping[str, float], tags: Mapping[str, str], files: Sequence[Path] = ()
) -> None:
    """End the sweep's run, with its summary; children that are still open were cut off and end as killed.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(session.uri):
        client = mlflow.MlflowClient()
        _log(client, session.parent, {}, metrics, tags)
        for file in files:
            client.log_artifact(session.parent, str(file), "summary")
        condition = f"tags.`{CHILD_OF}` = '{session.parent}' and attributes.status = 'RUNNING'"
        for run in client.search_runs([session.experiment_id], condition):
            client.set_terminated(run.info.run_id, KILLED)
        client.set_terminated(session.parent, status)
    save_session(replace(session, open=False))


def close_abandoned(folders: Sequence[Path], uri: str) -> None:
    """Close the runs of sweeps that were killed before they could do so themselves.

    Args:
        folders: of earlier sweeps, or anything else.
        uri: of the store that is in use; runs in others stay as they are.
    """
    for folder in folders:
        if not (folder / "sweep.json").is_file():
            continue
        session = load_session(folder)
        if not session.open or session.uri != uri:
            continue
        try:
            with folder_lock(folder).acquire(blocking=False):
                close_parent(session, KILLED, {}, {"error": "killed"})
        except Timeout:
            continue  # it is running


def log_point(
    session: Session, config: Config, folder: Path, name: str, tags: Mapping[str, str], more: Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """Log a point from its artifacts: what `track` logs, but the float network, which all points share.

    Args:
        session: the sweep.
        config: the point's.
        folder: its workspace.
        name: the run's.
        tags: beside those of `track`.
        more: metrics beside those of `track`.

    Returns:
        The run's id and all its metrics.

    Raises:
        UserError: if an artifact is missing, or the store cannot be reached or written.
    """
    found = experiment(config, read_json(folder / METRICS), read_json(folder / SIMILARITY), folder)
    files = {name: [path for path in paths if path != folder / FLOAT_MODEL] for name, paths in found.artifacts.items()}
    point = replace(
        found, run_name=name, metrics={**found.metrics, **more}, tags={**found.tags, **tags}, artifacts=files
    )
    with store(session.uri):
        return log_run(point, session.experiment_id, session.parent), dict(point.metrics)


def log_failure(
    session: Session, config: Config | None, name: str, tags: Mapping[str, str], error: str, log: Path
) -> str:
    """Log a point that failed: its parameters if it got that far, the error's line, and the pipeline's log.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(session.uri):
        client = mlflow.MlflowClient()
        told = {**tags, CHILD_OF: session.parent, "error": error, "mlflow.note.content": error}
        run = client.create_run(session.experiment_id, run_name=name, tags=told)
        _log(client, run.info.run_id, run_params(config) if config else {})
        if log.is_file():
            client.log_artifact(run.info.run_id, str(log))
        client.set_terminated(run.info.run_id, FAILED)
        return str(run.info.run_id)


def _log(
    client: Any,
    run: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    now = int(time.time() * 1000)
    client.log_batch(
        run,
        [Metric(key, value, now, 0) for key, value in (metrics or {}).items()],
        [Param(key, str(value)) for key, value in params.items()],
        [RunTag(key, value) for key, value in (tags or {}).items()],
    )
