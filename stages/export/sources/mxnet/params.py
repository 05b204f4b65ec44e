"""The arrays in a params file: MXNet's list of NDArrays, in each of its four forms."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError

__all__ = ["read_params"]

LIST_MAGIC = 0x112
V1_MAGIC, V2_MAGIC, V3_MAGIC = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
"""Before the first of them an array began with its number of axes, and sizes had 4 bytes."""
TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
MAX_AXES = 32


def read_params(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Read a params file.

    Args:
        content: the file.
        name: what errors call it.

    Returns:
        Name -> array; `arg:` and `aux:` before the names are left out. Floats are float32.

    Raises:
        UserError: if it is no such file, damaged, or holds sparse arrays.
    """
    reader = _Reader(content)
    try:
        magic, _, count = reader.numbers("QQQ")
        if magic != LIST_MAGIC:
            raise UserError(f"{name} is no params file of MXNet")
        arrays = [_array(reader, name) for _ in range(count)]
        (named,) = reader.numbers("Q")
        names = [reader.take(reader.numbers("Q")[0]).decode() for _ in range(named)]
    except (struct.error, ValueError, KeyError, MemoryError):
        raise UserError(f"{name} is damaged: copy it again") from None
    if len(names) != len(arrays):
        raise UserError(f"{name} holds arrays without names: save it with the symbol, as HybridBlock.export does")
    return {
        label.removeprefix("arg:").removeprefix("aux:"): array.astype(np.float32) if array.dtype.kind == "f" else array
        for label, array in zip(names, arrays, strict=True)
    }


class _Reader:
    """Bytes from the front."""

    def __init__(self, content: bytes) -> None:
        self.content, self.position = content, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.content) - self.position:
            raise ValueError("the file ends too early")
        self.position += count
        return self.content[self.position - count : self.position]

    def numbers(self, kinds: str) -> tuple[int, ...]:
        """The next numbers; little-endian, without padding."""
        return struct.unpack(f"<{kinds}", self.take(struct.calcsize(f"<{kinds}")))


def _array(reader: _Reader, name: str) -> NDArray[Any]:
    (first,) = reader.numbers("I")
    wide = first in (V1_MAGIC, V2_MAGIC, V3_MAGIC)
    if first in (V2_MAGIC, V3_MAGIC) and reader.numbers("i")[0] != 0:
        raise UserError(f"{name} holds sparse arrays, which cannot be read: save them dense, array.tostype('default')")
    axes = reader.numbers("I")[0] if wide else first
    if axes > MAX_AXES:
        raise ValueError("no number of axes")
    shape = reader.numbers(f"{axes}{'q' if wide else 'I'}")
    if axes == 0 and first != V3_MAGIC:
        return np.zeros(0, np.float32)  # an array that was never filled
    _device, _, kind = reader.numbers("iii")
    dtype = np.dtype(TYPES[kind])
    count = int(np.prod(shape, dtype=object))
    return np.frombuffer(reader.take(count * dtype.itemsize), dtype).reshape(shape)
