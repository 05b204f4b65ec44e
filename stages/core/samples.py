"""The picture sets on disk: one array a network input, and an index.

The calibration set's folder may hold two sets of its own below it: what corrections are fitted on (`CORRECTION`) and
what they are judged on (`VALIDATION`). Where it does not they are taken out of the calibration set.

Samples are read one at a time from the file, not mapped: mapped pages would count as memory, and memory must not grow
with the number of pictures.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stages.core.artifacts import missing, read_json, write_json

__all__ = [
    "CALIBRATION",
    "CORRECTION",
    "VALIDATION",
    "SampleReader",
    "SampleWriter",
    "correction_samples",
    "digest",
    "stored_sets",
    "validation_samples",
]

INDEX = "index.json"
ARRAY = "{index}.npy"
CALIBRATION, CORRECTION, VALIDATION = "calibration", "correction", "validation"
HELD_OUT = 5  # of so many calibration pictures one validates


def digest(sample: NDArray[Any]) -> str:
    """Identify a sample by its content (16 hexadecimal digits)."""
    return hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()[:16]


class SampleWriter:
    """Writes samples of one input as they come; memory does not grow with their number."""

    def __init__(self, folder: Path, input_name: str, count: int, shape: Sequence[int]) -> None:
        self._folder = folder
        self._index: dict[str, Any] = {"input": input_name, "names": [], "digests": [], "warnings": [], "flat": []}
        self._file = (folder / ARRAY.format(index=0)).open("wb")
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    @property
    def by_digest(self) -> dict[str, str]:
        """Content digest -> name of the samples so far; of equal ones the last."""
        return dict(zip(self._index["digests"], self._index["names"], strict=True))

    def __len__(self) -> int:
        return len(self._index["names"])

    def add(self, name: str, sample: NDArray[np.uint8]) -> None:
        """Append one sample, uint8 [H, W, C]."""
        self._file.write(np.ascontiguousarray(sample).tobytes())
        self._index["names"].append(name)
        self._index["digests"].append(digest(sample))

    def close(self, warnings: Sequence[str], flat: Sequence[str] = ()) -> None:
        """Finish the array and write the index; `flat` names the samples that are mostly one colour."""
        self._file.close()
        self._index["warnings"], self._index["flat"] = list(warnings), list(flat)
        write_json(self._folder / INDEX, self._index)


@dataclass(frozen=True)
class SampleReader:
    """Reads a set of samples, or some samples of it; holds none of them in memory.

    Attributes:
        path: the file of the array.
        offset: where its values start, in bytes.
        shape: of a sample, [H, W, C].
        positions: where each sample stands in the array.
        names: file names of the samples.
        digests: content digests of the samples.
        warnings: what was noticed when the set was built.
        flat: names of those samples that are mostly one colour.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    positions: Sequence[int]
    names: list[str]
    digests: list[str]
    warnings: list[str]
    flat: list[str]

    @classmethod
    def open(cls, folder: Path) -> "SampleReader":
        """Open a set that calibset writes."""
        index = read_json(folder / INDEX)
        path = folder / ARRAY.format(index=0)
        if not path.is_file():
            raise missing(path)
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        names = index["names"]
        return cls(
            path, offset, shape[1:], range(len(names)), names, index["digests"], index["warnings"], index["flat"]
        )

    def subset(self, indices: Sequence[int]) -> "SampleReader":
        """The samples of these indices, in this order, as a reader of its own."""
        return replace(
            self,
            positions=[self.positions[index] for index in indices],
            names=[self.names[index] for index in indices],
            digests=[self.digests[index] for index in indices],
        )

    @property
    def by_digest(self) -> dict[str, str]:
        """Content digest -> name; of equal samples the last."""
        return dict(zip(self.digests, self.names, strict=True))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Read one sample: uint8 [H, W, C]."""
        with self.path.open("rb") as file:
            return self._read(file, self.positions[index])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield samples one by one: uint8 [H, W, C]."""
        with self.path.open("rb") as file:
            for position in self.positions:
                yield self._read(file, position)

    def _read(self, file: BinaryIO, position: int) -> NDArray[np.uint8]:
        size = int(np.prod(self.shape))
        file.seek(self.offset + position * size)
        return np.frombuffer(file.read(size), dtype=np.uint8).reshape(self.shape)


def correction_samples(folder: Path) -> SampleReader:
    """Open the samples that corrections are fitted on.

    Args:
        folder: the calibration set's.

    Returns:
        The set of its own that `data.correction` made; else the calibration set without what `validation_samples`
        takes out of it (a single picture serves both).
    """
    if (folder / CORRECTION).is_dir():
        return SampleReader.open(folder / CORRECTION)
    samples = SampleReader.open(folder)
    held_out = [] if (folder / VALIDATION).is_dir() else _held_out(len(samples))
    return samples.subset([index for index in range(len(samples)) if index not in held_out]) if held_out else samples


def validation_samples(folder: Path) -> SampleReader:
    """Open the samples that corrections are judged on.

    Args:
        folder: the calibration set's.

    Returns:
        The set of its own that `data.validation` made; else every fifth sample of the calibration set (of fewer than
        five the last).
    """
    if (folder / VALIDATION).is_dir():
        return SampleReader.open(folder / VALIDATION)
    samples = SampleReader.open(folder)
    return samples.subset(_held_out(len(samples)) or range(len(samples)))


def stored_sets(folder: Path) -> dict[str, SampleReader]:
    """Open the calibration set of a folder and the sets of their own below it, by name, calibration first."""
    folders = {CALIBRATION: folder, CORRECTION: folder / CORRECTION, VALIDATION: folder / VALIDATION}
    return {name: SampleReader.open(path) for name, path in folders.items() if name == CALIBRATION or path.is_dir()}


def _held_out(count: int) -> Sequence[int]:
    """Of `count` calibration pictures those that validate: none of a single one, which has to serve everything."""
    return [] if count < 2 else range(min(HELD_OUT, count) - 1, count, HELD_OUT)
