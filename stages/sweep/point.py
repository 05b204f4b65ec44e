"""One point of a sweep: a Hydra job that computes an experiment in its own folder and logs it."""

import math
import os
import time
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from stages.core.base.artifacts import as_object, read_artifact
from stages.core.base.errors import UserError, one_line
from stages.core.base.paths import DIAGNOSIS, FLOAT_MODEL, METRICS, QPARAMS
from stages.core.config.composition import finished
from stages.core.config.schema import SOURCE_KEYS, Config
from stages.core.config.watch import register_resolvers
from stages.core.data.local_files import check_local_files
from stages.core.graph.onnx_graph import Graph, load_model
from stages.core.integer.network_params import load_qparams
from stages.core.tables import measured_metrics
from stages.sweep.launchers import end_if_orphaned
from stages.sweep.network_cost import network_cost
from stages.sweep.ranking import TRACK_METRICS, metric_of_point
from stages.sweep.sweep_state import PointResult, Sweep, label, load_sweep, save_result
from stages.sweep.tracking import PointRun, log_failure, log_point
from stages.sweep.workspace import LOG_FILE, prepare, reproduce, upstream_params
from stages.track.run import flatten

__all__ = ["checked", "point", "reason"]

register_resolvers()  # for a job in another process, which gets its configuration before it gets to work


@dataclass(frozen=True)
class _Computed:
    run_id: str
    metrics: dict[str, float]
    value: float
    executed: list[str]
    verdict: str


def point(composed: DictConfig) -> float:
    """Run as a Hydra job: compute the point, log it under the sweep's run, write its result.

    Returns:
        The metric to rank by, for Hydra's sweepers; NaN if the point failed. Nothing is raised then, since Hydra would
        leave the other points out.

    Raises:
        RuntimeError: if the point failed and the sweeper takes that into account.
    """
    job = HydraConfig.get()
    sweep = load_sweep(Path(job.sweep.dir))
    folder = Path(job.runtime.output_dir)
    end_if_orphaned(job, sweep.process)
    with chdir(sweep.project):
        result = _run(sweep, folder, composed, job)
    if load_sweep(sweep.folder).parent == sweep.parent:  # else killed, and another sweep uses the folder
        save_result(folder, result)
    end_if_orphaned(job, sweep.process)
    if result.value is None and "max_failure_rate" in job.sweeper:  # a sweeper that wants to count failures
        raise RuntimeError(result.error)
    return math.nan if result.value is None else result.value


def _run(sweep: Sweep, folder: Path, composed: DictConfig, job: DictConfig) -> PointResult:
    """Compute and log a point; whatever fails is its result.

    Args:
        sweep: the point's.
        folder: of the point.
        composed: its experiment.
        job: Hydra's settings, `hydra`.
    """
    begun = time.monotonic()
    number, overrides = job.job.num, tuple(job.overrides.task)
    run = PointRun(sweep, label(overrides, sweep.varied), {"overrides": " ".join(overrides), "point": str(number)})
    config: Config | None = None
    try:
        config, text = checked(composed, job.runtime.choices.get("soc"), sweep.project)
        done = _compute(run, folder, config, text)
    except Exception as error:  # one point must not end the others
        line = reason(error)
        try:
            run_id: str | None = log_failure(run, config, line, folder / LOG_FILE)
        except UserError as refused:
            run_id, line = None, f"{line}; {refused}"
        return PointResult(number, overrides, {}, None, line, run_id, (), time.monotonic() - begun)
    seconds = time.monotonic() - begun
    return PointResult(
        number, overrides, done.metrics, done.value, None, done.run_id, tuple(done.executed), seconds, done.verdict
    )


def reason(error: Exception) -> str:
    """Say in one line why a point failed."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {one_line(error)}"


def checked(composed: DictConfig, soc: str | None, project: Path) -> tuple[Config, str]:
    """Check a point's composition.

    Args:
        composed: what Hydra composed, without its own settings.
        soc: the SOC's file in conf/soc/, without suffix.
        project: the repository, the current folder.

    Returns:
        The config, and the text of params.yaml.

    Raises:
        UserError: for what the schema or the checks refuse, and for local files that are missing or of a wrong kind.
    """
    content = OmegaConf.to_container(composed, resolve=False, enum_to_str=True)
    assert isinstance(content, dict)
    del content["sweep"]
    composed = OmegaConf.create(content)
    OmegaConf.update(composed, "compare.cures", 0)  # a sweep is itself a trial of many settings
    for key in SOURCE_KEYS.values():  # from a point's folder `..` would lead elsewhere
        value = OmegaConf.select(composed, key)
        if isinstance(value, str) and value.startswith("file:../"):
            outside = os.path.normpath(project / value.removeprefix("file:"))
            OmegaConf.update(composed, key, f"file:{outside}")
    config, text = finished(composed, soc, Path("conf"))
    check_local_files(config)
    return config, text


def _compute(run: PointRun, folder: Path, config: Config, text: str) -> _Computed:
    """Compute a point in its folder and log it; `text`: its params.yaml."""
    sweep = run.sweep
    pipeline: dict[str, Any] = yaml.safe_load((sweep.project / "dvc.yaml").read_text(encoding="utf-8"))
    upstream = upstream_params(pipeline, yaml.safe_load(text))
    prepare(sweep.project, folder, text, config.watch.files, sweep.cache)
    executed = reproduce(folder, sweep.cache, text, upstream)
    graph = Graph(load_model(folder / FLOAT_MODEL))
    costs = network_cost(graph, config, load_qparams(folder / QPARAMS, config))
    cost = {f"cost.{key}": value for key, value in costs.items()}
    measured = flatten(read_artifact(folder / METRICS, measured_metrics))
    metric = metric_of_point(sweep.metric, [*measured, *TRACK_METRICS, *cost])  # before a run is logged
    origin = {"executed": " ".join(executed) or "none: all from the cache", "folder": str(folder)}
    run = replace(run, tags={**run.tags, **origin})
    verdict = read_artifact(folder / DIAGNOSIS, _verdict)
    run_id, metrics = log_point(run, config, folder, cost)
    return _Computed(run_id, metrics, metrics[metric], executed, verdict)


def _verdict(content: Any) -> str:
    """The level of compare's verdict."""
    return str(as_object(as_object(content)["verdict"])["level"])
