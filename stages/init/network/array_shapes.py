"""Sizes that a graph leaves open, as the user's samples have them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.checksums import ARCHIVE_ERRORS, ARRAY_ERRORS
from stages.core.base.file_names import file_names
from stages.core.base.sources import files_below
from stages.core.data.arrays import ARRAY_SUFFIXES
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = ["array_in", "shapes_of_samples"]

RAW_SUFFIX, RAW_SIZE = ".bin", 4
"""Numbers without a header, float32."""


def shapes_of_samples(folder: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Read the shape of each input off the first sample that has an array of it.

    Args:
        folder: of the samples.
        shapes: input -> its shape in the graph, 0 where it is not static.

    Returns:
        Input -> static shape, of those whose samples fit the graph.
    """
    found: dict[str, list[int]] = {}
    stems = {name: file.removesuffix(RAW_SUFFIX) for name, file in zip(shapes, file_names(list(shapes)), strict=True)}
    for file in sorted(files_below(folder)):
        if file.suffix.lower() not in ARRAY_SUFFIXES:
            continue
        for name, shape in shapes.items():
            own = len(shapes) == 1 or file.suffix.lower() == ".npz" or file.stem.startswith(stems[name])
            if name not in found and own and (fitted := _shape(file, name, shape)) is not None:
                found[name] = fitted
        if len(found) == len(shapes):
            break
    return found


def _shape(file: Path, name: str, shape: Sequence[int]) -> list[int] | None:
    """The static shape that an array's is of; None if it does not fit."""
    if file.suffix.lower() == RAW_SUFFIX:
        return _of_bytes(file.stat().st_size, shape)
    array = array_in(file, name)
    if array is None:
        return None
    sizes = array.shape
    candidates = [list(sizes), [1, *sizes]]
    if len(shape) == PICTURE_RANK:  # such samples lie there as [H, W, C]
        candidates = [[1, one[-1], *one[-3:-1]] for one in candidates if len(one) >= PICTURE_RANK - 1]
    return next((one for one in candidates if _fits(one, shape)), None)


def array_in(file: Path, name: str) -> NDArray[Any] | None:
    """The array of a `.npy` file, or the entry of a `.npz` file; None of another file, and without that entry."""
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return np.asarray(loaded[name])
    except (ValueError, KeyError, *ARCHIVE_ERRORS, *ARRAY_ERRORS):
        return None


def _fits(sizes: Sequence[int], shape: Sequence[int]) -> bool:
    return len(sizes) == len(shape) and all(own in (0, size) for size, own in zip(sizes, shape, strict=True))


def _of_bytes(count: int, shape: Sequence[int]) -> list[int] | None:
    """The shape of so many bytes, if one size alone is open beside the batch."""
    known = [1 if index == 0 and size == 0 else size for index, size in enumerate(shape)]
    product = int(np.prod([size for size in known if size])) * RAW_SIZE
    if known.count(0) != 1 or not count or count % product:
        return None
    return [size or count // product for size in known]
