"""Ways of feeding a picture to a network: colour order, mean and normal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.core.config.overrides import numbers, quoted
from stages.core.config.schema import Color, InputConfig
from stages.core.data.inputs import NetworkInput, normalize

__all__ = ["PreprocessingVariant", "alternatives", "inputs_override"]

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and deviation in pixel units, red first."""
USUAL_NORMALIZATIONS: list[tuple[tuple[float, ...], tuple[float, ...]]] = [
    ((127.0,), (128.0,)), ((127.5,), (127.5,)), ((128.0,), (128.0,)), ((0.0,), (255.0,)), ((0.0,), (1.0,)), IMAGENET,
]  # fmt: skip
"""Mean and normal, of each channel or one for all."""


@dataclass(frozen=True)
class PreprocessingVariant:
    """One way of feeding the network.

    Attributes:
        network_input: the input, as this variant has it.
        flipped: whether the stored samples have the other colour order.
    """

    network_input: NetworkInput
    flipped: bool = False

    def feed(self, sample: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """What the network takes of a stored sample, uint8 [H, W, C] in the configured colour."""
        values = sample[:, :, ::-1] if self.flipped else sample
        return {self.network_input.name: normalize(values, self.network_input)}

    def normalizes_like(self, other: "PreprocessingVariant") -> bool:
        """Whether mean and normal are the other's, maybe in the other order: then colours alone differ."""
        ours, theirs = self.network_input, other.network_input
        same = (ours.mean, ours.normal) == (theirs.mean, theirs.normal)
        return same or (ours.mean, ours.normal) == (theirs.mean[::-1], theirs.normal[::-1])

    def __str__(self) -> str:
        shown = self.network_input
        return f"{shown.color.value}, mean {numbers(shown.mean)}, normal {numbers(shown.normal)}"


def alternatives(variant: PreprocessingVariant) -> list[PreprocessingVariant]:
    """Other variants: the colours exchanged, or another usual mean and normal."""
    own, flipped = variant.network_input, variant.flipped
    variants: list[PreprocessingVariant] = []
    if own.color in (Color.RGB, Color.BGR):
        other = replace(own, color=Color.BGR if own.color is Color.RGB else Color.RGB)
        reordered = replace(other, mean=own.mean[::-1], normal=own.normal[::-1])
        variants.append(PreprocessingVariant(reordered, not flipped))
        # a mean that was written in the right order for the wrong colour
        variants.append(PreprocessingVariant(other, not flipped))
    for values in USUAL_NORMALIZATIONS:
        if len(values[0]) > 1 and own.color is Color.GRAY:
            continue
        mean, normal = (part * (own.channels if len(part) == 1 else 1) for part in values)
        if own.color is Color.BGR:
            mean, normal = mean[::-1], normal[::-1]
        variants.append(PreprocessingVariant(replace(own, mean=mean, normal=normal), flipped))
    return [other for other in dict.fromkeys(variants) if other.network_input != own]


def inputs_override(config: Sequence[InputConfig], variant: PreprocessingVariant) -> str:
    """The override that feeds a network's only input that way; its name and shape stay as they are configured."""
    first = config[0] if config else InputConfig()
    parts = []
    if first.name is not None:
        parts.append(f"name: {quoted(first.name)}")
    if first.shape is not None:
        parts.append(f"shape: [{', '.join(map(str, first.shape))}]")
    wanted = variant.network_input
    parts += [f"mean: {numbers(wanted.mean)}", f"normal: {numbers(wanted.normal)}", f"color: {wanted.color.value}"]
    return f"model.inputs=[{{{', '.join(parts)}}}]"
