"""A picture as the open T41 runtime takes it (`plt run --input`)."""

import numpy as np
from numpy.typing import NDArray

from stages.build.pluto.edges import Meaning

__all__ = ["input_bytes"]

LANES = 32
TILE = (2, 4)  # rows and pixels that the unit takes at once


def input_bytes(values: NDArray[np.float32], meaning: Meaning, complement: bool) -> NDArray[np.uint8]:
    """Lay out a network input in cells of 32 channels, a byte each.

    Layout: README.md and compile/pack_input.py of github.com/inoop/t41-pluto (8f374b6).

    Args:
        values: float32 [1, C, H, W], as the network takes it.
        meaning: the input's codes, int8.
        complement: bytes are the codes in two's complement; else code + 128.

    Returns:
        uint8 [ceil(C / 32), H to a multiple of 2, W to a multiple of 4, 32], zeros where there is no value.
    """
    codes = np.clip(np.rint(values[0] / np.float64(meaning.step)) + meaning.zero, -128, 127).astype(np.int64)
    fed = codes % 256 if complement else codes + 128
    channels, *size = fed.shape
    groups = -(-channels // LANES)
    height, width = (-(-length // tile) * tile for length, tile in zip(size, TILE, strict=True))
    cells = np.zeros((groups * LANES, height, width), np.uint8)
    cells[:channels, : size[0], : size[1]] = fed
    return np.ascontiguousarray(cells.reshape(groups, LANES, height, width).transpose(0, 2, 3, 1))
