"""From a file on disk to the pixels of the network's input."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.core.config import PreprocessConfig
from stages.core.errors import UserError, one_line
from stages.core.inputs import NetworkInput
from stages.core.preprocess import read_pictures
from stages.core.sources import SourceFile

__all__ = ["normalized", "read_pixels"]

KEY = "input"
Pixels = NDArray[np.uint8] | NDArray[np.float32]


def read_pixels(path: Path, network_input: NetworkInput, preprocess: PreprocessConfig) -> Pixels:
    """Read a file as the network's input has it, before mean and normal.

    Args:
        path: `.npy`: uint8 or float, [H, W, C] or with a 1 in front; `.bin`: the same without a header, the kind told
            by its size; anything else is decoded as a picture and fitted. Three channels may have a fourth behind
            them that nobody uses, as a board's inputs have.
        network_input: the input.
        preprocess: how pictures are fitted.

    Returns:
        uint8 or float32 [H, W, C].

    Raises:
        UserError: if the file cannot be read or is of another size.
    """
    try:
        if path.suffix == ".npy":
            return _shaped(np.load(path, allow_pickle=False), path, network_input)
        if path.suffix == ".bin":
            return _shaped(_typed(path.read_bytes(), path, network_input), path, network_input)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    (picture,) = read_pictures([SourceFile(str(path), path.read_bytes)], network_input, preprocess, KEY)
    return picture.sample


def normalized(pixels: Pixels, network_input: NetworkInput) -> NDArray[np.float32]:
    """What the network takes: (pixels - mean) / normal, float32 [1, C, H, W]."""
    mean, normal = (np.asarray(values, dtype=np.float32) for values in (network_input.mean, network_input.normal))
    scaled = (pixels.astype(np.float32) - mean) / normal
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[np.newaxis])


def _channels(network_input: NetworkInput) -> tuple[int, ...]:
    return (3, 4) if network_input.channels == 3 else (network_input.channels,)


def _typed(content: bytes, path: Path, network_input: NetworkInput) -> NDArray[np.generic]:
    """The numbers of a file without a header."""
    pixels = network_input.height * network_input.width
    for kind in (np.dtype("u1"), np.dtype("<f4")):
        for channels in _channels(network_input):
            if len(content) == pixels * channels * kind.itemsize:
                return np.frombuffer(content, kind).reshape(network_input.height, network_input.width, channels)
    wanted = pixels * network_input.channels
    raise UserError(
        f"{path} has {len(content)} bytes; the input takes {wanted} (uint8) or {4 * wanted} (float32), NHWC"
    )


def _shaped(values: NDArray[np.generic], path: Path, network_input: NetworkInput) -> Pixels:
    found = values[0] if values.ndim == 4 and len(values) == 1 else values
    size = (network_input.height, network_input.width)
    if found.ndim != 3 or found.shape[:2] != size or found.shape[2] not in _channels(network_input):
        wanted = [*size, network_input.channels]
        raise UserError(f"{path} has shape {list(values.shape)}; the input takes {wanted}: pixels, NHWC")
    kept = np.ascontiguousarray(found[:, :, : network_input.channels])
    if not np.isfinite(kept).all():
        raise UserError(f"{path} holds values that are infinite or not a number")
    return kept.astype(np.uint8, copy=False) if kept.dtype == np.uint8 else kept.astype(np.float32)
