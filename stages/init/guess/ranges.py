"""Which mean and normal: what the graph, the metadata, labels, batch norms, custom and the answers say of them.

Each kind of evidence is asked in turn, the surest first; the first that knows decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stages.compare.diagnose.inputs.input_fit import MAX_MISFIT, surely_likelier
from stages.core.config.schema import Color
from stages.init.guess.customs import Custom
from stages.init.guess.guess import Sure
from stages.init.guess.normalizations import CAFFE_MEAN, RANGES, Normalization, range_of
from stages.init.guess.trials import Trials
from stages.init.network.first_operators import FirstArithmetic

__all__ = ["Clues", "Known", "guess_range", "usual_ranges"]

UNIT, IMAGENET, SIGNED, PIXELS, CAFFE = RANGES
PICTURE_MEAN, PICTURE_DEVIATION = 115.0, 65.0
"""Of photos in pixels, roughly: a batch norm on the input saw these, whatever the range."""
LEAST_SPREAD, MOST_SPREAD = 0.5, 8.0
"""Between black and white, of the values that first layers take, if they are not pixels."""
TIE = 0.8
"""Ranges whose answers say at least so much of what the best one's say are as good."""
LEAST_INFORMATION = 0.02
"""In nats, or scores a picture: of less the answers say nothing of the range."""
MUCH_INFORMATION, LITTLE_INFORMATION = 0.3, 0.15
"""In nats; of less a few pictures may be chance. Of very little half as much is as good."""
LITTLE_TIE = 0.5
MOST_SIZE = 5000.0
"""No coordinate, score or feature is larger: a network that is fed 255 times what it was trained with gives such."""
LEAST_RATIO, MIN_RATIO = 1.5, 3.0
"""So many times as well batch norms must fit one range, to count and to be sure."""
LEAST_LIKENESS = 0.8
"""Of a picture's variance its answer explains so much where a network denoises or enlarges it."""
LEAST_GAIN = 0.1
"""In nats above chance, that labels need to be believed."""


@dataclass(frozen=True)
class Clues:
    """What is there to guess by.

    Attributes:
        arithmetic: what the graph does with its input first, or None.
        by_metadata: what the exporter does, by its metadata, or None.
        by_head: what the family of the head does, or None.
        trials: runs of the network on pictures; None without pictures.
        detects: whether the network is a detector.
    """

    arithmetic: FirstArithmetic | None
    by_metadata: Custom | None
    by_head: Custom | None
    trials: Trials | None
    detects: bool


@dataclass(frozen=True)
class Known:
    """What a kind of evidence says.

    Attributes:
        normalization: mean and normal.
        evidence: a clause.
        sure: how much it can be relied on.
    """

    normalization: Normalization
    evidence: str
    sure: Sure


def guess_range(clues: Clues) -> Known:
    """Find mean and normal: the first kind of evidence that knows it decides."""
    asked: list[Callable[[Clues], Known | None]] = [
        _by_arithmetic, _by_metadata, _by_labels, _by_norms, _by_head, _by_picture_output, _by_answers,
    ]  # fmt: skip
    for ask in asked:
        known = ask(clues)
        if known is not None:
            return known
    usual = usual_ranges(clues)[0]
    why = "nothing tells it: no pictures" if clues.trials is None else "the answers on the pictures do not tell it"
    return Known(usual, f"{why}; the usual one is taken", Sure.low)


def usual_ranges(clues: Clues) -> tuple[Normalization, ...]:
    """The ranges, the most usual first: of detectors 0..1, of others ImageNet's."""
    grey = clues.trials is not None and clues.trials.colors == (Color.GRAY,)
    return (UNIT, IMAGENET, SIGNED, PIXELS, CAFFE) if clues.detects or grey else (IMAGENET, UNIT, SIGNED, PIXELS, CAFFE)


