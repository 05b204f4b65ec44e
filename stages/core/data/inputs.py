"""The network's inputs, resolved: what export writes and every stage that feeds the network reads."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import as_number, as_rows, as_text, read_artifact
from stages.core.base.checksums import damaged
from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import Color, InputConfig
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = [
    "NetworkInput",
    "Sample",
    "assign_names",
    "feeds",
    "from_json",
    "load_inputs",
    "normalize",
    "noun_of",
    "only_picture",
    "resolve_inputs",
    "to_json",
]

Sample = Mapping[str, NDArray[Any]]
"""Input -> what it is fed, before mean and normal: uint8 or float32 in the input's `sample_shape`."""


MOST_SIZE = 2**31 - 1
"""Of an axis: ONNX Runtime and the boards count in 32 bits."""


@dataclass(frozen=True)
class NetworkInput:
    """One input of the network: a picture, or any other tensor.

    Attributes:
        name: tensor name in the exported graph.
        shape: NCHW for a picture, batch 1 first. A tensor of rank 4 with another first size is no picture.
        mean: one value a channel, in the sample's units (pixels of a picture).
        normal: one value a channel, in the same units: x' = (x - mean) / normal.
        color: channel order of a picture.
    """

    name: str
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    normal: tuple[float, ...]
    color: Color

    @property
    def channels(self) -> int:
        """Size of the channel axis (axis 1; 1 for a vector)."""
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def height(self) -> int:
        """Picture height in pixels."""
        return self.shape[2]

    @property
    def width(self) -> int:
        """Picture width in pixels."""
        return self.shape[3]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of a sample: channels last for rank 4, as the vendor's tools and boards lay it out; else the input's.

        That is [H, W, C], or [N, H, W, C] where the first size N is not 1.
        """
        if len(self.shape) != PICTURE_RANK:
            return self.shape
        channels_last = (self.height, self.width, self.channels)
        return channels_last if self.shape[0] == 1 else (self.shape[0], *channels_last)

    @property
    def takes_picture(self) -> bool:
        """Whether a picture fits: NCHW with batch 1 and as many channels as the colour has."""
        color_channels = 1 if self.color is Color.GRAY else 3
        return len(self.shape) == PICTURE_RANK and self.shape[:2] == (1, color_channels)

    def __str__(self) -> str:
        """Its size, as messages have it: "16x16 RGB", or the sizes of a tensor."""
        size = "x".join(map(str, self.sample_shape[:2] if self.takes_picture else self.shape)) or "number"
        return f"{size} {self.color.value}" if self.takes_picture else size


def resolve_inputs(configured: Sequence[InputConfig], graph_shapes: Mapping[str, Sequence[int]]) -> list[NetworkInput]:
    """Apply the vendor's broadcasting and fill in what the graph knows.

    A field that is left out takes the value of the input before it (the last shape is repeated); one mean or normal
    serves all channels. A tensor that no picture fits is as it is, mean 0 and normal 1, unless it has its own: what
    pixels need would only spoil it.

    Args:
        configured: `model.inputs`; the n-th belongs to the n-th graph input unless it has a name.
        graph_shapes: the exported graph's inputs in order, name to shape.

    Raises:
        UserError: for a count, name, length or colour that does not fit.
    """
    assigned = assign_names(configured, list(graph_shapes))
    resolved = []
    picture_mean, picture_normal = tensor_mean, tensor_normal = [0.0], [1.0]
    color = Color.RGB
    for index, (name, config) in enumerate(assigned.items()):
        color = config.color or color
        network_input = NetworkInput(name, tuple(config.shape or graph_shapes[name]), (), (), color)
        is_picture = network_input.takes_picture
        default_mean, default_normal = (picture_mean, picture_normal) if is_picture else (tensor_mean, tensor_normal)
        mean = default_mean if config.mean is None else config.mean
        normal = default_normal if config.normal is None else config.normal
        if is_picture:
            picture_mean, picture_normal = mean, normal
        resolved.append(
            replace(
                network_input,
                mean=_per_channel(mean, network_input, f"model.inputs[{index}].mean"),
                normal=_per_channel(normal, network_input, f"model.inputs[{index}].normal"),
            )
        )
    return sorted(resolved, key=lambda network_input: list(graph_shapes).index(network_input.name))


def assign_names(configured: Sequence[InputConfig], names: Sequence[str]) -> dict[str, InputConfig]:
    """Give each input of the graph its config, in the config's order; inputs beyond the config come last, empty.

    Raises:
        UserError: if the config has more inputs than the graph, or a name twice or that the graph lacks.
    """
    if len(configured) > len(names):
        raise UserError(f"model.inputs has {len(configured)} inputs; the network has {len(names)}: {', '.join(names)}")
    named = [config.name for config in configured if config.name]
    for index, name in enumerate(named):
        if name not in names:
            raise UserError(f"model.inputs[].name: the network has no input {name!r}; {did_you_mean(name, names)}")
        if name in named[:index]:
            raise UserError(f"model.inputs[].name: {name!r} is there twice")
    unnamed = [name for name in names if name not in named]
    assigned = {config.name or unnamed.pop(0): config for config in configured}
    return assigned | {name: InputConfig() for name in unnamed}


def _per_channel(values: Sequence[float], network_input: NetworkInput, key: str) -> tuple[float, ...]:
    channels = network_input.channels
    if len(values) not in (1, channels):
        expected = "1 value" if channels == 1 else f"1 value or {channels}"
        which = " (its second size: NCHW)" if len(network_input.shape) == PICTURE_RANK else ""
        raise UserError(
            f"{key} has {len(values)} values; input {network_input.name!r} {list(network_input.shape)} has "
            f"{channels} channels{which}: give {expected}"
        )
    return tuple(float(value) for value in values) * (channels if len(values) == 1 else 1)


def only_picture(inputs: Sequence[NetworkInput]) -> bool:
    """Whether a picture is the network's only input."""
    return len(inputs) == 1 and inputs[0].takes_picture


