"""Which of the metrics says what the network is for."""

from collections.abc import Mapping
from typing import Any

from stages.core.statistics.shares import MIN_BOXES
from stages.core.statistics.task_metric import TaskMetric
from stages.evaluate.own_metric import OwnScore
from stages.evaluate.scores import AGREEMENT, MAP, Score

__all__ = ["task_metric"]


def task_metric(score: Score, metrics: Mapping[str, Any]) -> TaskMetric | None:
    """The user's own metric, else top-1 or mAP with labels, else the agreement of boxes; None of other networks.

    Args:
        score: of all pictures.
        metrics: what it gave.
    """
    count = metrics["count"]
    if isinstance(score, OwnScore):
        return score.task_metric(count)
    of_float, of_quantized = (metrics.get(side, {}) for side in ("float", "quantized"))
    if "top1" in of_float:
        most_usual = max((row.count for row in score.by_class()), default=0) / count
        return TaskMetric("top-1", of_float["top1"], of_quantized["top1"], count, chance=most_usual)
    if MAP in of_float:
        low, high = (metrics["difference"].get(f"{MAP}_{end}") for end in ("low", "high"))
        return TaskMetric("mAP50-95", of_float[MAP], of_quantized[MAP], count, low, high, chance=0.0)
    if AGREEMENT in metrics and metrics.get("boxes", {}).get("float", 0) >= MIN_BOXES:
        ends = [metrics.get(f"{AGREEMENT}_{end}") for end in ("low", "high")]
        low, high = (None if end is None else end - 1.0 for end in ends)
        return TaskMetric("agreement of the boxes", 1.0, metrics[AGREEMENT], count, low, high)
    return None
