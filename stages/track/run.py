"""Logging a run to MLflow, once."""

import hashlib
import logging
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from stages.core.base.errors import UserError, one_line

__all__ = [
    "PARENT_TAG",
    "Measurement",
    "RunContent",
    "add_measurement",
    "fingerprint",
    "flatten",
    "git_revision",
    "log_once",
    "log_run",
    "open_experiment",
    "plain",
    "shown_store",
    "store",
    "tracking_uri",
]

FINGERPRINT_TAG = "fingerprint"
PARENT_TAG = "mlflow.parentRunId"
"""Of a sweep's point: the sweep's run."""
MEASUREMENTS_TAG, FINGERPRINT_JOINT = "board.measurements", "+"
EXPERIMENT_KIND_TAG = "mlflow.experimentKind"
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""How long MLflow tries a server that does not answer: a minute at most, in place of four; yours win."""


@dataclass(frozen=True)
class RunContent:
    """What goes into a run.

    Attributes:
        experiment: the MLflow experiment.
        run_name: shown in the UI.
        params: flat parameters.
        metrics: flat metrics.
        curves: metric name -> one value a node, logged with the node's depth as step.
        tags: what to search by; `fingerprint` among them identifies the run.
        artifacts: folder in the run -> files.
        tables: file in the run -> rows of equal keys; the UI shows them side by side with other runs'.
    """

    experiment: str
    run_name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    artifacts: Mapping[str, Sequence[Path]]
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def log_once(content: RunContent, uri: str) -> tuple[str, bool]:
    """Log a finished run, unless one with the same fingerprint is there; a sweep's point is its sweep's alone.

    Args:
        content: what to log.
        uri: of the tracking store.

    Returns:
        The run's id and whether it is new. A run that breaks off is marked failed and does not count.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    with store(uri):
        experiment_id = open_experiment(content.experiment, uri)
        same = f"tags.{FINGERPRINT_TAG} = '{content.tags[FINGERPRINT_TAG]}' and attributes.status = 'FINISHED'"
        runs = mlflow.MlflowClient().search_runs([experiment_id], same, ViewType.ACTIVE_ONLY)
        for run in runs:
            if PARENT_TAG not in run.data.tags:  # which no condition of a search can say
                return str(run.info.run_id), False
        return log_run(content, experiment_id), True


@dataclass(frozen=True)
class Measurement:
    """What a board measured of an experiment that is logged.

    Attributes:
        fingerprints: of each thing that was measured, tells it from others.
        metrics: flat metrics.
        curves: metric name -> depth of a node -> its value.
        content: all of it, for those who read on.
        files: what it was read from.
    """

    fingerprints: Sequence[str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Mapping[int, float]]
    content: Mapping[str, Any]
    files: Sequence[Path]


def add_measurement(run_id: str, fingerprint: str, measurement: Measurement, uri: str) -> tuple[int, bool]:
    """Add a measurement to a finished run, unless all that it measures is there.

    The n-th measurement of a run is the n-th step of its metrics; curves, whose steps are depths, get `_n` behind their
    names from the second on. Its files and `measurement.json` go to `board/n/`.

    Args:
        run_id: of the run.
        fingerprint: that the run must have.
        measurement: what to add.
        uri: of the tracking store.

    Returns:
        Its number, from 1, and whether it is new; of one that is not, that of the last measurement with any of it.

    Raises:
        UserError: if the store cannot be reached or written, the run is gone, or is another experiment's.
    """
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise UserError(f"MLflow at {uri} is gone: `dvc repro --force --single-item track` logs the experiment anew")
    with store(uri):
        client = mlflow.MlflowClient()
        tags = client.get_run(run_id).data.tags
        if tags.get(FINGERPRINT_TAG) != fingerprint:
            raise UserError(f"MLflow run {run_id} is another experiment's than out/ holds: run `dvc repro` first")
        known = tags.get(MEASUREMENTS_TAG, "").split()
        logged = {part: n for n, parts in enumerate(known, 1) for part in parts.split(FINGERPRINT_JOINT)}
        if logged.keys() >= {*measurement.fingerprints}:
            return max(logged[part] for part in measurement.fingerprints), False
        number, now = len(known) + 1, int(time.time() * 1000)
        suffix = "" if number == 1 else f"_{number}"
        points = [Metric(name, value, now, number - 1) for name, value in measurement.metrics.items()]
        for name, values in measurement.curves.items():
            points += [Metric(f"{name}{suffix}", value, now, depth) for depth, value in values.items()]
        client.log_batch(run_id, metrics=points)
        for file in measurement.files:
            client.log_artifact(run_id, str(file), f"board/{number}")
        client.log_dict(run_id, dict(measurement.content), f"board/{number}/measurement.json")
        client.set_tag(run_id, MEASUREMENTS_TAG, " ".join([*known, FINGERPRINT_JOINT.join(measurement.fingerprints)]))
        return number, True