def _by_arithmetic(clues: Clues) -> Known | None:
    found = clues.arithmetic
    if found is None:
        return None
    named = " and ".join(found.operators)
    if found.seen_mean is not None and found.seen_deviation is not None:
        mean, deviation = float(found.seen_mean.mean()), float(found.seen_deviation.mean())
        nearest = min(RANGES, key=lambda other: _distance_of_moments(other, mean, deviation))
        seen = f"a batch norm on the input saw mean {mean:.3g} and deviation {deviation:.3g} in training"
        return Known(nearest, seen, Sure.high)
    scale, offset = float(np.abs(found.scale).mean()), float(found.offset.mean())
    fitting = [other for other in (PIXELS, UNIT) if _is_usual(255.0 * scale / other.normal[0], offset)]
    if not fitting and abs(offset / scale) >= CAFFE_MEAN[-1] / 2:
        fitting = [PIXELS]  # a mean in pixels is subtracted, and nothing divided
    if not fitting:
        return None
    clause = f"the graph begins with {named}: times {scale:.3g}, plus {offset:.3g}, so it takes {fitting[0].title}"
    return Known(fitting[0], clause, Sure.high)


def _is_usual(spread: float, black: float) -> bool:
    """Whether first layers take values that go from `black` to so much more."""
    return LEAST_SPREAD <= spread <= MOST_SPREAD and abs(black + spread / 2) <= spread


def _distance_of_moments(normalization: Normalization, mean: float, deviation: float) -> float:
    own_mean, own_normal = float(np.mean(normalization.mean)), float(np.mean(normalization.normal))
    expected = (PICTURE_MEAN - own_mean) / own_normal, PICTURE_DEVIATION / own_normal
    return abs(float(np.log(deviation / expected[1]))) + abs(mean - expected[0]) / expected[1]


def _by_metadata(clues: Clues) -> Known | None:
    if clues.by_metadata is None:
        return None
    told = f"{clues.by_metadata.whose} own preprocessing; the file has their metadata"
    return Known(clues.by_metadata.normalization, told, Sure.high)


def _by_labels(clues: Clues) -> Known | None:
    trials = clues.trials
    if trials is None or trials.labelled is None:
        return None
    likelihoods = {
        (each, color): trials.likelihoods(each, color) for each in usual_ranges(clues) for color in trials.colors
    }
    means = {key: float(values.mean()) for key, values in likelihoods.items() if values.size}
    if not means:
        return None
    best = max(means, key=lambda key: means[key])
    others = [key for key in means if key[0] != best[0]]
    second = max(others, key=lambda key: means[key])
    if means[best] < trials.chance + LEAST_GAIN:
        return None
    surely = surely_likelier(likelihoods[second], likelihoods[best], trials.chance)
    clause = (
        f"the labels' mean log-likelihood is {means[best]:.3g} nats with {best[0].title}, "
        f"{means[second]:.3g} with {second[0].title}"
    )
    if not surely and clues.by_head is not None:
        return None  # the family's own preprocessing says it, and labels do not contradict
    return Known(_as_custom(best[0], clues.by_head), clause, Sure.high if surely else Sure.medium)


def _by_norms(clues: Clues) -> Known | None:
    trials = clues.trials
    if trials is None:
        return None
    misfits = {each: min(_misfits(trials, each), default=np.inf) for each in usual_ranges(clues)}
    best, second = sorted(misfits, key=lambda each: misfits[each])[:2]
    if not misfits[best] <= MAX_MISFIT or misfits[second] < LEAST_RATIO * misfits[best]:
        return None
    clause = (
        f"the first batch norms' channels are {misfits[best]:.2g} from training with {best.title}, "
        f"{misfits[second]:.2g} with {second.title}"
    )
    sure = Sure.high if misfits[second] >= MIN_RATIO * misfits[best] else Sure.medium
    return Known(_as_custom(best, clues.by_head), clause, sure)


def _misfits(trials: Trials, normalization: Normalization) -> Iterator[float]:
    for color in trials.colors:
        value = trials.misfit(normalization, color)
        if value is not None:
            yield value


