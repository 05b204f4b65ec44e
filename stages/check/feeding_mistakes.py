"""How a board may have been fed wrongly: the network run on the picture as a mistake would have it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from stages.check.causes import Cause
from stages.check.steps import Array
from stages.core.data.inputs import NetworkInput, normalize
from stages.core.graph.session import Runner
from stages.core.integer.dumps import nhwc
from stages.core.integer.simulator import simulator_model
from stages.infer.precise import precise

__all__ = ["FEEDING_MISTAKES", "FeedingMistake", "find_mistake"]


@dataclass(frozen=True)
class FeedingMistake:
    """A way to feed a network wrongly.

    Attributes:
        kind: a word.
        says: what the board took, as the rest of "the board was fed ...".
        cure: what to do.
        feed: pixels [H, W, C], the input -> the network's input, float32 [1, C, H, W].
    """

    kind: str
    says: str
    cure: str
    feed: Callable[[Array, NetworkInput], Array]


def _pixels(change: Callable[[Array], Array]) -> Callable[[Array, NetworkInput], Array]:
    return lambda pixels, network_input: normalize(np.ascontiguousarray(change(pixels), np.float32), network_input)


def _twice(pixels: Array, network_input: NetworkInput) -> Array:
    once = normalize(pixels, network_input)[0].transpose(1, 2, 0)
    return normalize(np.ascontiguousarray(once), network_input)


def _raw(pixels: Array, network_input: NetworkInput) -> Array:
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[np.newaxis])


def _to_one(pixels: Array, network_input: NetworkInput) -> Array:
    return normalize(pixels.astype(np.float32) / np.float32(255), network_input)


def _padded_as_three(pixels: Array) -> Array:
    """Pixels of four bytes read as pixels of three."""
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    return padded.ravel()[: pixels.size].reshape(pixels.shape)


def _planes(pixels: Array) -> Array:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(pixels.shape)


_NORMALIZE = (
    "mean and normal belong into the converter's cfg alone: hand the board pixels, and check MEAN and NORMAL there"
)
_CHANNELS = "hand the board NHWC pixels of as many channels as its input tensor has, channel 3 zero where it has four"
FEEDING_MISTAKES = (
    FeedingMistake(
        "colour order",
        "red and blue exchanged (RGB against BGR)",
        "feed the board the colour order that the network takes: model.inputs' color, COLOR in the converter's cfg",
        _pixels(lambda pixels: pixels[..., ::-1]),
    ),
    FeedingMistake("mean twice", "the picture with mean and normal applied twice", _NORMALIZE, _twice),
    FeedingMistake("no mean", "the picture without mean and normal", _NORMALIZE, _raw),
    FeedingMistake("0..1", "pixels divided by 255 before mean and normal", _NORMALIZE, _to_one),
    FeedingMistake("input planes", "planes (NCHW) where it takes pixels (NHWC)", _CHANNELS, _pixels(_planes)),
    FeedingMistake("input padding", "pixels of four bytes read as three", _CHANNELS, _pixels(_padded_as_three)),
    FeedingMistake(
        "mirrored", "the picture mirrored", "see the sensor's or the resizer's flip", _pixels(lambda p: p[:, ::-1])
    ),
    FeedingMistake(
        "upside down", "the picture upside down", "see the sensor's or the resizer's flip", _pixels(lambda p: p[::-1])
    ),
    FeedingMistake("no input", "nothing: all pixels 0", "fill the input tensor before run()", _pixels(np.zeros_like)),
)
"""What goes wrong between a picture and a network, the most usual first."""


def find_mistake(
    model: onnx.ModelProto, tensor: str, pixels: Array, network_input: NetworkInput, actual: Array
) -> Cause | None:
    """Look for a mistake that gives exactly what the board has.

    Args:
        model: the integer model.
        tensor: one that the board computed otherwise than the PC.
        pixels: the PC's input, [H, W, C].
        network_input: the network's input.
        actual: the board's values of `tensor`, [N, H, W, C].
    """
    runner = Runner(simulator_model(precise(model), [tensor], codes=True), optimize="safe")
    for mistake, feed in _wrong_feeds(pixels, network_input):
        values = nhwc(runner.run({network_input.name: feed})[tensor])
        if np.array_equal(values.reshape(actual.shape), actual):
            return Cause(mistake.kind, f"the board was fed {mistake.says}", mistake.cure)
    return None


def _wrong_feeds(pixels: Array, network_input: NetworkInput) -> Iterator[tuple[FeedingMistake, Array]]:
    right = normalize(pixels, network_input)
    for mistake in FEEDING_MISTAKES:
        feed = mistake.feed(pixels, network_input)
        if not np.array_equal(feed, right):
            yield mistake, feed
