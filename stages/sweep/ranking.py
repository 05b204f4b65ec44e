"""Which points are worth having: the metric that ranks them, their order, and the front of metric against cost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import Task
from stages.sweep.network_cost import COST_UNITS
from stages.sweep.sweep_state import PointResult, Sweep

__all__ = ["Ranking", "chosen_metric", "is_share", "known_metrics"]

EVALUATE_METRICS = {
    Task.classification: (
        "float.top1", "float.top5", "quantized.top1", "quantized.top5", "agreement", "cosine", "count",
    ),
    Task.none: ("cosine", "count"),
}  # fmt: skip
"""Task -> what evaluate measures."""
TRACK_METRICS = ("similarity.cosine_min", "similarity.cosine_mean", "export.max_difference")
"""What `track` adds from other stages."""


def known_metrics(*tasks: Task) -> list[str]:
    """Every metric that a point of one of the tasks ends with (docs/sweep.md)."""
    evaluated = dict.fromkeys(name for task in tasks for name in EVALUATE_METRICS[task])
    return [*evaluated, *TRACK_METRICS, *(f"cost.{name}" for name in COST_UNITS)]


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


@dataclass(frozen=True)
class Ranking:
    """The results of a sweep in order.

    Attributes:
        sweep: what ranks them.
        results: of all points that are done.
    """

    sweep: Sweep
    results: Sequence[PointResult]

    @cached_property
    def metric(self) -> str:
        """The name of the metric to rank by; "" if all points failed."""
        good = (result for result in self.results if result.value is not None)
        return next((chosen_metric(self.sweep.metric, result.metrics) for result in good), "")

    @cached_property
    def ranked(self) -> list[PointResult]:
        """Points that did not fail, best first; of equally good ones by cosine, then the cheaper."""
        return sorted((result for result in self.results if result.value is not None), key=self._order)

    @cached_property
    def failed(self) -> list[PointResult]:
        """Points that failed."""
        return [result for result in self.results if result.value is None]

    @cached_property
    def pareto(self) -> list[PointResult]:
        """Points that no other one beats in metric and cost together, cheapest first."""
        front: list[PointResult] = []
        for result in sorted(self.ranked, key=self.cost):
            if not front or (self._order(result) < self._order(front[-1]) and result.value != front[-1].value):
                front.append(result)
        return front

    def on_front(self, result: PointResult) -> bool:
        """Whether no other point beats one."""
        return any(result.number == other.number for other in self.pareto)

    def cost(self, result: PointResult) -> float:
        """What the Pareto front weighs the metric against."""
        return result.metrics[f"cost.{self.sweep.cost}"]

    def _order(self, result: PointResult) -> tuple[float, float, float, int]:
        sign = -1 if self.sweep.direction == "maximize" else 1
        return sign * (result.value or 0.0), -result.metrics.get("cosine", 0.0), self.cost(result), result.number
