"""Whether the network is fed as it was trained: colour order, mean, normal.

Two witnesses. The batch norms that export noted say which mean and deviation each channel of the first layers had in
training: pictures that are fed alike bring the channels near to them. Labels say it where there are any: a network
that sees what it was trained on gives them more probability. Neither asks the quantized network anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numba
import numpy as np
import onnx
from numpy.typing import NDArray

from stages.compare.diagnosis.finding import Effect, Finding
from stages.core.config.overrides import numbers, quoted
from stages.core.config.schema import Color, InputConfig
from stages.core.data.inputs import NetworkInput, normalize
from stages.core.graph.session import Runner, with_outputs

__all__ = [
    "Labelled",
    "Standardized",
    "Way",
    "Witness",
    "alternatives",
    "clearly_better",
    "contrast_misfit",
    "input_finding",
    "inputs_override",
    "log_likelihoods",
    "misfit",
    "search",
    "surely_likelier",
]

FEWEST = 8
"""Pictures that a witness needs: of fewer the means say more about the pictures than about how they are fed."""
CAP = 25.0
"""A squared standardized difference counts at most so much: beyond 5 deviations wrong is wrong."""
FITS = 0.1
"""A way fits if channels lie within about 0.3 deviations of training. Measured on EfficientNet-Lite0 and 13 pictures:
0.023 as trained, 0.075 with red and blue exchanged, 0.13 with ImageNet's mean and normal, 0.20 with mean 0 and normal
255, 7.6 with mean 0 and normal 1."""
COLOR_TIMES, NORMAL_TIMES = 1.5, 3.0
"""An alternative must fit so many times as well. Exchanged colours of photos differ little, so the first is low; dark
or flat pictures are nearer to another mean or normal than to their own, so the second is not. Of 13 pictures drawn anew
300 times none made exchanged colours fit EfficientNet-Lite0 so much better."""
GLANCE = 8
"""Pictures on which a way is looked at first. One that is so far from fitting better there does not see the others."""
ERRORS = 2.0
"""An advantage counts from so many standard errors over the pictures on: of labels, and of exchanged colours."""
NORMAL_ERRORS = 1.0
"""The same of another mean or normal, which must fit 3 times as well anyway. Measured on EfficientNet-Lite0 fed with
ImageNet's: of 16 photos drawn anew 50 times 50 find it, 32 at 2 standard errors; fed as trained none of 800 draws of 8
and 16 photos, dark, bright and flat ones by themselves too, took another mean or normal for its own at 1."""
GAIN = 0.1
"""Least gain in the labels' mean log-likelihood, in nats."""
TEMPERATURES = 2.0 ** np.arange(-3.0, 3.5, 0.5)
SMALL_GAMMA = 0.05  # of the median: a channel that training switched off has no deviation to divide by
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # mean and deviation in pixel units, red first
NORMALS: list[tuple[tuple[float, ...], tuple[float, ...]]] = [
    ((127.0,), (128.0,)), ((127.5,), (127.5,)), ((128.0,), (128.0,)), ((0.0,), (255.0,)), ((0.0,), (1.0,)), IMAGENET,
]  # fmt: skip

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """A way of feeding the network.

    Attributes:
        entry: the input, as that way has it.
        flipped: whether the stored samples have the other colour order.
    """

    entry: NetworkInput
    flipped: bool = False

    def feed(self, sample: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """What the network takes of a stored sample, uint8 [H, W, C] in the configured colour."""
        return {self.entry.name: normalize(sample[:, :, ::-1] if self.flipped else sample, self.entry)}

    def __str__(self) -> str:
        return f"{self.entry.color.value}, mean {numbers(self.entry.mean)}, normal {numbers(self.entry.normal)}"


@dataclass(frozen=True)
class Standardized:
    """What a batch norm makes, less the mean and over the deviation of training: float64 [P, C], of P pictures.

    Attributes:
        means: of each channel over the pixels of each picture.
        squares: the same of the squares.
    """

    means: Array
    squares: Array

    def of(self, kept: NDArray[np.int64]) -> "Standardized":
        """The same of some of the pictures."""
        return Standardized(self.means[kept], self.squares[kept])


@dataclass(frozen=True)
class Labelled:
    """Some pictures with their classes."""

    samples: Sequence[NDArray[np.uint8]]
    labels: Sequence[int]


def alternatives(way: Way) -> list[Way]:
    """Other ways: the colours exchanged, or another usual mean and normal."""
    entry, found = way.entry, []
    if entry.color in (Color.RGB, Color.BGR):
        other = replace(entry, color=Color.BGR if entry.color is Color.RGB else Color.RGB)
        found.append(Way(replace(other, mean=entry.mean[::-1], normal=entry.normal[::-1]), not way.flipped))
        found.append(Way(other, not way.flipped))  # a mean that was written in the right order for the wrong colour
    for values in NORMALS:
        if len(values[0]) > 1 and entry.color is Color.GRAY:
            continue
        mean, normal = (part * (entry.channels if len(part) == 1 else 1) for part in values)
        if entry.color is Color.BGR:
            mean, normal = mean[::-1], normal[::-1]
        found.append(Way(replace(entry, mean=mean, normal=normal), way.flipped))
    return [each for each in dict.fromkeys(found) if each.entry != entry]


class Witness:
    """Says of a way how the first batch norms' channels and the labels take it; runs each way once.

    Args:
        network: the float network.
        norms: what export noted, tensor, mean and deviation; may be empty.
        samples: calibration pictures, uint8 [H, W, C] in the configured colour.
        labelled: gives pictures with labels, or None; asked once, where batch norms cannot tell.

    Attributes:
        noted: how many batch norms export noted.
    """

    def __init__(
        self,
        network: onnx.ModelProto,
        norms: Sequence[Mapping[str, Any]],
        samples: Sequence[NDArray[np.uint8]],
        labelled: Callable[[], Labelled | None],
    ) -> None:
        self.noted = len(norms)
        self._norms = list(norms) if len(samples) >= FEWEST else []
        # evenly over all, those of the first glance before the others
        stride = max(len(samples) // GLANCE, 1)
        self._samples = [sample for start in range(stride) for sample in samples[start::stride]]
        self._network = network
        self._read = labelled
        self._start = Runner(with_outputs(network, [n["tensor"] for n in self._norms])) if self._norms else None
        self._moments: dict[Way, list[list[tuple[Array, Array]]]] = {}
        self._likelihoods: dict[Way, Array] = {}

    @property
    def able(self) -> bool:
        """Whether there is anything to go by."""
        return bool(self._start or self._labelled)

    @cached_property
    def _labelled(self) -> Labelled | None:
        found = self._read()
        return found if found and len(found.samples) >= FEWEST else None

    @cached_property
    def _whole(self) -> Runner:
        return Runner(self._network)

    def standardized(self, way: Way, count: int | None = None) -> list[Standardized]:
        """What the norms make of the pictures that way, of the first `count` if given; none without norms."""
        if not self._start:
            return []
        pictures = self._moments.setdefault(way, [])
        for sample in self._samples[len(pictures) : count]:
            made = self._start.run(way.feed(sample))
            pictures.append([_moments(made[norm["tensor"]], norm) for norm in self._norms])
        return _standardized(pictures[:count])

    def hopeless(self, now: Way, other: Way, least: float) -> bool:
        """Whether another way does not even fit `least` times as well at first glance; never without norms."""
        before, after = (self.standardized(way, GLANCE) for way in (now, other))
        return bool(before) and misfit(before) < least * misfit(after)

    def likelihoods(self, way: Way) -> Array:
        """Log-likelihood of each picture's label: float64 [P]; empty without labels."""
        if self._labelled and way not in self._likelihoods:
            outputs = [next(iter(self._whole.run(way.feed(each)).values())) for each in self._labelled.samples]
            scores = np.array([output.reshape(-1) for output in outputs], dtype=np.float64)
            self._likelihoods[way] = log_likelihoods(scores, self._labelled.labels)
        return self._likelihoods.get(way, np.zeros(0))

    @property
    def classes(self) -> int:
        """How many the network has; 1 without labels."""
        if not self._labelled:
            return 1
        return int(np.prod([int(size) for size in next(iter(self._whole.outputs.values()))]))

    def tried(self) -> list[dict[str, Any]]:
        """What was found of every way, in the order of trying, in plain form."""
        ways = dict.fromkeys([*self._moments, *self._likelihoods])
        return [
            {
                "color": way.entry.color.value,
                "mean": list(way.entry.mean),
                "normal": list(way.entry.normal),
                "pictures": len(self._moments.get(way, [])),
                "misfit": misfit(_standardized(self._moments[way])) if way in self._moments else None,
                "log_likelihood": float(self._likelihoods[way].mean()) if way in self._likelihoods else None,
            }
            for way in ways
        ]


def _standardized(pictures: Sequence[Sequence[tuple[Array, Array]]]) -> list[Standardized]:
    """Of each norm, what it made of each picture."""
    return [
        Standardized(np.array([means for means, _ in norm]), np.array([squares for _, squares in norm]))
        for norm in zip(*pictures, strict=True)
    ]


def _moments(made: NDArray[np.float32], norm: Mapping[str, Any]) -> tuple[Array, Array]:
    """Mean and mean square of a picture's standardized channels, those left out that training switched off."""
    deviation = np.array(norm["deviation"], dtype=np.float64)
    alive = deviation > SMALL_GAMMA * np.median(deviation)
    values = np.ascontiguousarray(made, np.float32).reshape(made.shape[1], -1)
    means, squares = (part[alive] / values.shape[1] for part in _channel_sums(values))
    mean, deviation = np.array(norm["mean"])[alive], deviation[alive]
    return (means - mean) / deviation, (squares - 2.0 * mean * means + mean**2) / deviation**2


@numba.njit(cache=True, nogil=True)
def _channel_sums(rows: NDArray[np.float32]) -> tuple[Array, Array]:
    """Sum and sum of squares of each channel of [C, L], in four running sums whose order is fixed."""
    channels, length = rows.shape
    sums, squares = np.empty(channels), np.empty(channels)
    whole = length - length % 4
    for c in range(channels):
        row = rows[c]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
        for i in range(0, whole, 4):
            x0, x1, x2, x3 = np.float64(row[i]), np.float64(row[i + 1]), np.float64(row[i + 2]), np.float64(row[i + 3])
            a0, a1, a2, a3 = a0 + x0, a1 + x1, a2 + x2, a3 + x3
            b0, b1, b2, b3 = b0 + x0 * x0, b1 + x1 * x1, b2 + x2 * x2, b3 + x3 * x3
        for i in range(whole, length):
            x = np.float64(row[i])
            a0, b0 = a0 + x, b0 + x * x
        sums[c], squares[c] = a0 + a1 + a2 + a3, b0 + b1 + b2 + b3
    return sums, squares


def misfit(norms: Sequence[Standardized]) -> float:
    """How far channels are from training: the squared standardized difference of their means, averaged.

    Returns:
        The mean over norms of the mean over channels of the square of the mean over pictures, at most 25 each.
    """
    squares = (each.means.mean(axis=0) ** 2 for each in norms)
    return float(np.mean([np.minimum(np.nan_to_num(each, nan=CAP), CAP).mean() for each in squares]))


def contrast_misfit(norms: Sequence[Standardized]) -> float:
    """How far the channels' deviations are from training: the squared logarithm of their ratio, averaged likewise."""
    found = []
    for each in norms:
        variance = np.maximum(each.squares.mean(axis=0) - each.means.mean(axis=0) ** 2, 1e-12)
        found.append(float(np.minimum((0.5 * np.log(variance)) ** 2, CAP).mean()))
    return float(np.mean(found))


def clearly_better(
    now: Sequence[Standardized], other: Sequence[Standardized], times: float, errors: float = ERRORS
) -> bool:
    """Whether another way fits, so many times as well as now, by so many standard errors (jackknife over pictures)."""
    if not now or not other or misfit(other) > FITS or misfit(now) < times * misfit(other):
        return False
    count = len(now[0].means)

    def advantage(kept: NDArray[np.int64]) -> float:
        return misfit([each.of(kept) for each in now]) - misfit([each.of(kept) for each in other])

    parts = np.array([advantage(np.delete(np.arange(count), index)) for index in range(count)])
    error = float(np.sqrt((count - 1) / count * ((parts - parts.mean()) ** 2).sum()))
    return advantage(np.arange(count)) > errors * error


def log_likelihoods(scores: Array, labels: Sequence[int]) -> Array:
    """Log-likelihood of each label, at the temperature that suits all best.

    The temperature takes out how sure the network is: another normal changes the contrast, and with it the certainty,
    without the classes being told apart any better.

    Args:
        scores: float64 [P, classes], logits or probabilities.
        labels: P classes.
    """
    if scores.min() >= 0.0 and np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        scores = np.log(np.maximum(scores, 1e-12))
    best = np.full(len(labels), -np.log(scores.shape[1]))  # an endless temperature, where nothing else serves
    for temperature in TEMPERATURES:
        scaled = (scores - scores.max(axis=1, keepdims=True)) / temperature
        found = scaled[np.arange(len(labels)), labels] - np.log(np.exp(scaled).sum(axis=1))
        if found.mean() > best.mean():
            best = found
    return best


def surely_likelier(now: Array, other: Array, classes: int) -> bool:
    """Whether labels are likelier another way: by 0.1 nats, 2 standard errors of the pairs, better than chance."""
    if len(now) < FEWEST or len(other) != len(now):
        return False
    gain = other - now
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    chance = -np.log(classes)
    return bool(gain.mean() > max(GAIN, ERRORS * error) and other.mean() > chance + GAIN)


def search(way: Way, witness: Witness) -> Way:
    """Find how the network was fed in training; gives `way` itself unless another is clearly better."""
    configured = way
    for _ in range(2):  # the colour may be wrong and the mean too, and neither cure alone enough
        better = [other for other in alternatives(way) if other != configured and _better(way, other, witness)]
        if not better and witness.standardized(way) and misfit(witness.standardized(way)) > FITS:
            both = dict.fromkeys(other for first in alternatives(way) for other in alternatives(first))
            better = [other for other in both if other not in (way, configured) and _better(way, other, witness)]
        if not better:
            return way
        way = min(better, key=_rank(witness))
    return way


def _rank(witness: Witness) -> Callable[[Way], tuple[float, float]]:
    """Best fit first; without batch norms the likeliest labels."""

    def rank(way: Way) -> tuple[float, float]:
        standardized, likelihoods = witness.standardized(way), witness.likelihoods(way)
        return misfit(standardized) if standardized else 0.0, -float(likelihoods.mean()) if likelihoods.size else 0.0

    return rank


def _better(now: Way, other: Way, witness: Witness) -> bool:
    same = (other.entry.mean, other.entry.normal) in [
        (now.entry.mean, now.entry.normal), (now.entry.mean[::-1], now.entry.normal[::-1]),
    ]  # fmt: skip
    needed = (COLOR_TIMES, ERRORS) if same else (NORMAL_TIMES, NORMAL_ERRORS)
    if witness.hopeless(now, other, 1 / COLOR_TIMES if same else NORMAL_TIMES / 2):
        return False
    known, made = witness.standardized(now), witness.standardized(other)
    fits = clearly_better(known, made, *needed)
    if fits and not same:
        # dark pictures have the mean of another way, but not its contrast
        fits = contrast_misfit(made) <= contrast_misfit(known)
    if known and not fits and (not same or clearly_better(made, known, *needed)):
        return False  # labels cost a run of the whole network each: asked where the norms cannot tell
    before, after = witness.likelihoods(now), witness.likelihoods(other)
    contradicted = bool(before.size) and after.mean() < before.mean()
    return surely_likelier(before, after, witness.classes) or (fits and not contradicted)


def input_finding(configured: Way, found: Way, witness: Witness, config: Sequence[InputConfig]) -> list[Finding]:
    """Say that another way fits, by what, and how to feed that way.

    Args:
        configured: the way that is configured.
        found: the way that `search` gave.
        witness: what it went by.
        config: `model.inputs`.
    """
    if found == configured:
        return []
    evidence: dict[str, float | str] = {"configured": str(configured), "fits": str(found)}
    said, effect = [], None
    if witness.standardized(configured):
        before, after = (misfit(witness.standardized(each)) for each in (configured, found))
        evidence |= {"misfit_configured": before, "misfit_fits": after}
        effect = Effect("misfit", before, after)
        said.append(f"the first batch norms' channels are {after:.3g} from what training saw, not {before:.3g}")
    if witness.likelihoods(configured).size and witness.likelihoods(found).size:
        before, after = (float(witness.likelihoods(each).mean()) for each in (configured, found))
        evidence |= {"log_likelihood_configured": before, "log_likelihood_fits": after}
        effect = effect or Effect("log-likelihood of the labels in nats", before, after)
        said.append(f"the labels' mean log-likelihood is {after:.3g} nats, not {before:.3g}")
    sentence = f"the network is fed {configured}, and {found} fits it better: {'; '.join(said)}"
    return [Finding("input", None, sentence, evidence, inputs_override(config, found), effect)]


def inputs_override(config: Sequence[InputConfig], way: Way) -> str:
    """The override that feeds a network's only input that way; its name and shape stay as they are configured."""
    first = config[0] if config else InputConfig()
    parts = []
    if first.name is not None:
        parts.append(f"name: {quoted(first.name)}")
    if first.shape is not None:
        parts.append(f"shape: {numbers_each(first.shape)}")
    entry = way.entry
    parts += [f"mean: {numbers(entry.mean)}", f"normal: {numbers(entry.normal)}", f"color: {entry.color.value}"]
    return f"model.inputs=[{{{', '.join(parts)}}}]"


def numbers_each(values: Sequence[int]) -> str:
    """A list of whole numbers, none left out."""
    return f"[{', '.join(map(str, values))}]"
