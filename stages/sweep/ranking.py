"""Which points are worth having: the order by a metric, and the front of metric against cost."""

from collections.abc import Sequence

from stages.sweep.metrics import chosen_metric
from stages.sweep.session import Result, Session

__all__ = ["metric_of", "pareto", "ranked"]


def ranked(results: Sequence[Result], session: Session) -> list[Result]:
    """Points that did not fail, best first; of equally good ones by cosine, then the cheaper."""
    sign = -1 if session.direction == "maximize" else 1

    def place(result: Result) -> tuple[float, float, float, int]:
        cosine, cost = result.metrics.get("cosine", 0.0), result.metrics[f"cost.{session.cost}"]
        return sign * (result.value or 0.0), -cosine, cost, result.number

    return sorted((result for result in results if result.value is not None), key=place)


def pareto(results: Sequence[Result], session: Session) -> list[Result]:
    """Points that no other one beats in metric and cost together, cheapest first."""
    best: list[Result] = []
    cheapest_first = sorted(ranked(results, session), key=lambda result: result.metrics[f"cost.{session.cost}"])
    for result in cheapest_first:
        if not best or (ranked([best[-1], result], session)[0] is result and result.value != best[-1].value):
            best.append(result)
    return best


def metric_of(results: Sequence[Result], session: Session) -> str:
    """The name of the metric to rank by; "" if all points failed."""
    return next((chosen_metric(session.metric, result.metrics) for result in results if result.value is not None), "")