def noun_of(inputs: Sequence[NetworkInput]) -> str:
    """What messages call a sample."""
    return "picture" if only_picture(inputs) else "sample"


def feeds(sample: Sample, inputs: Sequence[NetworkInput]) -> dict[str, NDArray[np.float32]]:
    """Turn a sample into the network's feeds: input -> float32 in the input's shape."""
    return {network_input.name: normalize(sample[network_input.name], network_input) for network_input in inputs}


def normalize(values: NDArray[Any], network_input: NetworkInput) -> NDArray[np.float32]:
    """Turn one input's part of a sample into what the network is fed.

    Args:
        values: uint8 or float32, in the input's `sample_shape`.
        network_input: the input.

    Returns:
        float32 in the input's shape: (values - mean) / normal, a value a channel: axis 1 of the input's shape.
    """
    mean = np.asarray(network_input.mean, dtype=np.float32)
    normal = np.asarray(network_input.normal, dtype=np.float32)
    rank = len(network_input.shape)
    if rank != PICTURE_RANK:
        mean, normal = (part.reshape(-1, *[1] * max(rank - 2, 0)) for part in (mean, normal))
    scaled = (values.astype(np.float32) - mean) / normal
    if rank == PICTURE_RANK:
        scaled = np.moveaxis(scaled, -1, -3)
    return np.ascontiguousarray(scaled).reshape(network_input.shape)


def unnormalize(values: NDArray[np.float32], network_input: NetworkInput) -> NDArray[np.float32]:
    """Undo `normalize`.

    Args:
        values: float32 in the input's shape.
        network_input: the input.

    Returns:
        float32 in its `sample_shape`.
    """
    mean = np.asarray(network_input.mean, dtype=np.float32)
    normal = np.asarray(network_input.normal, dtype=np.float32)
    rank = len(network_input.shape)
    if rank == PICTURE_RANK:
        return np.asarray(np.moveaxis(values, -3, -1).reshape(network_input.sample_shape) * normal + mean)
    mean, normal = (part.reshape(-1, *[1] * max(rank - 2, 0)) for part in (mean, normal))
    return np.asarray(values * normal + mean)


def to_json(inputs: Sequence[NetworkInput]) -> list[dict[str, Any]]:
    """Plain form for JSON."""
    return [
        {
            "name": network_input.name,
            "shape": list(network_input.shape),
            "mean": list(network_input.mean),
            "normal": list(network_input.normal),
            "color": network_input.color.value,
        }
        for network_input in inputs
    ]


def from_json(content: Sequence[Mapping[str, Any]]) -> list[NetworkInput]:
    """Read what `to_json` gives.

    Raises:
        TypeError, KeyError, ValueError: if it is anything else.
    """
    inputs = [
        NetworkInput(
            name=as_text(item["name"]),
            shape=tuple(map(operator.index, item["shape"])),
            mean=tuple(map(as_number, item["mean"])),
            normal=tuple(map(as_number, item["normal"])),
            color=Color(item["color"]),
        )
        for item in as_rows(content)
    ]
    for each in inputs:
        if not all(0 < size <= MOST_SIZE for size in each.shape):
            raise ValueError(f"a size of input {each.name!r} is not 1 to {MOST_SIZE}")
        if not {len(each.mean), len(each.normal)} <= {1, each.channels}:
            raise ValueError(f"mean or normal of input {each.name!r} is not one value a channel")
    return inputs


def load_inputs(path: Path) -> list[NetworkInput]:
    """Load the artifact that export writes.

    Raises:
        UserError: if it is missing or damaged.
    """
    inputs = read_artifact(path, from_json)
    if not inputs:
        raise damaged(path, "it names no input")
    return inputs
