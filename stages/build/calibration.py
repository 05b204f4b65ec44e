"""The calibration pictures as files, for the vendor's converter."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.config import Color

__all__ = ["write_pictures"]


def write_pictures(folder: Path, pictures: Iterable[tuple[str, NDArray[np.uint8]]], color: Color) -> list[Path]:
    """Write each picture as PNG: lossless and already of the input's size, so that the converter sees what we saw.

    Args:
        folder: made here.
        pictures: name and sample, uint8 [H, W, C].
        color: of the samples.

    Returns:
        The files, in the order of the pictures.
    """
    folder.mkdir()
    paths = []
    for index, (name, sample) in enumerate(pictures):
        path = folder / f"{index:04d}_{re.sub('[^A-Za-z0-9._-]', '_', PurePosixPath(name).stem)}.png"
        path.write_bytes(cv2.imencode(".png", _bgr(sample, color))[1].tobytes())
        paths.append(path)
    return paths


def _bgr(sample: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    return sample[:, :, ::-1] if color is Color.RGB else sample
