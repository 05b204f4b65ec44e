"""Sets of samples on disk: one array a network input, and an index.

The folder of the calibration set may hold two more sets beside it: the samples that corrections are fitted on
(`CORRECTION`) and those that they are validated on (`VALIDATION`). Without them both are taken out of the calibration
set.

Samples are read one at a time from the files, not mapped: mapped pages would count as memory, and memory must not grow
with the number of samples.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stages.core.base.artifacts import as_text, read_artifact, write_json
from stages.core.base.checksums import checked_file, parsing
from stages.core.data.inputs import Sample

__all__ = [
    "CALIBRATION",
    "CORRECTION",
    "VALIDATION",
    "SampleReader",
    "SampleWriter",
    "calibration_samples",
    "correction_samples",
    "digest",
    "stored_sets",
    "validation_samples",
]

INDEX_FILE = "index.json"
ARRAY_FILE = "{index}.npy"
CALIBRATION, CORRECTION, VALIDATION = "calibration", "correction", "validation"
SAMPLES_PER_VALIDATION = 5
"""Of so many calibration samples one is for validation."""


def digest(sample: Sample) -> str:
    """Identify a sample by its content, input by input in the network's order (16 hexadecimal digits)."""
    sha256 = hashlib.sha256()
    for values in sample.values():
        sha256.update(values.tobytes())
    return sha256.hexdigest()[:16]


