"""The pipeline's run before this one, of the same network: what was changed, and what it did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import ViewType

from stages.track.run import PARENT_TAG, RunContent, store

__all__ = ["SHOWN_METRICS", "RunBefore", "run_before"]

SHOWN_METRICS = ("quantized.top1", "quantized.map", "agreement", "fidelity", "cosine")
"""What is compared, of what both runs have; a metric of the user's own comes first."""
OUR_METRICS = tuple(f"quantized.{name}" for name in ("top", "map", "mask_map", "keypoint_map"))
MOST_METRICS, MOST_CHANGES = 2, 6
MOST_RUNS = 100
"""Sweeps' points are among them."""
UNSAID = ("quant.name", "track.experiment")
"""Parameters that change nothing by themselves."""


@dataclass(frozen=True)
class RunBefore:
    """A finished run.

    Attributes:
        run_id: its id.
        params: flat parameters, as MLflow keeps them.
        metrics: flat metrics.
    """

    run_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    def words(self, content: RunContent) -> str:
        """Say what this run has otherwise: metrics before and after, and the parameters that were changed."""
        own = [key for key in content.metrics if key.startswith("quantized.") and not key.startswith(OUR_METRICS)]
        shared = [key for key in (*own, *SHOWN_METRICS) if key in content.metrics and key in self.metrics]
        metrics = [f"{key} {self.metrics[key]:.4g} -> {content.metrics[key]:.4g}" for key in shared[:MOST_METRICS]]
        params = {key: str(value) for key, value in content.params.items() if key not in UNSAID}
        changed = [key for key, value in params.items() if self.params.get(key, value) != value]
        changes = [f"{key} {self.params[key]} -> {params[key]}" for key in changed[:MOST_CHANGES]]
        more = [f"{len(changed) - MOST_CHANGES} keys more"] if len(changed) > MOST_CHANGES else []
        return f"{', '.join(metrics)}; changed: {', '.join(changes + more) or 'no setting'}"


def run_before(content: RunContent, run_id: str, uri: str) -> RunBefore | None:
    """The last finished run of the same network in the same experiment, but a sweep's; None if there is none.

    Args:
        content: of this run.
        run_id: this run's.
        uri: of the tracking store.

    Raises:
        UserError: if the store cannot be read.
    """
    with store(uri):
        client = mlflow.MlflowClient()
        experiment = client.get_run(run_id).info.experiment_id
        same = f"tags.model = '{content.tags['model']}' and attributes.status = 'FINISHED'"
        order = ["attributes.start_time DESC"]
        runs = client.search_runs([experiment], same, ViewType.ACTIVE_ONLY, MOST_RUNS, order)
        others = (run for run in runs if run.info.run_id != run_id and _is_pipeline(run.data.tags))
        run = next(others, None)
        return None if run is None else RunBefore(str(run.info.run_id), run.data.params, run.data.metrics)


def _is_pipeline(tags: Mapping[str, Any]) -> bool:
    return PARENT_TAG not in tags and tags.get("mlflow.source.name") == "stages.track"
