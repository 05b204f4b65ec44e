"""What the command's arguments ask for."""

import math
import re
from dataclasses import dataclass

from stages.autotune.allocation.cost_tables import BITOPS, LATENCY, SIZE
from stages.core.base.console import counted
from stages.core.base.errors import UserError
from stages.search.candidate_metric import ACCURACY, AGREEMENTS, COSINE, EVALUATED, FIDELITY, OWN, PRECISIONS

__all__ = [
    "COST_UNITS",
    "ERROR",
    "Budget",
    "MeanBits",
    "Target",
    "parse_budget",
    "parse_mean_bits",
    "parse_target",
    "plain_amount",
    "too_few_samples",
    "too_uncertain",
]

COST_UNITS = {LATENCY: "ms", SIZE: "bytes", BITOPS: "bit operations"}
"""Costs that a budget can be of, and their units."""
EXAMPLE_AMOUNTS = {LATENCY: "30", SIZE: "2500000", BITOPS: "2e10"}
LEAST_WHOLE_AMOUNT = 1000.0
"""Amounts from here on are shown as whole numbers."""
ERROR = "error"
"""A target's metric beside those of candidates: the outputs' squared error, relative to their variance."""
TARGET_RANGES = {
    FIDELITY: (0.0, 1.0),
    COSINE: (0.0, 1.0),
    ACCURACY: (-1.0, 1.0),
    **dict.fromkeys((*PRECISIONS, *AGREEMENTS), (-1.0, 1.0)),
    OWN: (-math.inf, math.inf),
    ERROR: (0.0, math.inf),
}
"""What a target can be of, and the least and the most that it can be."""


@dataclass(frozen=True)
class Budget:
    """A bound on a cost: `amount` in the cost's unit, or `relative` to 8-bit features and weights."""

    cost: str
    amount: float
    relative: bool


@dataclass(frozen=True)
class MeanBits:
    """Bounds on the mean bit widths of features and of weights, each by their elements."""

    features: float
    weights: float


@dataclass(frozen=True)
class Target:
    """What the outputs have to keep: a cosine or an accuracy of at least `bound`, an error of at most `bound`.

    Of a metric on `data.evaluation` 0 or below is a difference to the float network's. With `uniform`, bit widths of
    all features and of all weights, the bound is what these have.

    Attributes:
        metric: ERROR, or one of candidates'.
        bound: the least value, or the most of one that is better the less there is of it.
        uniform: (feature bits, weight bits).
        greater_is_better: of the metric; a user's own may say otherwise.
    """

    metric: str
    bound: float
    uniform: tuple[int, int] | None = None
    greater_is_better: bool = True

    def met(self, value: float) -> bool:
        """Whether a measured value keeps it."""
        return value <= self.bound if self.least_is_best else value >= self.bound

    @property
    def least_is_best(self) -> bool:
        """Whether the bound is the most that may be."""
        return self.metric == ERROR or not self.greater_is_better

    @property
    def relative(self) -> bool:
        """Whether the bound is a difference to the float network's metric."""
        return self.metric in EVALUATED and self.bound <= 0 and self.uniform is None


def parse_budget(text: str) -> Budget:
    """Read COST=AMOUNT or COST=FACTORx.

    Raises:
        UserError: if it is neither.
    """
    cost, _, amount = text.partition("=")
    if cost not in COST_UNITS:
        raise UserError(f"--budget {text}: give one of {', '.join(f'{known}=...' for known in COST_UNITS)}")
    number = _number(amount.removesuffix("x"))
    if number is None or number <= 0:
        raise UserError(
            f"--budget {text}: give {COST_UNITS[cost]}, as {cost}={EXAMPLE_AMOUNTS[cost]}, or a share of uniform 8 "
            f"bits, as {cost}=0.5x"
        )
    return Budget(cost, number, relative=amount.endswith("x"))


def parse_mean_bits(text: str) -> MeanBits:
    """Read BITS or FEATURES/WEIGHTS.

    Raises:
        UserError: if it is neither.
    """
    features, slash, weights = text.partition("/")
    feature_bits, weight_bits = _number(features), _number(weights if slash else features)
    if feature_bits is None or weight_bits is None or min(feature_bits, weight_bits) <= 0:
        raise UserError(f"--mean-bits {text}: give bits, as 6, or those of features and weights, as 8/5.5")
    return MeanBits(feature_bits, weight_bits)


def parse_target(text: str) -> Target:
    """Read METRIC=BOUND or METRIC=FEATURES/WEIGHTS.

    Raises:
        UserError: if it is neither, or no network can keep it.
    """
    metric, _, amount = text.partition("=")
    if metric in TARGET_RANGES and (uniform := re.fullmatch(r"(\d{1,2})/(\d{1,2})", amount)):
        return Target(metric, 0.0, (int(uniform[1]), int(uniform[2])))
    bound = _number(amount)
    if metric not in TARGET_RANGES or bound is None:
        raise UserError(
            f"--target {text}: give one of fidelity=0.99, cosine=0.99, accuracy=-0.003 (or 0.7), map=-0.01, "
            "agreement=0.9 (or mask_map, mask_agreement, keypoint_map, keypoint_agreement), own=-0.01, error=0.01, "
            "error=8/8"
        )
    low, high = TARGET_RANGES[metric]
    if not low <= bound <= high:
        raise UserError(f"--target {text}: give {'an' if metric[0] in 'ae' else 'a'} {metric} of {low:g} to {high:g}")
    return Target(metric, bound)


def plain_amount(amount: float) -> str:
    """An amount of a cost as one reads it: no exponent, six digits at least."""
    return f"{amount:.0f}" if amount >= LEAST_WHOLE_AMOUNT else f"{amount:.6g}"


def too_few_samples(target: Target, samples: int, noun: str) -> str | None:
    """Say why so many samples cannot show whether a target is kept; None if they can.

    Args:
        target: of an accuracy, what may be lost.
        samples: that it is measured on, every second one of `data.evaluation`.
        noun: what messages call a sample (`noun_of`).
    """
    loss = -target.bound
    if not target.relative or loss <= 0 or loss * samples >= 1:
        return None
    return (
        f"{counted(samples, noun)} cannot show a loss of {loss:g}: one is {1 / samples:.2g} of them; use error or "
        f"fidelity, or {2 * math.ceil(1 / loss)} {noun}s in data.evaluation, every second of which chooses"
    )


def too_uncertain(target: Target, interval: tuple[float, float] | None, noun: str) -> str | None:
    """Say why the samples that chose nothing cannot show whether a target is kept; None if they can.

    Args:
        target: what may be lost.
        interval: 95 % interval of the difference to the float network; None where it is not known.
        noun: what messages call a sample (`noun_of`).
    """
    loss = -target.bound
    if interval is None or not target.relative or loss <= 0 or interval[1] - interval[0] <= 2 * loss:
        return None
    low, high = interval
    return (
        f"the other {noun}s cannot show a loss of {loss:g}: chance alone moves the difference from {low:+.4f} to "
        f"{high:+.4f}; use error, or more {noun}s in data.evaluation"
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
