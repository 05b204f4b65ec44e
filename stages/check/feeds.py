"""How a board may have been fed otherwise: the network run on the picture as a mistake would have it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from stages.check.steps import Array
from stages.check.values import Cause
from stages.core.data.inputs import NetworkInput, normalize
from stages.core.graph.session import Runner
from stages.core.integer.dumps import nhwc
from stages.core.integer.simulator import simulator_model
from stages.infer.precise import precise

__all__ = ["MISTAKES", "Mistake", "find_mistake"]


@dataclass(frozen=True)
class Mistake:
    """A way to feed a network wrongly.

    Attributes:
        kind: a word.
        says: what the board took, as the rest of "the board was fed ...".
        cure: what to do.
        feed: pixels [H, W, C], the input -> what the network takes, float32 [1, C, H, W].
    """

    kind: str
    says: str
    cure: str
    feed: Callable[[Array, NetworkInput], Array]


def _pixels(change: Callable[[Array], Array]) -> Callable[[Array, NetworkInput], Array]:
    return lambda pixels, entry: normalize(np.ascontiguousarray(change(pixels), np.float32), entry)


def _twice(pixels: Array, entry: NetworkInput) -> Array:
    once = normalize(pixels, entry)[0].transpose(1, 2, 0)
    return normalize(np.ascontiguousarray(once), entry)


def _raw(pixels: Array, entry: NetworkInput) -> Array:
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[np.newaxis])


def _to_one(pixels: Array, entry: NetworkInput) -> Array:
    return normalize(pixels.astype(np.float32) / np.float32(255), entry)


def _padded_as_three(pixels: Array) -> Array:
    """Pixels of four bytes read as pixels of three."""
    wide = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))
    return wide.ravel()[: pixels.size].reshape(pixels.shape)


def _planes(pixels: Array) -> Array:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(pixels.shape)


_NORMALIZE = (
    "mean and normal belong into the converter's cfg alone: hand the board pixels, and check MEAN and NORMAL there"
)
_CHANNELS = "hand the board NHWC pixels of as many channels as its input tensor has, channel 3 zero where it has four"
MISTAKES = (
    Mistake(
        "colour order",
        "red and blue exchanged (RGB against BGR)",
        "feed the board the colour order that the network takes: model.inputs' color, COLOR in the converter's cfg",
        _pixels(lambda pixels: pixels[..., ::-1]),
    ),
    Mistake("mean twice", "the picture with mean and normal applied twice", _NORMALIZE, _twice),
    Mistake("no mean", "the picture without mean and normal", _NORMALIZE, _raw),
    Mistake("0..1", "pixels divided by 255 before mean and normal", _NORMALIZE, _to_one),
    Mistake("input planes", "planes (NCHW) where it takes pixels (NHWC)", _CHANNELS, _pixels(_planes)),
    Mistake("input padding", "pixels of four bytes read as three", _CHANNELS, _pixels(_padded_as_three)),
    Mistake(
        "mirrored", "the picture mirrored", "see the sensor's or the resizer's flip", _pixels(lambda p: p[:, ::-1])
    ),
    Mistake(
        "upside down", "the picture upside down", "see the sensor's or the resizer's flip", _pixels(lambda p: p[::-1])
    ),
    Mistake("no input", "nothing: all pixels 0", "fill the input tensor before run()", _pixels(np.zeros_like)),
)
"""What goes wrong between a picture and a network, the most usual first."""


def find_mistake(model: onnx.ModelProto, tensor: str, pixels: Array, entry: NetworkInput, found: Array) -> Cause | None:
    """Look for a mistake that makes exactly what the board has.

    Args:
        model: the integer model.
        tensor: one that the board computed otherwise than the PC.
        pixels: the PC's input, [H, W, C].
        entry: the network's input.
        found: the board's values of `tensor`, [N, H, W, C].
    """
    runner = Runner(simulator_model(precise(model), [tensor], codes=True), optimize="safe")
    for mistake, feed in _feeds(pixels, entry):
        made = nhwc(runner.run({entry.name: feed})[tensor])
        if np.array_equal(made.reshape(found.shape), found):
            return Cause(mistake.kind, f"the board was fed {mistake.says}", mistake.cure)
    return None


def _feeds(pixels: Array, entry: NetworkInput) -> Iterator[tuple[Mistake, Array]]:
    right = normalize(pixels, entry)
    for mistake in MISTAKES:
        feed = mistake.feed(pixels, entry)
        if not np.array_equal(feed, right):
            yield mistake, feed