class SampleWriter:
    """Writes samples as they come; memory does not grow with their number.

    Args:
        folder: where; it must exist.
        inputs: names of the network's inputs, in its order.
        count: how many samples there will be.
    """

    def __init__(self, folder: Path, inputs: Sequence[str], count: int) -> None:
        self._folder, self._count, self._files = folder, count, list[BinaryIO]()
        self._index: dict[str, Any] = {"inputs": list(inputs), "names": [], "digests": [], "warnings": [], "flat": []}

    @property
    def by_digest(self) -> dict[str, str]:
        """Content digest -> name of the samples so far; of equal ones the last."""
        return dict(zip(self._index["digests"], self._index["names"], strict=True))

    def __len__(self) -> int:
        return len(self._index["names"])

    def add(self, name: str, sample: Sample) -> None:
        """Append one sample: uint8 or float32 of every input, of the first one's type and shape."""
        ordered = {key: np.ascontiguousarray(sample[key]) for key in self._index["inputs"]}
        self._files = self._files or [self._open_array(index, values) for index, values in enumerate(ordered.values())]
        for file, values in zip(self._files, ordered.values(), strict=True):
            file.write(values.tobytes())
        self._index["names"].append(name)
        self._index["digests"].append(digest(ordered))

    def close(self, warnings: Sequence[str], flat: Sequence[str] = ()) -> None:
        """Finish the arrays and write the index; `flat` names the samples that are mostly one colour."""
        for file in self._files:
            file.close()
        self._index["warnings"], self._index["flat"] = list(warnings), list(flat)
        write_json(self._folder / INDEX_FILE, self._index)

    def _open_array(self, index: int, values: NDArray[Any]) -> BinaryIO:
        file = (self._folder / ARRAY_FILE.format(index=index)).open("wb")
        descr = np.lib.format.dtype_to_descr(values.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": (self._count, *values.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        return file


@dataclass(frozen=True)
class StoredArray:
    """One input's part of all samples, on disk.

    Attributes:
        path: the file.
        offset: where its values start, in bytes.
        shape: of a sample.
        dtype: of a value.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path) -> "StoredArray":
        """Read the header of a `.npy` file.

        Raises:
            UserError: if it is missing or damaged.
        """
        with checked_file(path).open("rb") as file, parsing(path):
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            array = cls(path, file.tell(), shape[1:], dtype)
            if path.stat().st_size != array.offset + shape[0] * array.size:
                raise ValueError("its size is not that of its header")
            return array

    @property
    def size(self) -> int:
        """Bytes of a sample."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, file: BinaryIO, position: int) -> NDArray[Any]:
        """Read the array at a position, `file` being open."""
        file.seek(self.offset + position * self.size)
        return np.frombuffer(file.read(self.size), dtype=self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class SampleReader:
    """Reads a set of samples, or some samples of it; holds none of them in memory.

    Attributes:
        arrays: input -> its values of all samples.
        positions: where each sample stands in the arrays.
        names: file names of the samples.
        digests: content digests of the samples.
        warnings: what was noticed when the set was built.
        flat: names of those samples that are mostly one colour.
    """

    arrays: Mapping[str, StoredArray]
    positions: Sequence[int]
    names: list[str]
    digests: list[str]
    warnings: list[str]
    flat: list[str]

    @classmethod
    def open(cls, folder: Path) -> "SampleReader":
        """Open one set.

        Raises:
            UserError: if a file is missing or damaged.
        """
        inputs, *rest = read_artifact(folder / INDEX_FILE, _index)
        paths = (folder / ARRAY_FILE.format(index=number) for number in range(len(inputs)))
        arrays = dict(zip(inputs, map(StoredArray.open, paths), strict=True))
        return cls(arrays, range(len(rest[0])), *rest)

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

    def __getitem__(self, index: int) -> Sample:
        """Read one sample: of every input uint8 or float32, before mean and normal."""
        return next(self._read([self.positions[index]]))

    def __iter__(self) -> Iterator[Sample]:
        """Yield samples one by one."""
        return self._read(self.positions)

    def _read(self, positions: Iterable[int]) -> Iterator[Sample]:
        with ExitStack() as stack:
            files = {name: stack.enter_context(array.path.open("rb")) for name, array in self.arrays.items()}
            for position in positions:
                yield {name: array.read(files[name], position) for name, array in self.arrays.items()}


def _index(content: Any) -> list[list[str]]:
    """Inputs, names, digests, warnings and flat samples of a set's index."""
    lists = [[as_text(text) for text in content[key]] for key in ("inputs", "names", "digests", "warnings", "flat")]
    if len(lists[1]) != len(lists[2]):
        raise ValueError("names and digests are not of the same number")
    if not lists[0]:
        raise ValueError("it names no input")
    return lists


def calibration_samples(folder: Path) -> SampleReader:
    """Open the calibration set that calibset wrote into `folder`."""
    return SampleReader.open(folder / CALIBRATION)


def correction_samples(folder: Path) -> SampleReader:
    """Open the samples that corrections are fitted on.

    Args:
        folder: what calibset wrote.

    Returns:
        The set of `data.correction`, if it has a source; else the calibration set without the samples that
        `validation_samples` takes out of it (a single sample serves both).
    """
    if (folder / CORRECTION).is_dir():
        return SampleReader.open(folder / CORRECTION)
    samples = calibration_samples(folder)
    held_out = [] if (folder / VALIDATION).is_dir() else _held_out(len(samples))
    return samples.subset([index for index in range(len(samples)) if index not in held_out]) if held_out else samples


def validation_samples(folder: Path) -> SampleReader:
    """Open the samples that corrections are validated on.

    Args:
        folder: what calibset wrote.

    Returns:
        The set of `data.validation`, if it has a source; else every fifth sample of the calibration set (of fewer than
        five the last).
    """
    if (folder / VALIDATION).is_dir():
        return SampleReader.open(folder / VALIDATION)
    samples = calibration_samples(folder)
    return samples.subset(_held_out(len(samples)) or range(len(samples)))


def stored_sets(folder: Path) -> dict[str, SampleReader]:
    """Open the sets that calibset wrote into a folder, by name, calibration first."""
    names = [name for name in (CORRECTION, VALIDATION) if (folder / name).is_dir()]
    return {name: SampleReader.open(folder / name) for name in (CALIBRATION, *names)}


def _held_out(count: int) -> Sequence[int]:
    """Of `count` calibration samples those for validation: none of a single one, which has to serve everything."""
    return [] if count < 2 else range(min(SAMPLES_PER_VALIDATION, count) - 1, count, SAMPLES_PER_VALIDATION)
