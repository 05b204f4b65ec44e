"""How two tensors of the same form differ: what the differences have in common tells what made them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import counted

__all__ = ["Cause", "Difference", "difference", "find_cause"]

Array = NDArray[Any]
MAX_ROUNDING_ULPS = 16  # units in the last place that another order of float sums may cost
FEW_VALUES_SHARE = 0.001
OFFSET_SHARE = 0.99  # of the values that share a constant difference
MAX_CHANNEL_SHARE = 0.25  # of a tensor's channels: as few are a matter of those channels
SCALE_CORRELATION = 0.999  # of a channel that has another scale
UNRELATED_CORRELATION = 0.3


@dataclass(frozen=True)
class Difference:
    """The size of a difference.

    Attributes:
        count: values that differ.
        total: values.
        largest: of the magnitudes.
        mean: board less PC over the values that differ.
        first: (n, h, w, c) of the first in NHWC order.
        expected, actual: the values there, on the PC and the board.
    """

    count: int
    total: int
    largest: float
    mean: float
    first: tuple[int, ...]
    expected: float
    actual: float

    @property
    def share(self) -> float:
        """Of the values."""
        return self.count / self.total


@dataclass(frozen=True)
class Cause:
    """What made a difference.

    Attributes:
        kind: a word.
        sentence: what is seen, to follow a layer's name and a colon.
        cure: what to do.
    """

    kind: str
    sentence: str
    cure: str


def difference(expected: Array, actual: Array) -> Difference:
    """Measure two tensors that are not the same."""
    changed = _changed(expected, actual)
    first = tuple(int(index) for index in np.unravel_index(int(np.argmax(changed)), changed.shape))
    less = actual[changed].astype(np.float64) - expected[changed]
    finite = less[np.isfinite(less)]
    largest, mean = (float(np.abs(finite).max()), float(finite.mean())) if finite.size else (float("inf"), 0.0)
    at = (float(expected[first]), float(actual[first]))
    return Difference(int(changed.sum()), changed.size, largest, mean, first, *at)


def find_cause(expected: Array, actual: Array, bits: int | None) -> Cause:
    """Name what two tensors' differences have in common: the first rule that explains all of them.

    Args:
        expected: the PC's, [N, H, W, C].
        actual: the board's.
        bits: of a code; None: float32.
    """
    pair = _Tensors(expected, actual, _changed(expected, actual), bits)
    return next(cause for rule in _RULES if (cause := rule(pair)) is not None)


@dataclass(frozen=True)
class _Tensors:
    expected: Array
    actual: Array
    changed: Array
    bits: int | None

    @property
    def share(self) -> float:
        return float(self.changed.mean())

    @property
    def qmax(self) -> int:
        return (1 << (self.bits or 0)) - 1

    def at_changes(self) -> tuple[Array, Array]:
        return self.expected[self.changed].astype(np.float64), self.actual[self.changed].astype(np.float64)


def _changed(expected: Array, actual: Array) -> Array:
    if expected.dtype.kind == "f":
        expected, actual = (np.ascontiguousarray(each, np.float32).view(np.uint32) for each in (expected, actual))
    return np.asarray(expected != actual)


def _constant(pair: _Tensors) -> Cause | None:
    if pair.actual.min() != pair.actual.max() or pair.expected.min() == pair.expected.max():
        return None
    return Cause(
        "constant",
        f"the board has {pair.actual.flat[0]:g} everywhere: it did not compute this layer",
        "see what the board printed before this layer: memory, an operator that it lacks",
    )


def _not_a_number(pair: _Tensors) -> Cause | None:
    if pair.bits is not None or np.isfinite(pair.actual).all() or not np.isfinite(pair.expected).all():
        return None
    return Cause(
        "not a number",
        "the board has values that are infinite or not a number",
        "see whether the file was read in the right type, then the layers before it",
    )


def _rounding(pair: _Tensors) -> Cause | None:
    one, other = pair.at_changes()
    if pair.bits is not None:
        less = other - one
        if np.abs(less).max() > 1:
            return None
        up = float(np.mean(less > 0))
        direction = "up" if up == 1 else "down" if up == 0 else f"up in {up:.0%} of those"
        return Cause(
            "rounding",
            f"off by one in {pair.share:.2%} of the values, {direction}: rounding",
            "the board rounds this operator otherwise than docs/arithmetic.md: one code costs little, look at the "
            "outputs; if convolutions do it, the SOC's `requantization` is another rule",
        )
    bits = (each.astype(np.float32).view(np.int32).astype(np.int64) for each in (one, other))
    ordered = [np.where(each < 0, -(each & 0x7FFFFFFF), each) for each in bits]
    apart = int(np.abs(ordered[0] - ordered[1]).max())
    if apart > MAX_ROUNDING_ULPS:
        return None
    return Cause(
        "float rounding",
        f"at most {counted(apart, 'unit')} in the last place apart in {pair.share:.2%} of the values: order of sums",
        "nothing to do: floats are not summed in the same order everywhere",
    )


def _saturation(pair: _Tensors) -> Cause | None:
    """One side clamps where the other goes on, or codes run past an end and wrap."""
    one, other = pair.at_changes()
    for which, clamped, free in (("board", pair.actual, pair.expected), ("PC", pair.expected, pair.actual)):
        low, high = clamped.min(), clamped.max()
        if np.array_equal(clamped, np.clip(free, low, high)) and pair.changed.sum() > 2:
            at = (clamped[pair.changed] == high).any(), (clamped[pair.changed] == low).any()
            ends = " and ".join(f"{end:g}" for end, used in zip((high, low), at, strict=True) if used)
            return Cause(
                "saturation",
                f"only values that the {which} clamps at {ends} differ, {pair.share:.2%}: saturation",
                "the two have another range, clamp or width here: build anew from this out/quantize, and see that the "
                "board runs that model",
            )
    if pair.bits is None or pair.changed.sum() <= 2:
        return None
    wrapped = ((one == pair.qmax) & (other < one)) | ((one == 0) & (other > one))
    if pair.expected.max() == pair.qmax and wrapped.all() and np.abs(one - other).max() > 1:
        return Cause(
            "overflow",
            f"only values at the ends of the codes differ, {pair.share:.2%}: the board wraps where it should clamp",
            "clamp to 0..2^bits-1 before storing a code",
        )
    return None


def _offset(pair: _Tensors) -> Cause | None:
    if pair.bits is None:
        return None
    inside = (pair.actual > 0) & (pair.actual < pair.qmax) & (pair.expected > 0) & (pair.expected < pair.qmax)
    less = pair.actual[inside].astype(np.int64) - pair.expected[inside].astype(np.int64)
    if not less.size or pair.share < 0.1:
        return None
    values, counts = np.unique(less, return_counts=True)
    most = int(values[np.argmax(counts)])
    if most == 0 or counts.max() < OFFSET_SHARE * less.size:
        return None
    return Cause(
        "zero point",
        f"the board's codes are {abs(most)} {'above' if most > 0 else 'below'} the PC's everywhere: zero point or bias",
        "see that the board runs the model of this out/quantize: another zero point, or a rounding offset left out",
    )


def _channels(pair: _Tensors) -> Cause | None:
    total = pair.changed.shape[-1]
    channels = np.flatnonzero(pair.changed.any(axis=(0, 1, 2)))
    if total < 4 or len(channels) > max(1, MAX_CHANNEL_SHARE * total):
        return None
    if len(channels) == 1 and pair.changed.sum() == 1 and pair.changed.size > total:
        return None
    shown = ", ".join(map(str, channels[:6])) + (", ..." if len(channels) > 6 else "")
    return Cause(
        "channels",
        f"only {counted(len(channels), 'channel')} of {total} {'differs' if len(channels) == 1 else 'differ'} "
        f"({shown}): weights or biases",
        "compare this layer's weight and bias/scale dumps (<layer>_Quantize_weight.bin, _bt.bin) of those channels",
    )


def _border(pair: _Tensors) -> Cause | None:
    _, height, width, _ = pair.changed.shape
    if height < 4 or width < 4 or pair.changed[:, 1:-1, 1:-1].any():
        return None
    return Cause(
        "border",
        f"only the border differs, {pair.share:.2%} of the values: padding",
        "pad with the zero point's code, not with 0, on the sides that the network pads",
    )


def _scale(pair: _Tensors) -> Cause | None:
    """Channel by channel the board's is the PC's times a constant and plus one."""
    factors = []
    for one, other in _columns(pair):
        if one.std() == 0 or other.std() == 0:
            continue
        if np.corrcoef(one, other)[0, 1] < SCALE_CORRELATION:
            return None
        factors.append(float(np.polyfit(one, other, 1)[0]))
    if not factors or all(abs(factor - 1) < 0.02 for factor in factors):
        return None
    low, high = min(factors), max(factors)
    times = f"{low:.3g}" if high - low < 0.02 * abs(high) else f"{low:.3g} to {high:.3g}"
    return Cause(
        "scale",
        f"the board's values are the PC's times {times}, shifted: another scale",
        "at the input: mean and normal applied twice, not at all, or others; elsewhere: another range, build anew",
    )


def _columns(pair: _Tensors) -> Iterator[tuple[Array, Array]]:
    """Values of each channel, PC and board, those at the ends of the codes left out."""
    for channel in range(min(pair.expected.shape[-1], 64)):
        one, other = (each[..., channel].ravel()[:65536].astype(np.float64) for each in (pair.expected, pair.actual))
        if pair.bits is not None:
            inside = (one > 0) & (one < pair.qmax) & (other > 0) & (other < pair.qmax)
            one, other = one[inside], other[inside]
        if one.size > 2:
            yield one, other


def _few(pair: _Tensors) -> Cause | None:
    count = int(pair.changed.sum())
    if pair.share > FEW_VALUES_SHARE and count > 2:
        return None
    return Cause(
        "few values",
        f"{counted(count, 'value')} alone {'differs' if count == 1 else 'differ'}: memory, or a copy that broke",
        "run it again; where the same values differ, look at what the board's kernel does at that place",
    )


def _other(pair: _Tensors) -> Cause:
    one, other = (np.nan_to_num(each.ravel().astype(np.float64)) for each in (pair.expected, pair.actual))
    alike = float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0
    if alike < UNRELATED_CORRELATION:
        return Cause(
            "unrelated",
            f"values have nothing in common (correlation {alike:.2f})",
            "see that this layer takes what the PC's takes, and that the board runs the model of this out/quantize",
        )
    return Cause(
        "values",
        f"{pair.share:.1%} of the values differ (correlation {alike:.3f})",
        "compare this layer's weight and bias/scale dumps, then its operator's rule (docs/arithmetic.md)",
    )


_RULES: tuple[Callable[[_Tensors], Cause | None], ...] = (
    _not_a_number,
    _constant,
    _saturation,
    _offset,
    _rounding,
    _few,
    _border,
    _channels,
    _scale,
    _other,
)
