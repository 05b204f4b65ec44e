"""A sweep in MLflow: one parent run, a child run for every point, whether it was computed or came from the cache."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Metric, Param, RunTag

from stages.core.base.artifacts import read_artifact, scratch_folder
from stages.core.base.paths import FLOAT_MODEL, METRICS, SIMILARITY
from stages.core.config.schema import Config
from stages.core.tables import measured_metrics, table_rows
from stages.sweep.sweep_report import escaped
from stages.sweep.sweep_state import SWEEP_FILE, Sweep, load_sweep, save_sweep
from stages.track.pipeline_run import pipeline_run, run_params
from stages.track.run import PARENT_TAG, git_revision, log_run, open_experiment, store

__all__ = [
    "FAILED",
    "FINISHED",
    "KILLED",
    "PointRun",
    "close_abandoned",
    "close_parent",
    "folder_lock",
    "log_failure",
    "log_point",
    "open_parent",
]

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
NEW_DATABASE_PREFIX = ".mlflow-"  # of the folder in which a database is created
LOCK_FILE = ".lock"  # in a sweep's folder, held while it runs


def folder_lock(folder: Path) -> FileLock:
    """The lock that a sweep holds on its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / LOCK_FILE)


def open_parent(
    groups: Mapping[str, Any], name: str, uri: str, store_lock: Path, params: Mapping[str, Any]
) -> tuple[str, str]:
    """Create the sweep's run, and before it the database and the experiment where they are not there yet.

    Args:
        groups: `soc`, `model`, `data`, `quant` where they do not vary: tags to search by.
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
        tags = {key: str(value) for key, value in groups.items()} | {
            "kind": "sweep",
            "git_revision": git_revision(),
            "mlflow.source.name": "stages.sweep",
        }
        run = client.create_run(experiment_id, run_name=str(params["name"]), tags=tags)
        _log(client, run.info.run_id, params)
        return experiment_id, str(run.info.run_id)


def _create_database(uri: str) -> None:
    """Create a missing SQLite database in one step: MLflow cannot open one that a kill left half done."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    with scratch_folder(path.parent, NEW_DATABASE_PREFIX) as folder:
        database = folder / path.name
        mlflow.MlflowClient(f"sqlite:///{database}").search_experiments()
        database.rename(path)


def close_parent(
    sweep: Sweep, status: str, metrics: Mapping[str, float], tags: Mapping[str, str], files: Sequence[Path] = ()
) -> None:
    """End the sweep's run, with its summary; children that are still open were cut off and end as killed.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(sweep.uri):
        client = mlflow.MlflowClient()
        _log(client, sweep.parent, {}, metrics, tags)
        for file in files:
            client.log_artifact(sweep.parent, str(file), "summary")
        condition = f"tags.`{PARENT_TAG}` = '{sweep.parent}' and attributes.status = 'RUNNING'"
        for run in client.search_runs([sweep.experiment_id], condition):
            client.set_terminated(run.info.run_id, KILLED)
        client.set_terminated(sweep.parent, status)
    save_sweep(replace(sweep, open=False))


def close_abandoned(folders: Sequence[Path], uri: str) -> None:
    """Close the runs of sweeps that were killed before they could do so themselves.

    Args:
        folders: of earlier sweeps, or anything else.
        uri: of the store that is in use; runs in others stay as they are.
    """
    for folder in folders:
        if not (folder / SWEEP_FILE).is_file():
            continue
        sweep = load_sweep(folder)
        if not sweep.open or sweep.uri != uri:
            continue
        try:
            with folder_lock(folder).acquire(blocking=False):
                close_parent(sweep, KILLED, {}, {"error": "killed"})
        except Timeout:
            continue  # it is running


@dataclass(frozen=True)
class PointRun:
    """A point's run below its sweep's.

    Attributes:
        sweep: the sweep.
        name: of the run.
        tags: beside those of `track`.
    """

    sweep: Sweep
    name: str
    tags: Mapping[str, str]


def log_point(
    run: PointRun, config: Config, folder: Path, metrics: Mapping[str, float]
) -> tuple[str, dict[str, float]]:
    """Log a point from its artifacts: what `track` logs, but the float network, which all points share.

    Args:
        run: the point's.
        config: the point's.
        folder: its workspace.
        metrics: beside those of `track`.

    Returns:
        The run's id and all its metrics.

    Raises:
        UserError: if an artifact is missing, or the store cannot be reached or written.
    """
    measured = read_artifact(folder / METRICS, measured_metrics)
    tracked = pipeline_run(config, measured, read_artifact(folder / SIMILARITY, table_rows), folder)
    files = {
        name: [path for path in paths if path != folder / FLOAT_MODEL] for name, paths in tracked.artifacts.items()
    }
    point = replace(
        tracked,
        run_name=run.name,
        metrics={**tracked.metrics, **metrics},
        tags={**tracked.tags, **run.tags},
        artifacts=files,
    )
    with store(run.sweep.uri):
        return log_run(point, run.sweep.experiment_id, run.sweep.parent), dict(point.metrics)


def log_failure(run: PointRun, config: Config | None, error: str, log: Path) -> str:
    """Log a point that failed: its parameters if it got that far, the error's line, and the pipeline's log.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(run.sweep.uri):
        client = mlflow.MlflowClient()
        tags = {**run.tags, PARENT_TAG: run.sweep.parent, "error": error, "mlflow.note.content": escaped(error)}
        created = client.create_run(run.sweep.experiment_id, run_name=run.name, tags=tags)
        run_id = str(created.info.run_id)
        _log(client, run_id, run_params(config) if config else {})
        if log.is_file():
            client.log_artifact(run_id, str(log))
        client.set_terminated(run_id, FAILED)
        return run_id


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
