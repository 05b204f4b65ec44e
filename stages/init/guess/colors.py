"""Which colour order: what the graph, the metadata, labels, batch norms, custom and the answers say of it."""

from collections.abc import Callable

from stages.compare.diagnose.inputs.input_fit import surely_likelier
from stages.core.config.schema import Color
from stages.init.guess.guess import Guess, Sure
from stages.init.guess.normalizations import Normalization
from stages.init.guess.ranges import Clues

__all__ = ["guess_color"]

KEY = "color"
LEAST_STEP = 5.0
"""Pixels by which the mean of red is above blue's in what a graph subtracts, if it is a mean of photos."""

Found = tuple[Color, str, Sure]


def guess_color(clues: Clues, normalization: Normalization, channels: int) -> Guess:
    """Find the colour order: the first kind of evidence that knows it decides.

    Args:
        clues: what there is to guess by.
        normalization: that was found.
        channels: of the input.
    """
    if channels == 1:
        return Guess(KEY, Color.GRAY.value, "the input has one channel", Sure.high)
    asked: list[Callable[[Clues, Normalization], Found | None]] = [
        _by_arithmetic, _by_metadata, _by_labels, _by_norms, _by_head, _by_leaning_labels,
    ]  # fmt: skip
    for ask in asked:
        found = ask(clues, normalization)
        if found is not None:
            return Guess(KEY, found[0].value, *found[1:])
    return Guess(KEY, Color.RGB.value, "nothing tells it; the usual one", Sure.low)


def _by_arithmetic(clues: Clues, _: Normalization) -> Found | None:
    """The order of a mean over photos: red is brighter than blue."""
    found = clues.arithmetic
    if found is None or max(found.scale.size, found.offset.size) < len("RGB"):
        return None
    seen = found.seen_mean if found.seen_mean is not None else -found.offset / found.scale
    if seen.size < len("RGB"):
        return None
    in_pixels = seen * (255.0 if abs(seen).max() <= 1.0 else 1.0)
    step = float(in_pixels[0] - in_pixels[2])
    if abs(step) < LEAST_STEP:
        return None
    first, color = ("red", Color.RGB) if step > 0 else ("blue", Color.BGR)
    return color, f"the graph's own mean per channel has {first} first", Sure.high


def _by_metadata(clues: Clues, _: Normalization) -> Found | None:
    custom = clues.by_metadata
    if custom is None:
        return None
    return custom.color, f"{custom.whose} own preprocessing; the file has their metadata", Sure.high


def _by_labels(clues: Clues, normalization: Normalization) -> Found | None:
    trials = clues.trials
    if trials is None or trials.labelled is None:
        return None
    rgb, bgr = (trials.likelihoods(normalization, color) for color in (Color.RGB, Color.BGR))
    if not rgb.size:
        return None
    for color, one, other in ((Color.RGB, rgb, bgr), (Color.BGR, bgr, rgb)):
        if surely_likelier(other, one, trials.chance):
            told = (
                f"the labels' mean log-likelihood is {one.mean():.3g} nats so, {other.mean():.3g} the other way round"
            )
            return color, told, Sure.high
    return None


def _by_norms(clues: Clues, normalization: Normalization) -> Found | None:
    trials = clues.trials
    color = trials.order_by_norms(normalization) if trials is not None else None
    if trials is None or color is None:
        return None
    other = Color.RGB if color is Color.BGR else Color.BGR
    fits, not_so = (trials.misfit(normalization, each) for each in (color, other))
    told = f"the first batch norms' channels are {fits:.2g} from training so, {not_so:.2g} the other way round"
    return color, told, Sure.medium


def _by_head(clues: Clues, normalization: Normalization) -> Found | None:
    custom, trials = clues.by_head, clues.trials
    if custom is None:
        return None
    other = Color.RGB if custom.color is Color.BGR else Color.BGR
    agreed = trials is not None and trials.answers(normalization, custom.color) > trials.answers(normalization, other)
    told = ", and its boxes agree better so" if agreed else ""
    return custom.color, f"{custom.whose} own preprocessing{told}", Sure.high if agreed else Sure.medium


def _by_leaning_labels(clues: Clues, normalization: Normalization) -> Found | None:
    """The order in which labels are likelier, if not surely: better than none."""
    trials = clues.trials
    if trials is None or trials.labelled is None:
        return None
    rgb, bgr = (trials.likelihoods(normalization, color) for color in (Color.RGB, Color.BGR))
    if not rgb.size or rgb.mean() == bgr.mean():
        return None
    color, best, other = (Color.RGB, rgb, bgr) if rgb.mean() > bgr.mean() else (Color.BGR, bgr, rgb)
    told = f"the labels lean to it: {best.mean():.3g} nats, {other.mean():.3g} the other way round"
    return color, told, Sure.low
