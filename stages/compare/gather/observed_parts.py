"""The parts of tensors on the debug pictures: each against itself, so that a large part cannot hide a small one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.comparison import Comparison
from stages.core.outputs.joints import Joint, Part

__all__ = ["ObservedJoint", "ObservedPart", "PartObserver"]

MOST_SAMPLES = 65536
"""Values of a tensor and picture that are counted by value, evenly over each part."""
SAMPLED_PICTURES = 32
FLOAT_NOISE = 1e-10
"""A variance below this part of the mean square is float32's rounding."""

Values = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ObservedPart:
    """A part of a tensor on all debug pictures.

    Attributes:
        part: which.
        values: how many there were.
        low: smallest value of the float network.
        high: largest.
        deviation: of the float network's values from their mean, root of the mean square.
        error: of the quantized values in the tensor, root of the mean square.
        before: the same before the joint, where all layers are quantized and only the joint is not; None if unknown.
        float_sample: some of the float network's values.
        quantized_sample: of the quantized network in the same places.
        before_sample: the same before the joint; None if unknown.
    """

    part: Part
    values: int
    low: float
    high: float
    deviation: float
    error: float
    before: float | None
    float_sample: Values
    quantized_sample: Values
    before_sample: Values | None = None

    @property
    def float_values(self) -> int:
        """Different values among some of the float network's."""
        return len(np.unique(self.float_sample))

    @property
    def quantized_values(self) -> int:
        """Different values of the quantized network in the same places."""
        return len(np.unique(self.quantized_sample))

    @property
    def before_values(self) -> int:
        """The same before the joint; 0 where that is not known."""
        return 0 if self.before_sample is None else len(np.unique(self.before_sample))

    @property
    def relative_error(self) -> float:
        """The error in parts of the deviation; 0 for a part that is constant: it has nothing to lose."""
        return self.error / self.deviation if self.deviation else 0.0

    @property
    def relative_before(self) -> float | None:
        """The same before the joint."""
        if self.before is None:
            return None
        return self.before / self.deviation if self.deviation else 0.0


@dataclass(frozen=True)
class ObservedJoint:
    """A tensor's parts on all debug pictures."""

    joint: Joint
    parts: Sequence[ObservedPart]


class PartObserver:
    """Takes in pictures one by one; those on which a joint of the quantized network is not finite tell nothing of it.

    Args:
        joints: whose parts to look at.
    """

    def __init__(self, joints: Sequence[Joint]) -> None:
        self._sums = [_Sums.of(joint) for joint in joints]

    def add(self, comparison: Comparison) -> None:
        """Take in one picture."""
        for sums in self._sums:
            tensor = sums.joint.tensor
            expected, actual = comparison.expected.get(tensor), comparison.actual.get(tensor)
            if expected is not None and actual is not None and expected.size and np.isfinite(actual).all():
                sums.add(expected.reshape(-1), actual.reshape(-1), _before(sums.joint, comparison))

    def observed(self) -> list[ObservedJoint]:
        """The parts on the pictures so far."""
        return [sums.observed() for sums in self._sums if sums.pictures]


def _before(joint: Joint, comparison: Comparison) -> list[Values] | None:
    """Each part's values before the joint, all layers before quantized; None if they are not known, or not finite."""
    known: Mapping[str, Values] = {**comparison.picture.feeds, **comparison.actual}
    if joint.runner is not None:
        if not known.keys() >= joint.runner.inputs.keys():
            return None
        values = joint.runner.run({name: known[name] for name in joint.runner.inputs})[joint.tensor].reshape(-1)
        return _if_finite([values[part.index] for part in joint.parts])
    parts = []
    for part in joint.parts:
        if part.source is None or part.source not in known:
            return None
        parts.append(known[part.source].reshape(-1)[part.source_index])
    return _if_finite(parts)


def _if_finite(parts: list[Values]) -> list[Values] | None:
    return parts if all(np.isfinite(part).all() for part in parts) else None


@dataclass
class _Sums:
    """Sums over the pictures so far, [parts] each."""

    joint: Joint
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    sampled: NDArray[np.int64]
    low: Doubles
    high: Doubles
    moments: Doubles
    pictures: int = 0
    with_before: int = 0
    samples: list[list[Values]] = field(default_factory=list)

    @classmethod
    def of(cls, joint: Joint) -> "_Sums":
        sizes = np.array([len(part.index) for part in joint.parts])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        step = -(-int(sizes.sum()) // MOST_SAMPLES)
        sampled = [start + np.arange(0, size, step) for start, size in zip(starts, sizes, strict=True)]
        order = np.concatenate([part.index for part in joint.parts])
        empty = np.full(len(sizes), np.inf)
        return cls(joint, order, starts, np.concatenate(sampled), empty, -empty, np.zeros((4, len(sizes))))

    def add(self, expected: Values, actual: Values, before: Sequence[Values] | None) -> None:
        """Take in a picture: the tensor as it lies in memory, and each part before the joint."""
        values, codes = expected[self.order], actual[self.order]
        self.low = np.minimum(self.low, np.minimum.reduceat(values, self.starts))
        self.high = np.maximum(self.high, np.maximum.reduceat(values, self.starts))
        f = values.astype(np.float64)
        rows = [f, f * f, (codes - f) ** 2]
        sides = [values, codes]
        if before is not None:
            self.with_before += 1
            sides.append(np.concatenate(before))
            rows.append((sides[-1] - f) ** 2)
        self.moments[: len(rows)] += np.stack([np.add.reduceat(row, self.starts) for row in rows])
        if self.pictures < SAMPLED_PICTURES:
            self.samples.append([side[self.sampled] for side in sides])
        self.pictures += 1

    def observed(self) -> ObservedJoint:
        counts = np.diff(np.append(self.starts, len(self.order))) * self.pictures
        ends = np.searchsorted(self.sampled, [*self.starts, len(self.order)])
        always = self.with_before == self.pictures
        sides = [np.stack(side) for side in zip(*(taken[: 2 + always] for taken in self.samples), strict=True)]
        parts = []
        for number, part in enumerate(self.joint.parts):
            count, mine = int(counts[number]), slice(ends[number], ends[number + 1])
            total, squares, error, before = self.moments[:, number]
            variance = squares / count - (total / count) ** 2
            parts.append(
                ObservedPart(
                    part,
                    count,
                    float(self.low[number]),
                    float(self.high[number]),
                    math.sqrt(variance) if variance > squares / count * FLOAT_NOISE else 0.0,
                    math.sqrt(error / count),
                    math.sqrt(before / count) if always else None,
                    *(side[:, mine] for side in sides),
                )
            )
        return ObservedJoint(self.joint, parts)
