"""The metrics of a point: which there will be, and which of them ranks it."""

from collections.abc import Collection

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import Task
from stages.sweep.cost import COSTS

__all__ = ["chosen_metric", "is_share", "known_metrics"]

SCORES = {
    Task.classification: (
        "float.top1", "float.top5", "quantized.top1", "quantized.top5", "agreement", "cosine", "count",
    ),
    Task.none: ("cosine", "count"),
}  # fmt: skip
"""Task -> what evaluate finds."""
OTHERS = ("similarity.cosine_min", "similarity.cosine_mean", "export.max_difference")
"""What `track` adds from other stages."""


def known_metrics(*tasks: Task) -> list[str]:
    """Every metric that a point of one of the tasks ends with (docs/sweep.md)."""
    scores = dict.fromkeys(name for task in tasks for name in SCORES[task])
    return [*scores, *OTHERS, *(f"cost.{name}" for name in COSTS)]


def is_share(metric: str) -> bool:
    """Whether a metric cannot be above 1: an accuracy, the agreement, a cosine."""
    return metric.rpartition(".")[2].startswith(("top", "agreement", "cosine"))


def chosen_metric(wanted: str | None, metrics: Collection[str]) -> str:
    """Find the metric to rank by: `top1` stands for `quantized.top1`; unless told otherwise agreement, or cosine.

    Args:
        wanted: the name, whole or short; None: the default.
        metrics: the names that there are.

    Raises:
        UserError: if there is none of that name.
    """
    if wanted is None:
        return "agreement" if "agreement" in metrics else "cosine"
    for name in (wanted, f"quantized.{wanted}", f"cost.{wanted}"):
        if name in metrics:
            return name
    raise UserError(f"sweep.metric={wanted}: no such metric; {did_you_mean(wanted, metrics, limit=20)}")
