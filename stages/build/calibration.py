"""The calibration samples as files, for the vendors' converters."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.artifacts import write_arrays
from stages.core.config import Color
from stages.core.dumps import file_names
from stages.core.inputs import NetworkInput, Sample, feeds, only_picture
from stages.core.samples import SampleReader

__all__ = ["one_picture", "write_npz", "write_pictures", "write_samples"]


def one_picture(samples: SampleReader, inputs: Sequence[NetworkInput]) -> bool:
    """Whether all that the network is fed is one picture of 8 bits, which converters decode themselves."""
    return only_picture(inputs) and samples.arrays[inputs[0].name].dtype == np.uint8


def write_samples(folder: Path, samples: SampleReader, inputs: Sequence[NetworkInput]) -> None:
    """Write the samples as Ingenic's converter takes them.

    One picture is a PNG; one other tensor a `.bin`; of several inputs each sample is a folder with `<input>.bin` for
    each (post-training guide of July 2022, 2.2.2). A `.bin` has the numbers alone, before mean and normal, NHWC.
    """
    if one_picture(samples, inputs):
        write_pictures(folder, samples, inputs[0])
        return
    folder.mkdir()
    files = file_names([entry.name for entry in inputs])
    for name, sample in _named(samples):
        paths = [folder / f"{name}.bin"] if len(inputs) == 1 else [folder / name / file for file in files]
        paths[0].parent.mkdir(exist_ok=True)
        for path, entry in zip(paths, inputs, strict=True):
            path.write_bytes(sample[entry.name].tobytes())


def write_pictures(folder: Path, samples: SampleReader, network_input: NetworkInput) -> list[Path]:
    """Write each sample as PNG: lossless and already of the input's size, so that the converter sees what we saw.

    Returns:
        The files, in the order of the samples.
    """
    folder.mkdir()
    paths = []
    for name, sample in _named(samples):
        paths.append(folder / f"{name}.png")
        pixels = _bgr(sample[network_input.name], network_input.color)
        paths[-1].write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return paths


def write_npz(folder: Path, samples: SampleReader, inputs: Sequence[NetworkInput]) -> list[Path]:
    """Write each sample as the network takes it, after mean and normal, an entry an input, as TPU-MLIR wants it.

    Returns:
        The files, in the order of the samples.
    """
    folder.mkdir()
    paths = []
    for name, sample in _named(samples):
        paths.append(folder / f"{name}.npz")
        write_arrays(paths[-1], feeds(sample, inputs))
    return paths


def _named(samples: SampleReader) -> Iterator[tuple[str, Sample]]:
    """Each sample with the name of its file: its number, and what its source calls it."""
    for index, (name, sample) in enumerate(zip(samples.names, samples, strict=True)):
        yield f"{index:04d}_{re.sub('[^A-Za-z0-9._-]', '_', PurePosixPath(name).stem)}", sample


def _bgr(sample: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    return sample[:, :, ::-1] if color is Color.RGB else sample