@contextmanager
def store(uri: str) -> Iterator[None]:
    """Use a tracking store in the block.

    Raises:
        UserError: if the store cannot be reached or written.
    """
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the first use of a store narrates its migrations
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    path = Path(uri.removeprefix("sqlite:///"))
    written = [each for each in (path, path.parent) if each.exists()] if uri.startswith("sqlite:///") else []
    if path.is_dir() or not all(os.access(each, os.W_OK) for each in written):  # MLflow would try for a minute
        raise UserError(f"MLflow at {uri}: {path} cannot be written")
    try:
        mlflow.set_tracking_uri(uri)
        yield
    except SQLAlchemyError as error:  # the file is no database, or a damaged one
        raise UserError(f"MLflow at {uri}: {one_line(getattr(error, 'orig', None) or error)}") from error
    except (MlflowException, OSError) as error:
        if "Max retries exceeded" in str(error):
            raise UserError(f"MLflow at {uri}: no server answers: start it, or change MLFLOW_TRACKING_URI") from error
        raise UserError(f"MLflow at {uri}: {one_line(error)}") from error


def open_experiment(name: str, uri: str) -> str:
    """Find or create an MLflow experiment in the store that is in use; a SQLite database comes into being here.

    Two processes must not do this at once on a database that is not there yet.

    Returns:
        The experiment's id.
    """
    if uri.startswith("sqlite:") and mlflow.get_experiment_by_name(name) is None:
        database = Path(uri.removeprefix("sqlite:///"))
        mlflow.create_experiment(name, (database.parent / "mlruns").as_uri())  # not in a temporary folder
    chosen = mlflow.set_experiment(name)
    if EXPERIMENT_KIND_TAG not in chosen.tags:
        mlflow.set_experiment_tag(
            EXPERIMENT_KIND_TAG, "custom_model_development"
        )  # the UI then opens on runs and charts
    return str(chosen.experiment_id)


def log_run(content: RunContent, experiment_id: str, parent: str | None = None) -> str:
    """Log a finished run into the store that is in use; one that breaks off is marked failed.

    Args:
        content: what to log; its experiment does not count here.
        experiment_id: the MLflow experiment.
        parent: the run that it is shown under.

    Returns:
        The run's id.
    """
    client = mlflow.MlflowClient()
    with mlflow.start_run(
        experiment_id=experiment_id,
        run_name=content.run_name,
        tags=dict(content.tags),
        parent_run_id=parent,
    ) as run:
        mlflow.log_params(dict(content.params))
        mlflow.log_metrics(dict(content.metrics))
        client.log_batch(run.info.run_id, metrics=list(_points(content.curves)))
        for folder, files in content.artifacts.items():
            for file in files:
                mlflow.log_artifact(str(file), folder or None)
        for name, rows in content.tables.items():
            mlflow.log_table({key: [row[key] for row in rows] for key in rows[0]}, name)
        return str(run.info.run_id)


def _points(curves: Mapping[str, Sequence[float]]) -> Iterator[Metric]:
    now = int(time.time() * 1000)
    for name, values in curves.items():
        for depth, value in enumerate(values):
            yield Metric(name, value, now, depth)


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, or the project's mlflow.db, as an absolute address."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_folder() / 'mlflow.db'}"


def project_folder() -> Path:
    """The current folder; from inside a temporary workspace of `dvc exp run --queue` or `--temp`, the project's."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return here


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted keys; lists stay one value."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def plain(content: Any) -> Any:
    """Enums to their names, so that params read as they are typed."""
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    return content.name if isinstance(content, Enum) else content


def shown_store(uri: str) -> str:
    """What to open, or to type in this folder, to see a store."""
    if uri.startswith("http"):
        return uri
    here = f"sqlite:///{Path.cwd()}/"
    shown = f"sqlite:///{uri.removeprefix(here)}" if uri.startswith(here) else uri
    return f"mlflow ui --backend-store-uri {shown}"


def fingerprint(params: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Identify an experiment by its parameters and the bytes of its results."""
    digest = hashlib.sha256(repr(sorted(params.items())).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def git_revision() -> str:
    """The commit of this folder, with `-dirty` for uncommitted changes; `none` outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return done.stdout.strip() or "none"
