"""What the command's arguments ask for."""

import math
import re
from dataclasses import dataclass

from stages.core.base.errors import UserError

__all__ = [
    "COSTS",
    "Budget",
    "MeanBits",
    "Target",
    "parse_budget",
    "parse_mean_bits",
    "parse_target",
    "plain",
    "too_few",
]

COSTS = {"latency": "ms", "size": "bytes", "bitops": "bit operations"}
"""Kinds of cost and their units."""
EXAMPLES = {"latency": "30", "size": "2500000", "bitops": "2e10"}
PLAIN = 1000.0  # from here on whole numbers
METRICS = {"cosine": (0.0, 1.0), "accuracy": (-1.0, 1.0), "error": (0.0, math.inf)}
"""What a target can be of, and the least and the most that it can be."""


@dataclass(frozen=True)
class Budget:
    """A bound on a cost: `amount` in the cost's unit, or `relative` to 8-bit features and weights."""

    kind: str
    amount: float
    relative: bool


@dataclass(frozen=True)
class MeanBits:
    """Bounds on the mean widths of features and of weights, each by their elements."""

    features: float
    weights: float


@dataclass(frozen=True)
class Target:
    """What the outputs have to keep: a cosine or an accuracy of at least `bound`, an error of at most `bound`.

    An accuracy of 0 or below is a difference to the float network's. With `like`, uniform widths of features and
    weights, the bound is what these have.
    """

    metric: str
    bound: float
    like: tuple[int, int] | None = None

    def met(self, found: float) -> bool:
        """Whether a measured value keeps it."""
        return found <= self.bound if self.metric == "error" else found >= self.bound


def parse_budget(text: str) -> Budget:
    """Read KIND=AMOUNT or KIND=FACTORx.

    Raises:
        UserError: if it is neither.
    """
    kind, _, amount = text.partition("=")
    if kind not in COSTS:
        raise UserError(f"--budget {text}: give one of {', '.join(f'{known}=...' for known in COSTS)}")
    relative = amount.endswith("x")
    found = _number(amount.removesuffix("x"))
    if found is None or found <= 0:
        unit = COSTS[kind]
        raise UserError(
            f"--budget {text}: give {unit}, as {kind}={EXAMPLES[kind]}, or a share of uniform 8 bits, as {kind}=0.5x"
        )
    return Budget(kind, found, relative)


def parse_mean_bits(text: str) -> MeanBits:
    """Read BITS or FEATURES/WEIGHTS.

    Raises:
        UserError: if it is neither.
    """
    features, slash, weights = text.partition("/")
    found = _number(features), _number(weights if slash else features)
    if None in found or min(filter(None, found), default=0) <= 0 or 0 in found:
        raise UserError(f"--mean-bits {text}: give bits, as 6, or those of features and weights, as 8/5.5")
    first, second = found
    assert first is not None
    assert second is not None
    return MeanBits(first, second)


def parse_target(text: str) -> Target:
    """Read METRIC=BOUND or METRIC=FEATURES/WEIGHTS.

    Raises:
        UserError: if it is neither, or no network can keep it.
    """
    metric, _, amount = text.partition("=")
    if metric in METRICS and (bit_widths := re.fullmatch(r"(\d+)/(\d+)", amount)):
        return Target(metric, 0.0, (int(bit_widths[1]), int(bit_widths[2])))
    bound = _number(amount)
    if metric not in METRICS or bound is None:
        raise UserError(f"--target {text}: give one of cosine=0.99, accuracy=-0.003 (or 0.7), error=0.01, error=8/8")
    low, high = METRICS[metric]
    if not low <= bound <= high:
        raise UserError(f"--target {text}: give {'an' if metric[0] in 'ae' else 'a'} {metric} of {low:g} to {high:g}")
    return Target(metric, bound)


def plain(amount: float) -> str:
    """An amount of a cost as one reads it: no exponent, six digits at least."""
    return f"{amount:.0f}" if amount >= PLAIN else f"{amount:.6g}"


def too_few(target: Target, pictures: int) -> str | None:
    """Say why so many pictures cannot show whether a target is kept; None if they can.

    Args:
        target: of an accuracy, what may be lost.
        pictures: that it is measured on, every second one of `data.evaluation`.
    """
    lost = -target.bound
    if target.metric != "accuracy" or target.like is not None or lost <= 0 or lost * pictures >= 1:
        return None
    return (
        f"{pictures} pictures cannot show a loss of {lost:g}: one is {1 / pictures:.2g} of them; use error or cosine, "
        f"or {2 * math.ceil(1 / lost)} pictures in data.evaluation, every second of which chooses"
    )


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
