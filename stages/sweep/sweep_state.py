"""What all points of a sweep share, in a file that jobs in other processes and on other machines read."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import as_object, read_artifact, write_json

__all__ = [
    "RESULT_FILE",
    "SWEEP_FILE",
    "PointResult",
    "Sweep",
    "label",
    "load_results",
    "load_sweep",
    "save_result",
    "save_sweep",
]

SWEEP_FILE = "sweep.json"
RESULT_FILE = "result.json"
HYDRA_ESCAPE = re.compile(r"\\([\\()\[\]{}:=, \t])")  # as Hydra writes a value that it passes on
SHORT_KEYS = {"quant.feature_bits": "a", "quant.weight_bits": "w"}  # as in quant=a8w4: MLflow's list shows 15 letters


@dataclass(frozen=True)
class Sweep:
    """A sweep.

    Attributes:
        folder: of the sweep; each point has a folder in it.
        project: the repository.
        cache: its DVC cache.
        uri: of the MLflow store.
        experiment_id: the MLflow experiment.
        parent: the MLflow run of the sweep.
        varied: keys that the sweep varies.
        metric: what to rank by; None: the usual one (docs/sweep.md).
        direction: "maximize" or "minimize".
        cost: what the Pareto front weighs it against.
        command: what was typed after `python -m stages.sweep`.
        launcher: of Hydra.
        process: the sweep's own id on its machine.
        subject: which network on which SOC, as in "of yolov8n on the T41"; without what varies.
        kept: overrides of params.yaml that it started from, with `--keep`; None without.
        open: whether the parent run has not been closed yet.
    """

    folder: Path
    project: Path
    cache: Path
    uri: str
    experiment_id: str
    parent: str
    varied: tuple[str, ...]
    metric: str | None
    direction: str
    cost: str
    command: str
    launcher: str
    process: int = 0
    subject: str = ""
    kept: tuple[str, ...] | None = None
    open: bool = True


@dataclass(frozen=True)
class PointResult:
    """What became of a point.

    Attributes:
        number: Hydra's number of the job.
        overrides: what it was given, `key=value`.
        metrics: of the run; empty for a failed point.
        value: the metric to rank by; None for a failed point.
        error: one line; None if all went well.
        run: its MLflow run; None if not even that could be logged.
        executed: stages that were computed, not taken from the cache.
        seconds: from start to end.
        verdict: the level of compare's verdict (docs/verdict.md); "" for a failed point.
    """

    number: int
    overrides: tuple[str, ...]
    metrics: dict[str, float]
    value: float | None
    error: str | None
    run: str | None
    executed: tuple[str, ...]
    seconds: float
    verdict: str = ""

    def setting(self, key: str) -> str:
        """The value that the point was given for a key, as it was typed; "" if none."""
        return HYDRA_ESCAPE.sub(r"\1", dict(override.split("=", 1) for override in self.overrides).get(key, ""))


def label(overrides: tuple[str, ...], varied: tuple[str, ...]) -> str:
    """Name a point by what varies, as in `a4 w8 soc=t41`; a sweep of one point by all that its experiment was given."""
    chosen = [override for override in overrides if override.split("=", 1)[0] in varied]
    chosen = chosen or [override for override in overrides if not override.startswith("sweep.")]
    return " ".join(_short(*override.split("=", 1)) for override in chosen) or "default"


def _short(key: str, value: str) -> str:
    value = HYDRA_ESCAPE.sub(r"\1", value)
    return f"{SHORT_KEYS[key]}{value}" if key in SHORT_KEYS else f"{key.rpartition('.')[2]}={value}"


def save_sweep(sweep: Sweep) -> None:
    """Write it into its folder."""
    write_json(sweep.folder / SWEEP_FILE, _plain(asdict(sweep)))


def load_sweep(folder: Path) -> Sweep:
    """Read what `save_sweep` wrote.

    Raises:
        UserError: if it is missing or damaged.
    """
    return read_artifact(folder / SWEEP_FILE, _sweep)


def _sweep(row: Any) -> Sweep:
    content = as_object(row)
    content |= {key: Path(content[key]) for key in ("folder", "project", "cache")}
    return Sweep(**content | {key: tuple(content[key]) for key in ("varied", "kept") if content.get(key) is not None})


def save_result(folder: Path, result: PointResult) -> None:
    """Write it into its point's folder."""
    write_json(folder / RESULT_FILE, _plain(asdict(result)))


def load_results(folder: Path) -> list[PointResult]:
    """Read those of a sweep's points that are done, by their number."""
    results = [read_artifact(path, _result) for path in folder.glob(f"*/{RESULT_FILE}")]
    return sorted(results, key=lambda result: result.number)


def _result(row: Any) -> PointResult:
    return PointResult(**as_object(row) | {"overrides": tuple(row["overrides"]), "executed": tuple(row["executed"])})


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in content.items()}
