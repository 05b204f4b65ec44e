"""Calibration and debug samples as the converter takes them.

One picture input: a folder of pictures and nothing else. Several inputs, or one that is no picture: two levels, each
folder one sample that holds `<input name>_input.bin` of every input.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.dumps import nhwc
from stages.core.errors import UserError

__all__ = ["write_tensors"]


def write_tensors(folder: Path, samples: Iterable[Mapping[str, NDArray[Any]]]) -> int:
    """Write samples of several inputs in two levels.

    Args:
        folder: made here.
        samples: input name -> the sample's values in the input's own shape, before mean and normal, which the converter
            applies. They are written as float32, little-endian, a picture-shaped one as NHWC: so the converter writes
            its own `input.bin`; the guide does not say it of what it reads.

    Returns:
        How many there were.

    Raises:
        UserError: for an input whose name cannot be the beginning of a file's name.
    """
    folder.mkdir()
    count = 0
    for count, sample in enumerate(samples, 1):
        below = folder / f"{count - 1:04d}"
        below.mkdir()
        for name, values in sample.items():
            if "/" in name or "\0" in name:
                raise UserError(
                    f"input {name!r}: the converter wants files that begin with its name, and '/' cannot be in one: "
                    "rename the input in the network"
                )
            (below / f"{name}_input.bin").write_bytes(np.ascontiguousarray(nhwc(values)).astype("<f4").tobytes())
    return count
