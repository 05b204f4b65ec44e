"""The bytes of a model file: header, records, names, constants, weights; docs/board.md describes them."""

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.build.runtime.contract import FORMAT_VERSION, Kind
from stages.build.runtime.memory import Plan
from stages.build.runtime.program import Program, Tensor

__all__ = ["model_bytes", "pack_weights"]

MAGIC = b"SOCQUANT"
NUMPY_TYPES = {
    Kind.u8: "<u1",
    Kind.u16: "<u2",
    Kind.f32: "<f4",
    Kind.i32: "<i4",
    Kind.i64: "<i8",
    Kind.boolean: "|b1",
    Kind.f64: "<f8",
    Kind.i8: "|i1",
    Kind.byte: "|u1",
}
CONSTANT_ALIGNMENT = 8
"""Bytes: of the widest number."""
WORD_VALUES = 2**32
"""How many values a word has."""
WEIGHTS_PER_CHUNK = 2**18
"""Weights that are packed at once: a whole number of bytes at any bit width."""


def model_bytes(program: Program, plan: Plan) -> bytes:
    """Write a program, its computed tensors at the offsets of `plan`."""
    names, constants, weights = _Section(), _Section(CONSTANT_ALIGNMENT), _Section()
    words: list[int] = []
    for index, tensor in enumerate(program.tensors):
        offset = plan.offsets.get(index, 0)
        if tensor.values is not None:
            packed = tensor.kind is Kind.weights
            offset = (weights if packed else constants).add(_content(tensor))
        fixed = [tensor.kind, tensor.bits, tensor.zero_point, int(tensor.values is not None), offset]
        words += [*fixed, *names.text(tensor.name), len(tensor.shape), *tensor.shape]
    for operation in program.operations:
        words += [operation.opcode, *names.text(operation.layer), len(operation.inputs), *operation.inputs]
        words += [operation.output, len(operation.attributes), *operation.attributes]
    for name, elements, channels in program.inputs:
        words += [*names.text(name), elements, channels]
    for name, number in program.outputs:
        words += [*names.text(name), number]
    parts = [_words(words), names.content, constants.content, weights.content]
    counts = [len(program.tensors), len(program.operations), len(program.inputs), len(program.outputs)]
    sizes = [len(words), *(len(part) for part in parts[1:])]
    body = b"".join(parts)
    length = len(MAGIC) + 4 * (4 + len(counts) + len(sizes)) + len(body)
    checked = _words([length, *counts, *sizes, plan.size]) + body
    assert len(checked) + len(MAGIC) + 8 == length
    return MAGIC + _words([FORMAT_VERSION, zlib.crc32(checked)]) + checked


def pack_weights(values: NDArray[np.generic], bits: int) -> bytes:
    """Pack signed integers, `bits` each, two's complement, the first in the lowest bits, without gaps."""
    flat = values.reshape(-1)
    if bits in (8, 16):
        return flat.astype(f"<i{bits // 8}").tobytes()
    return b"".join(
        _bits(flat[start : start + WEIGHTS_PER_CHUNK], bits) for start in range(0, len(flat), WEIGHTS_PER_CHUNK)
    )


def _bits(values: NDArray[np.generic], bits: int) -> bytes:
    digits = (values.astype(np.int32)[:, None] >> np.arange(bits)) & 1
    return np.packbits(digits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


class _Section:
    """A part of the file that records point into; equal contents are stored once.

    Args:
        alignment: contents begin at multiples of it.
    """

    def __init__(self, alignment: int = 4) -> None:
        self._alignment = alignment
        self._parts: list[bytes] = []
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    @property
    def content(self) -> bytes:
        return b"".join(self._parts)

    def add(self, part: bytes) -> int:
        """Append bytes; gives their offset."""
        if part not in self._offsets:
            padded = part + bytes(-len(part) % self._alignment)
            self._offsets[part] = self._size
            self._parts.append(padded)
            self._size += len(padded)
        return self._offsets[part]

    def text(self, text: str) -> tuple[int, int]:
        encoded = text.encode()
        return self.add(encoded), len(encoded)


def _content(tensor: Tensor) -> bytes:
    assert tensor.values is not None
    if tensor.kind is Kind.weights:
        return pack_weights(tensor.values, tensor.bits)
    return tensor.values.astype(NUMPY_TYPES[tensor.kind]).tobytes()


def _words(values: Iterable[int] | Sequence[int]) -> bytes:
    return np.array([int(value) % WORD_VALUES for value in values], dtype="<u4").tobytes()
