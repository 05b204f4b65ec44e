"""Samples as files, for the vendors' converters."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import write_arrays
from stages.core.base.file_names import MAX_STEM_LENGTH, file_names
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput, Sample, feeds, only_picture

__all__ = ["write_bins", "write_npz", "write_samples"]


def write_samples(
    folder: Path,
    samples: Iterable[tuple[str, Sample]],
    inputs: Sequence[NetworkInput],
    write_tensors: Callable[[Path, Sample, Sequence[NetworkInput]], Path],
) -> list[Path]:
    """Write each sample in the form that a converter reads.

    If the network's only input is an 8-bit picture, a sample is a PNG: lossless and already of the input's size. So the
    converter sees the same pixels as calibration.

    Args:
        folder: created here.
        samples: each with its name in its source.
        inputs: the network's inputs.
        write_tensors: writes any other sample: gets a path without suffix, returns the path of what it wrote.

    Returns:
        The files or folders, in the order of the samples.
    """
    folder.mkdir()
    paths = []
    for index, (name, sample) in enumerate(samples):
        path = folder / f"{index:04d}_{re.sub('[^A-Za-z0-9._-]', '_', PurePosixPath(name).stem)[:MAX_STEM_LENGTH]}"
        pixels = sample[inputs[0].name]
        if only_picture(inputs) and pixels.dtype == np.uint8:
            paths.append(path.with_name(f"{path.name}.png"))
            paths[-1].write_bytes(cv2.imencode(".png", _bgr(pixels, inputs[0].color))[1].tobytes())
        else:
            paths.append(write_tensors(path, sample, inputs))
    return paths


def write_bins(path: Path, sample: Sample, inputs: Sequence[NetworkInput]) -> Path:
    """Write a sample for Ingenic's converter: a folder with `<input>.bin` for each input.

    A file holds the values before mean and normal, float32, NHWC, as the converter writes its own `input.bin`. Source:
    post-training guide of July 2022, 2.2.2, for the two levels and the names; it does not give the type.
    """
    path.mkdir()
    names = [network_input.name for network_input in inputs]
    for name, file in zip(names, file_names(names), strict=True):
        (path / file).write_bytes(sample[name].astype("<f4").tobytes())
    return path


def write_npz(path: Path, sample: Sample, inputs: Sequence[NetworkInput]) -> Path:
    """Write a sample for TPU-MLIR: an npz with an array for each input, after mean and normal."""
    target = path.with_name(f"{path.name}.npz")
    write_arrays(target, feeds(sample, inputs))
    return target


def _bgr(sample: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    return sample[:, :, ::-1] if color is Color.RGB else sample
