"""A board's times and memory in the MLflow run of the experiment that it ran."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.core.base.artifacts import as_object, as_rows, read_artifact
from stages.core.base.paths import QPARAMS, SIMILARITY
from stages.core.config.schema import Config
from stages.core.integer.network_params import load_qparams
from stages.profile.nmem import NmemReport
from stages.track.pipeline_run import run_fingerprint
from stages.track.run import Measurement, add_measurement, shown_store, tracking_uri

__all__ = ["log_measurement", "measurement"]


def log_measurement(config: Config, run: Path, measured: Measurement) -> list[str]:
    """Add a measurement to the experiment's run, unless it is there; gives lines that say where.

    Args:
        config: the experiment's.
        run: track's file with the run's id.
        measured: the measurement.

    Raises:
        UserError: if the run is not of what out/ holds, or the store cannot be reached or written.
    """
    load_qparams(QPARAMS, config)  # refuses results of other parameters
    uri, run_id = tracking_uri(), read_artifact(run, lambda content: str(as_object(content)["run_id"]))
    number, new = add_measurement(run_id, run_fingerprint(config), measured, uri)
    state = "new" if new else "logged before"
    return [
        f"MLflow run: {run_id}, board measurement {number} ({state}): {', '.join(measured.metrics)}",
        f"see it with: {shown_store(uri)}",
    ]


def measurement(
    total: float | None,
    layers: Sequence[Mapping[str, Any]],
    memory: NmemReport | None,
    log: Path | None,
    nmem: Path | None,
) -> Measurement:
    """Gather a measurement.

    Args:
        total: ms of the network; None: no profile.
        layers: rows of `hot_layers`.
        memory: the nmem report; None: none.
        log: what the times were read from.
        nmem: what the memory was read from.
    """
    times_of = {} if total is None else {"board.latency_ms": total}
    memory_of = {"board.nmem_peak_kb": memory.peak, "board.nmem_total_kb": memory.total} if memory else {}
    metrics = times_of | memory_of
    rows = read_artifact(SIMILARITY, lambda content: as_rows(content, "node"))
    depths = {row["node"]: depth for depth, row in enumerate(rows)}
    times: dict[int, float] = {}
    for row in layers:
        if row["node"] in depths:
            times[depths[row["node"]]] = times.get(depths[row["node"]], 0.0) + row["ms"]
    content = {"layers": list(layers), "memory": asdict(memory) if memory else None, **metrics}
    files = {path: of_file for path, of_file in ((log, times_of), (nmem, memory_of)) if path is not None}
    curves = {"layers/board_ms": dict(sorted(times.items()))} if times else {}
    return Measurement([_file_fingerprint(*file) for file in files.items()], metrics, curves, content, list(files))


def _file_fingerprint(file: Path, metrics: Mapping[str, float]) -> str:
    """The fingerprint of a file as it was read: another --run of the same log is another measurement."""
    read = repr(sorted(metrics.items())).encode()
    return hashlib.sha256(hashlib.sha256(file.read_bytes()).digest() + read).hexdigest()[:16]
