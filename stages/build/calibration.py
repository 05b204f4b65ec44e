"""The calibration samples as files, for the vendors' converters."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import write_arrays
from stages.core.base.file_names import file_names
from stages.core.config.schema import Color
from stages.core.data.inputs import NetworkInput, Sample, feeds, only_picture

__all__ = ["write_bins", "write_npz", "write_samples"]


def write_samples(
    folder: Path,
    samples: Iterable[tuple[str, Sample]],
    inputs: Sequence[NetworkInput],
    write_tensors: Callable[[Path, Sample, Sequence[NetworkInput]], Path],
) -> list[Path]:
    """Write each sample as a converter takes it.

    Where one picture of 8 bits is all that the network is fed, it is a PNG: lossless and already of the input's size,
    so that the converter sees what we saw.

    Args:
        folder: made here.
        samples: each with its name in its source.
        inputs: the network's.
        write_tensors: writes any other sample: takes a path without suffix, gives that of what it made.

    Returns:
        The files or folders, in the order of the samples.
    """
    folder.mkdir()
    paths = []
    for index, (name, sample) in enumerate(samples):
        path = folder / f"{index:04d}_{re.sub('[^A-Za-z0-9._-]', '_', PurePosixPath(name).stem)}"
        values = sample[inputs[0].name]
        if only_picture(inputs) and values.dtype == np.uint8:
            paths.append(path.with_name(f"{path.name}.png"))
            paths[-1].write_bytes(cv2.imencode(".png", _bgr(values, inputs[0].color))[1].tobytes())
        else:
            paths.append(write_tensors(path, sample, inputs))
    return paths


def write_bins(path: Path, sample: Sample, inputs: Sequence[NetworkInput]) -> Path:
    """Write a sample as Ingenic's converter takes it: a folder with `<input>.bin` for each input.

    The numbers alone, before mean and normal, float32, NHWC: so the converter writes its own `input.bin`. Source:
    post-training guide of July 2022, 2.2.2, for the two levels and the names; it does not say the type.
    """
    path.mkdir()
    for entry, file in zip(inputs, file_names([entry.name for entry in inputs]), strict=True):
        (path / file).write_bytes(sample[entry.name].astype("<f4").tobytes())
    return path


def write_npz(path: Path, sample: Sample, inputs: Sequence[NetworkInput]) -> Path:
    """Write a sample as TPU-MLIR takes it: after mean and normal, an entry an input."""
    target = path.with_name(f"{path.name}.npz")
    write_arrays(target, feeds(sample, inputs))
    return target


def _bgr(sample: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    return sample[:, :, ::-1] if color is Color.RGB else sample
