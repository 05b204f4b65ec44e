"""The calibration pictures as files, for the vendor's converter."""

import re
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.config import Color
from stages.core.inputs import NetworkInput
from stages.core.samples import SampleReader

__all__ = ["write_pictures"]


def write_pictures(folder: Path, samples: SampleReader, network_input: NetworkInput) -> list[Path]:
    """Write each sample as PNG: lossless and already of the input's size, so that the converter sees what we saw.

    Returns:
        The files, in the order of the samples.
    """
    folder.mkdir()
    paths = []
    for index, (name, sample) in enumerate(zip(samples.names, samples, strict=True)):
        path = folder / f"{index:04d}_{re.sub('[^A-Za-z0-9._-]', '_', PurePosixPath(name).stem)}.png"
        path.write_bytes(cv2.imencode(".png", _bgr(sample, network_input.color))[1].tobytes())
        paths.append(path)
    return paths


def _bgr(sample: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    return sample[:, :, ::-1] if color is Color.RGB else sample
