"""What a dump may do to a tensor between its values and its bytes: small steps, each with its undoing and its cure.

A tensor becomes bytes in four turns: its values may be written another way (`ENCODINGS`), channels padded (`PADDINGS`),
axes put in an order (`ORDERS`), numbers stored (`storages`). Each turn is one step; the first of its tuple is the usual
one, which has no name. A reading (stages.check.readings) composes one of each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ENCODINGS",
    "ORDERS",
    "PADDINGS",
    "Array",
    "Encoding",
    "Order",
    "Padding",
    "Shape",
    "Step",
    "Storage",
    "elements",
    "storages",
]

Array = NDArray[Any]
Shape = tuple[int, int, int, int]
GROUP_CHANNELS = 32  # of a group on the device


@dataclass(frozen=True)
class Storage:
    """How numbers lie in bytes.

    Attributes:
        name: empty for the usual way.
        says: what the file does, as the rest of "the board's file ...".
        cure: what to do.
        size: bytes of a tensor whose last axis has so many numbers: (rows, numbers a row) -> bytes.
        read: bytes of that size -> the numbers, [rows, numbers a row].
        keeps: what is kept of a value; None: all of it.
    """

    name: str
    says: str
    cure: str
    size: Callable[[int, int], int]
    read: Callable[[bytes, int, int], Array]
    keeps: Callable[[Array], Array] | None = None


@dataclass(frozen=True)
class Order:
    """In which order the axes lie.

    Attributes:
        name, says, cure: as for `Storage`.
        stored: NHWC shape -> shape in the file; None where this order is another's, or impossible.
        restore: the file's array, number of channels -> [N, H, W, C].
    """

    name: str
    says: str
    cure: str
    stored: Callable[[Shape], tuple[int, ...] | None]
    restore: Callable[[Array, int], Array]


@dataclass(frozen=True)
class Padding:
    """To a multiple of how many channels a tensor is padded.

    Attributes:
        name, says, cure: as for `Storage`.
        multiple: channels.
    """

    name: str
    says: str
    cure: str
    multiple: int = 1

    def channels(self, channels: int) -> int | None:
        """Channels in the file; None where nothing is padded though this step pads."""
        padded = -(-channels // self.multiple) * self.multiple
        return None if padded == channels and self.multiple > 1 else padded


@dataclass(frozen=True)
class Encoding:
    """How values are written.

    Attributes:
        name, says, cure: as for `Storage`.
        undo: [N, H, W, C], bits (None: float) -> the values; None where this does not apply.
        harmless: whether the network computes the same all the same.
    """

    name: str
    says: str
    cure: str
    undo: Callable[[Array, int | None], Array | None]
    harmless: bool = True


Step = Storage | Padding | Order | Encoding


def _numbers(kind: str) -> tuple[Callable[[int, int], int], Callable[[bytes, int, int], Array]]:
    dtype = np.dtype(kind)

    def read(content: bytes, rows: int, row: int) -> Array:
        return np.frombuffer(content, dtype).reshape(rows, row).astype(dtype.newbyteorder("="), copy=False)

    return lambda rows, row: rows * row * dtype.itemsize, read


def _nibbles(low_first: bool) -> tuple[Callable[[int, int], int], Callable[[bytes, int, int], Array]]:
    def read(content: bytes, rows: int, row: int) -> Array:
        pairs = np.frombuffer(content, np.uint8).reshape(rows, (row + 1) // 2)
        halves = (pairs & 15, pairs >> 4) if low_first else (pairs >> 4, pairs & 15)
        return np.stack(halves, axis=-1).reshape(rows, -1)[:, :row]

    return lambda rows, row: rows * ((row + 1) // 2), read


_BYTE_ORDER = "build the board program little-endian (-EL), or swap the bytes of each number before comparing"
_NIBBLES = Storage("", "", "", *_nibbles(True))
_SWAPPED = Storage(
    "nibbles exchanged",
    "has the even channel in the upper half of a byte",
    "pack channel 2i in the lower four bits and 2i+1 in the upper four",
    *_nibbles(False),
)
_BYTE = Storage("", "", "", *_numbers("u1"))
_BYTES = Storage(
    "a byte a code", "has a byte for each 4-bit code", "pack two codes a byte, the even channel below", *_numbers("u1")
)
_WORD = Storage("", "", "", *_numbers("<u2"))
_WORDS = Storage("uint16", "has two bytes a code (uint16)", "write codes of up to 8 bits as uint8", *_numbers("<u2"))
_BIG_WORDS = Storage("big-endian uint16", "has two bytes a code, the high one first", _BYTE_ORDER, *_numbers(">u2"))
_LOW = Storage(
    "low bytes only",
    "has the low byte of each code alone",
    "write codes of more than 8 bits as uint16",
    *_numbers("u1"),
    lambda codes: codes & 255,
)
_REAL = Storage("", "", "", *_numbers("<f4"))
_REALS = Storage(
    "float32", "holds float32, as training kits dump", "compare codes: dump the quantized layers", *_numbers("<f4")
)
_BIG_REALS = Storage("big-endian float32", "has the high byte of each float first", _BYTE_ORDER, *_numbers(">f4"))


def storages(bits: int | None) -> tuple[Storage, ...]:
    """The ways to store numbers of so many bits, None for float32; the usual one first."""
    if bits is None:
        return _REAL, _BIG_REALS
    if bits <= 4:
        return _NIBBLES, _SWAPPED, _BYTES, _WORDS, _BIG_WORDS, _REALS, _BIG_REALS
    if bits <= 8:
        return _BYTE, _WORDS, _BIG_WORDS, _REALS, _BIG_REALS
    return _WORD, _BIG_WORDS, _LOW, _REALS, _BIG_REALS


def _planes(shape: Shape) -> tuple[int, ...] | None:
    n, h, w, c = shape
    return None if c == 1 or h * w == 1 else (n, c, h, w)


def _columns(shape: Shape) -> tuple[int, ...] | None:
    n, h, w, c = shape
    return None if h == 1 or w == 1 else (n, w, h, c)


def _groups(shape: Shape) -> tuple[int, ...] | None:
    n, h, w, c = shape
    return None if c <= GROUP_CHANNELS or h * w == 1 else (n, -(-c // GROUP_CHANNELS), h, w, GROUP_CHANNELS)


def _ungrouped(array: Array, channels: int) -> Array:
    n, groups, h, w, size = array.shape
    return np.moveaxis(array, 1, 3).reshape(n, h, w, groups * size)[..., :channels]


ORDERS = (
    Order("", "", "", lambda shape: shape, lambda array, channels: array[..., :channels]),
    Order(
        "NCHW",
        "lies as NCHW instead of NHWC",
        "transpose (0, 2, 3, 1) before comparing; on the board net_create's TensorFormat chooses NHWC",
        _planes,
        lambda array, channels: array.transpose(0, 2, 3, 1)[..., :channels],
    ),
    Order(
        "NDHWC32",
        "lies as on the device, NDHWC32: groups of 32 channels",
        "take the groups apart before comparing: (N, C/32, H, W, 32) to (N, H, W, C), channels past C left out",
        _groups,
        _ungrouped,
    ),
    Order(
        "NWHC",
        "has height and width exchanged",
        "give the board the input's width and height in the order that it asks for",
        _columns,
        lambda array, channels: array.transpose(0, 2, 1, 3)[..., :channels],
    ),
)

PADDINGS = (
    Padding("", "", ""),
    Padding("channels padded to 4", "has channels padded to a multiple of 4", "leave the padded channels out", 4),
    Padding(
        "channels padded to 32",
        "has channels padded to a multiple of 32, as on the device",
        "leave the padded channels out",
        32,
    ),
)


def _signed(values: Array, bits: int | None) -> Array | None:
    if bits is None or 8 * values.itemsize < bits:  # codes of more bits than are stored are none
        return None
    return (values + (1 << bits - 1)) & ((1 << bits) - 1)


def _reversed(values: Array, _: int | None) -> Array | None:
    picture = min(values.shape[1:3]) > 1 and values.shape[-1] == 3  # three numbers in a row are no colours
    return values[..., ::-1] if picture else None


ENCODINGS = (
    Encoding("", "", "", lambda values, _: values),
    Encoding("signed codes", "has signed codes", "add half the range, 2^(bits-1), before comparing", _signed),
    Encoding(
        "red and blue exchanged",
        "has red and blue exchanged (RGB against BGR)",
        "feed the board the colour order that the network takes: model.inputs' color, COLOR in the converter's cfg",
        _reversed,
        harmless=False,
    ),
)


def elements(shape: tuple[int, ...]) -> tuple[int, int]:
    """A stored shape as (rows, numbers a row)."""
    return prod(shape[:-1]), shape[-1]