def _by_head(clues: Clues) -> Known | None:
    custom, trials = clues.by_head, clues.trials
    if custom is None:
        return None
    clause = f"{custom.whose} own preprocessing"
    if trials is None:
        return Known(custom.normalization, f"{clause} (no pictures to try it on)", Sure.medium)
    own = range_of(custom.normalization)
    said = {each: trials.answers(each, custom.color) for each in usual_ranges(clues)}
    best = max(said, key=lambda each: said[each])
    if said[best] < LEAST_INFORMATION:
        return Known(custom.normalization, f"{clause}; the pictures show nothing that it finds", Sure.medium)
    if said[own] >= TIE * said[best]:
        return Known(custom.normalization, f"{clause}, and its boxes agree best so ({said[own]:.2g})", Sure.high)
    if said[own] >= said[best] / 2:
        told = f"{clause}; with {best.title} more boxes survive a shift ({said[best]:.2g}, not {said[own]:.2g})"
        return Known(custom.normalization, told, Sure.medium)
    told = f"boxes survive a shift with {best.title} ({said[best]:.2g}), not with {clause} ({said[own]:.2g})"
    return Known(best, told, Sure.medium)


def _by_picture_output(clues: Clues) -> Known | None:
    trials = clues.trials
    if trials is None:
        return None
    found: dict[Normalization, float] = {}
    for each in (UNIT, SIGNED, PIXELS, IMAGENET, CAFFE):  # the most usual of such networks first
        likenesses = [trials.likeness(each, color) for color in trials.colors]
        found[each] = max((one for one in likenesses if one is not None), default=0.0)
    best = max(found, key=lambda each: found[each])
    if found[best] < LEAST_LIKENESS:
        return None
    good = [each for each in found if 1.0 - found[each] < LEAST_RATIO * (1.0 - found[best])] or [best]
    second = max((each for each in found if each != good[0]), key=lambda each: found[each])
    told = f"{found[good[0]]:.1%} like the input with {good[0].title}, {found[second]:.1%} with {second.title}"
    return Known(good[0], f"the output is a picture, {told}", Sure.medium if len(good) == 1 else Sure.low)


def _by_answers(clues: Clues) -> Known | None:
    trials = clues.trials
    if trials is None:
        return None
    largest = {each: max(trials.largest(each, color) for color in trials.colors) for each in usual_ranges(clues)}
    usual = [each for each in largest if largest[each] <= MOST_SIZE] or list(largest)
    said = {each: float(np.mean([trials.answers(each, color) for color in trials.colors])) for each in usual}
    best = max(said, key=lambda each: said[each])
    if said[best] < LEAST_INFORMATION:
        return None
    little = not clues.detects and said[best] < LITTLE_INFORMATION
    good = [each for each in usual if said[each] >= (LITTLE_TIE if little else TIE) * said[best]]
    if set(good) <= {PIXELS, CAFFE}:
        good = good[:1]  # with a mean or without: the first layer's bias makes up for it
    told = ", ".join(f"{said[each]:.2g} with {each.title}" for each in sorted(said, key=lambda each: -said[each])[:3])
    told += "".join(f"; values up to {largest[each]:.2g} with {each.title}" for each in largest if each not in usual)
    if len(good) > 1:
        tied = f"the answers tell little (in nats): {told}; the more usual one"
        return Known(good[0], tied, Sure.low)
    values = any(trials.are_values(good[0], color) for color in trials.colors)
    sure = Sure.medium if said[best] >= MUCH_INFORMATION and not values else Sure.low
    doubt = "; of values they tell little" if values else ""
    return Known(good[0], f"the answers tell most so (in nats): {told}{doubt}", sure)


def _as_custom(normalization: Normalization, custom: Custom | None) -> Normalization:
    """The family's own numbers where they are of the same range."""
    same = custom is not None and range_of(custom.normalization) == normalization
    return custom.normalization if same and custom is not None else normalization
