"""The preprocessing variants that are tried: ranges of pixels, and colour orders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from stages.compare.diagnose.inputs.preprocessing_variants import IMAGENET
from stages.core.config.overrides import numbers
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput

__all__ = ["CAFFE_MEAN", "RANGES", "Normalization", "applied", "range_of"]

CAFFE_MEAN = (123.0, 117.0, 104.0)
"""In pixels, red first; nothing is divided."""


@dataclass(frozen=True)
class Normalization:
    """Mean and normal in pixels, a value a channel or one for all; red first where there are three.

    Attributes:
        mean: in pixels.
        normal: in pixels.
        title: what tables call it.
    """

    mean: tuple[float, ...]
    normal: tuple[float, ...]
    title: str

    def __str__(self) -> str:
        return f"mean {numbers(self.mean)}, normal {numbers(self.normal)}"


RANGES = (
    Normalization((0.0,), (255.0,), "0..1"),
    Normalization(*IMAGENET, "ImageNet's mean and deviation"),
    Normalization((127.5,), (127.5,), "-1..1"),
    Normalization((0.0,), (1.0,), "0..255"),
    Normalization(CAFFE_MEAN, (1.0,), "minus ImageNet's mean, not divided"),
)
"""One of each range; others are told from these by nothing but custom."""


def applied(normalization: Normalization, network_input: NetworkInput, color: Color) -> NetworkInput:
    """Give an input this normalization and colour; of a grey picture the mean over colours."""
    mean, normal = (
        _of_channels(values, network_input.channels, color) for values in (normalization.mean, normalization.normal)
    )
    return replace(network_input, mean=mean, normal=normal, color=color)


def range_of(normalization: Normalization) -> Normalization:
    """The range that a normalization is of: where it puts black and white is nearest to it."""
    return min(RANGES, key=lambda other: _distance(normalization, other))


def _distance(one: Normalization, other: Normalization) -> float:
    (black, white), (low, high) = _ends(one), _ends(other)
    return abs(black - low) / (high - low) + abs(white - black - (high - low)) / (high - low)


def _ends(normalization: Normalization) -> tuple[float, float]:
    mean = sum(normalization.mean) / len(normalization.mean)
    normal = sum(normalization.normal) / len(normalization.normal)
    return -mean / normal, (255.0 - mean) / normal


def _of_channels(values: Sequence[float], channels: int, color: Color) -> tuple[float, ...]:
    if len(values) == 1:
        return tuple(values) * channels
    if color is Color.GRAY:
        return (round(sum(values) / len(values), 3),) * channels
    return tuple(values if color is Color.RGB else values[::-1])
