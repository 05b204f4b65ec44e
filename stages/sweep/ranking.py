"""Which points are worth having: the metric that ranks them, their order, and the front of metric against cost."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import Task
from stages.core.outputs.output_judge import Level
from stages.sweep.network_cost import COST_UNITS
from stages.sweep.sweep_state import PointResult, Sweep

__all__ = [
    "SHOWN_DECIMALS",
    "TRACK_METRICS",
    "Ranking",
    "chosen_metric",
    "is_share",
    "known_metrics",
    "metric_of_point",
]

SHAPES = ("", "mask_", "keypoint_")
"""Before a metric of a detector's boxes, masks and key points."""
PRECISIONS = tuple(f"{shape}map{part}" for shape in SHAPES for part in ("", "50", "_small", "_medium", "_large"))
DIFFERENCES = tuple(f"difference.{shape}map{part}" for shape in SHAPES for part in ("", "_low", "_high"))
AGREEMENTS = (
    *(f"{shape}agreement{part}" for shape in SHAPES for part in ("", "_map", "_low", "_high")),
    "boxes.float", "boxes.missed", "boxes.invented",
)  # fmt: skip
"""Of a detector, with labels or without."""
EVALUATE_METRICS = {
    Task.classification: (
        "float.top1", "float.top5", "quantized.top1", "quantized.top5", "agreement", "cosine", "fidelity", "count",
    ),
    Task.detection: (
        *(f"{side}.{name}" for side in ("float", "quantized") for name in PRECISIONS),
        *DIFFERENCES, *AGREEMENTS, "cosine", "fidelity", "count",
    ),
    Task.none: ("cosine", "fidelity", "count", *AGREEMENTS),
    Task.custom: ("cosine", "fidelity", "count", *AGREEMENTS),
}  # fmt: skip
"""Task -> what evaluate may measure: whether a network is a detector, and what its pictures show, is seen later."""
SHARES = ("top", "cosine", "fidelity", *(f"{shape}{name}" for shape in SHAPES for name in ("map", "agreement")))
MOST_NAMED = 70
"""Metrics that a message lists."""
SHOWN_DECIMALS = 4
"""Of a metric, in tables."""
TRACK_METRICS = ("similarity.cosine_min", "similarity.cosine_mean", "export.max_difference")
"""What `track` adds from other stages."""


def known_metrics(*tasks: Task) -> list[str]:
    """Every metric that a point of one of the tasks may end with (docs/sweep.md)."""
    evaluated = dict.fromkeys(name for task in tasks for name in EVALUATE_METRICS[task])
    return [*evaluated, *TRACK_METRICS, *(f"cost.{name}" for name in COST_UNITS)]


def is_share(metric: str) -> bool:
    """Whether a metric cannot be above 1: an accuracy, a precision, the agreement, a cosine, the fidelity."""
    first, _, last = metric.rpartition(".")
    return first != "difference" and last.startswith(SHARES)


def chosen_metric(wanted: str | None, metrics: Collection[str]) -> str:
    """Find the metric to rank by: `top1` stands for `quantized.top1`.

    Unless told otherwise it is a detector's mAP where there are labels, else the agreement, else the outputs' fidelity.

    Args:
        wanted: the name, whole or short; None: the default.
        metrics: the names that there are.

    Raises:
        UserError: if there is none of that name.
    """
    if wanted is None:
        return next(name for name in ("quantized.map", "agreement", "fidelity", "cosine") if name in metrics)
    for name in (wanted, f"quantized.{wanted}", f"cost.{wanted}"):
        if name in metrics:
            return name
    raise UserError(f"sweep.metric={wanted}: no such metric; {did_you_mean(wanted, metrics, limit=MOST_NAMED)}")


def metric_of_point(wanted: str | None, metrics: Collection[str]) -> str:
    """The same of a point that is computed.

    Args:
        wanted: the name, whole or short; None: the default.
        metrics: the names that the point ended with.

    Raises:
        UserError: if it ended without that metric: its network or its pictures do not give it.
    """
    try:
        return chosen_metric(wanted, metrics)
    except UserError as error:
        reason = "its network or its evaluation samples do not give it"
        listed = did_you_mean(wanted or "", metrics, limit=MOST_NAMED)
        raise UserError(f"sweep.metric={wanted}: the point ended without it, {reason}; {listed}") from error


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
        """The name of the metric to rank by, one that all points have which did not fail; "" if all failed."""
        return chosen_metric(self.sweep.metric, self.shared_metrics) if self.shared_metrics else ""

    @cached_property
    def shared_metrics(self) -> set[str]:
        """Names of the metrics of all points that did not fail."""
        named = [{*result.metrics} for result in self.results if result.value is not None]
        return set.intersection(*named) if named else set()

    @cached_property
    def ranked(self) -> list[PointResult]:
        """Points that did not fail, best first; of those that look equally good by fidelity, then the cheaper."""
        good = (result for result in self.results if result.value is not None)
        return sorted((replace(result, value=result.metrics[self.metric]) for result in good), key=self._order)

    @cached_property
    def failed(self) -> list[PointResult]:
        """Points that failed."""
        return [result for result in self.results if result.value is None]

    @cached_property
    def pareto(self) -> list[PointResult]:
        """Points that no other one beats in metric and cost together, cheapest first; of equal ones the cheapest."""
        front: list[PointResult] = []
        by_cost = sorted(self.ranked, key=self._costs)  # of equal costs the better stays first
        for result in sorted(by_cost, key=lambda point: (self.cost(point), self._merit(point))):
            if not front or self._merit(result) < self._merit(front[-1]):
                front.append(result)
        return front

    def on_front(self, result: PointResult) -> bool:
        """Whether no other point beats one; where the best is broken none of the broken ones is worth naming."""
        if self.best_is_broken and _is_broken(result):
            return False
        return any(result.number == other.number for other in self.pareto)

    @property
    def best_is_broken(self) -> bool:
        """Whether the outputs of the best point are of no use, by compare's verdict."""
        return any(map(_is_broken, self.ranked[:1]))

    @property
    def recommended(self) -> PointResult | None:
        """The best point whose outputs are not broken, if there is one; of those with its metric the cheapest."""
        worth = [result for result in self.ranked if not _is_broken(result)]
        equal = [
            each for each in worth if (self._merit(each), each.verdict) == (self._merit(worth[0]), worth[0].verdict)
        ]
        return min(equal, key=self._costs, default=None)

    def cost(self, result: PointResult) -> float:
        """What the Pareto front weighs the metric against."""
        return result.metrics[f"cost.{self.sweep.cost}"]

    def _merit(self, result: PointResult) -> float:
        """The metric as the table shows it; the best has the least."""
        return (-1 if self.sweep.direction == "maximize" else 1) * _as_shown(result.value or 0.0)

    def _costs(self, result: PointResult) -> tuple[float, ...]:
        """The cost that is chosen, then the others: weights of one size may meet features of fewer bits."""
        others = (result.metrics.get(f"cost.{name}", 0.0) for name in COST_UNITS if name != self.sweep.cost)
        return self.cost(result), *others

    def _order(self, result: PointResult) -> tuple[float, ...]:
        fidelity = _as_shown(result.metrics.get("fidelity", 0.0))
        return self._merit(result), -fidelity, *self._costs(result), result.number


def _as_shown(value: float) -> float:
    """A metric to the decimals that tables show, by which points are compared; exact where these show nothing."""
    return round(value, SHOWN_DECIMALS) or value


def _is_broken(result: PointResult) -> bool:
    return result.verdict == Level.broken.value
