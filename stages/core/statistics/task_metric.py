"""What a network is for, in one number: what evaluate measured and what has the last word on whether it is good."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["LEAST_SAMPLES", "TaskMetric"]

LEAST_SAMPLES = 8
"""On fewer samples one answer for all may do well by luck."""


@dataclass(frozen=True)
class TaskMetric:
    """A metric of both networks on the evaluation pictures.

    Attributes:
        name: for sentences, such as "top-1".
        of_float: the float network's.
        of_quantized: the quantized network's.
        count: pictures.
        low: least likely difference, quantized less float (95 %); None where that is not known.
        high: greatest.
        greater_is_better: of the metric.
        chance: what a network that ignores its input reaches; None where that is not known.
    """

    name: str
    of_float: float
    of_quantized: float
    count: int
    low: float | None = None
    high: float | None = None
    greater_is_better: bool = True
    chance: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "TaskMetric":
        """Read the plain form."""
        return cls(**content)

    @classmethod
    def if_any(cls, content: Mapping[str, Any] | None) -> "TaskMetric | None":
        """Read the plain form; None of null, which evaluate writes where nothing tells whether the network is good."""
        return None if content is None else cls.from_json(content)

    def to_json(self) -> dict[str, Any]:
        """Plain form for JSON."""
        return asdict(self)

    @property
    def loss(self) -> float:
        """What quantizing costs, in parts of the float network's value; below 0 where it gains."""
        worse = self.of_float - self.of_quantized if self.greater_is_better else self.of_quantized - self.of_float
        size = abs(self.of_float)
        return worse / size if size else float(worse > 0)

    @property
    def by_chance(self) -> bool:
        """Whether the float network itself does no better than by chance, so that there is nothing to lose."""
        if self.chance is None:
            return False
        return self.of_float <= self.chance if self.greater_is_better else self.of_float >= self.chance

    @property
    def doubt(self) -> str:
        """What to say of a float network that does no better than by chance; empty where it does."""
        if not self.by_chance or self.count < LEAST_SAMPLES:
            return ""
        return (
            f"the float network itself scores {self.of_float:.4g} by {self.name}, and one answer for all would score "
            f"{self.chance:.4g}: the preprocessing or the metric is wrong, or data.evaluation.labels do not fit"
        )

    @property
    def may_show_no_loss(self) -> bool:
        """Whether other pictures may as well show no loss; False where that is not known."""
        return self.low is not None and self.high is not None and self.low <= 0.0 <= self.high
