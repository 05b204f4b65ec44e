"""The calibration set on disk: one array a network input, and an index.

Samples are read one at a time from the file, not mapped: mapped pages would count as memory, and memory must not grow
with the number of pictures.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.artifacts import missing, read_json, write_json

__all__ = ["SampleReader", "SampleWriter", "digest"]

INDEX = "index.json"
ARRAY = "{index}.npy"


def digest(sample: NDArray[Any]) -> str:
    """Identify a sample by its content (16 hexadecimal digits)."""
    return hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest()[:16]


class SampleWriter:
    """Writes samples of one input as they come; memory does not grow with their number."""

    def __init__(self, folder: Path, input_name: str, count: int, shape: Sequence[int]) -> None:
        self._folder = folder
        self._index: dict[str, Any] = {"input": input_name, "names": [], "digests": [], "warnings": []}
        self._file = (folder / ARRAY.format(index=0)).open("wb")
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def add(self, name: str, sample: NDArray[np.uint8]) -> None:
        """Append one sample, uint8 [H, W, C]."""
        self._file.write(np.ascontiguousarray(sample).tobytes())
        self._index["names"].append(name)
        self._index["digests"].append(digest(sample))

    def close(self, warnings: Sequence[str]) -> None:
        """Finish the array and write the index."""
        self._file.close()
        self._index["warnings"] = list(warnings)
        write_json(self._folder / INDEX, self._index)


@dataclass(frozen=True)
class SampleReader:
    """Reads a calibration set.

    Attributes:
        names: file names of the samples.
        digests: content digests of the samples.
        warnings: what was noticed when the set was built.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    names: list[str]
    digests: list[str]
    warnings: list[str]

    @classmethod
    def open(cls, folder: Path) -> "SampleReader":
        """Open the artifact that calibset writes."""
        index = read_json(folder / INDEX)
        path = folder / ARRAY.format(index=0)
        if not path.is_file():
            raise missing(path)
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        return cls(path, offset, shape[1:], index["names"], index["digests"], index["warnings"])

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield samples one by one: uint8 [H, W, C]."""
        size = int(np.prod(self.shape))
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for _ in self.names:
                yield np.frombuffer(file.read(size), dtype=np.uint8).reshape(self.shape)
