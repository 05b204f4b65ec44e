"""Compositions of steps, and the search for the simplest that makes a board's bytes the PC's."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from stages.check.checked_layer import TensorForm
from stages.check.steps import (
    ENCODINGS,
    ORDERS,
    PADDINGS,
    Array,
    Encoding,
    Order,
    Padding,
    Shape,
    Step,
    Storage,
    elements,
    storages,
)

__all__ = ["Match", "Reading", "best_match", "same_values"]

MAX_STEPS = 3
SAMPLED_VALUES = 20_000  # that rank readings, the same ones every time
NEAR_SHARE = 1e-3  # of a float
LEFT_SHARE = 0.5  # another reading has to halve what the plain one leaves
LEAST_GAINED_VALUES = 8  # that have to agree by it
NO_CHANCE_BITS = 32  # of different values
NO_CHANCE_VALUES = 16  # of several codes
MAX_GRID_DISTANCE = 0.02  # of a scale: how far from its grid a dequantized value may be


@dataclass(frozen=True)
class Reading:
    """One step of each turn."""

    storage: Storage
    padding: Padding
    order: Order
    encoding: Encoding

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are not the usual ones."""
        return tuple(step for step in (self.order, self.padding, self.storage, self.encoding) if step.name)

    def size(self, shape: Shape) -> int | None:
        """Bytes of a file of this reading; None where it makes no sense."""
        stored = self._stored(shape)
        return None if stored is None else self.storage.size(*elements(stored))

    def values(self, content: bytes, form: TensorForm) -> Array | None:
        """Undo the steps: the values, [N, H, W, C]; None if the file is no such one."""
        stored = self._stored(form.shape)
        if stored is None or self.storage.size(*elements(stored)) != len(content):
            return None
        array: Array | None = self.storage.read(content, *elements(stored)).reshape(stored)
        if form.bits is not None and array is not None and array.dtype.kind == "f":
            array = _codes(array, form)
        if array is None:
            return None
        return self.encoding.undo(self.order.restore(array, form.shape[-1]), form.bits)

    def _stored(self, shape: Shape) -> tuple[int, ...] | None:
        channels = self.padding.channels(shape[-1])
        return None if channels is None else self.order.stored((*shape[:3], channels))


@dataclass(frozen=True)
class Match:
    """How two files are best read.

    Attributes:
        pc, board: readings; the PC's is mostly the usual one.
        expected, actual: values [N, H, W, C] of the PC and the board; integers, or float32.
        equal: whether all of them are the same.
    """

    pc: Reading
    board: Reading
    expected: Array
    actual: Array
    equal: bool

    @property
    def plain(self) -> bool:
        """Whether both are read the usual way."""
        return not (self.pc.steps or self.board.steps)

    @property
    def harmless(self) -> bool:
        """Whether the steps change how values are written, and not what they are."""
        return self.board.encoding.harmless and not self.board.storage.keeps


def best_match(pc: bytes, board: bytes, form: TensorForm) -> Match | None:
    """Find how to read two files.

    Args:
        pc: the PC's file.
        board: the board's.
        form: what the PC's holds.

    Returns:
        The reading of fewest steps under which both hold the same values, and not by chance; else the usual one, unless
        another leaves half as many values different. None where no reading fits the files' sizes.
    """
    candidates: list[tuple[float, Match]] = []
    for one, other in _pairs(form.bits):
        if one.size(form.shape) != len(pc) or other.size(form.shape) != len(board):
            continue
        expected, actual = one.values(pc, form), other.values(board, form)
        if expected is None or actual is None:
            continue
        keeps = other.storage.keeps
        kept = expected if keeps is None else keeps(expected)
        plain = candidates and candidates[0][1].plain  # the usual reading fits, but its values differ
        if same_values(kept, actual):
            if plain and _by_chance(kept, form.bits):
                continue
            return Match(one, other, kept, actual, True)
        candidates.append((_near(kept, actual), Match(one, other, kept, actual, False)))
    if not candidates:
        return None
    first = candidates[0]
    near, best = max(candidates, key=lambda candidate: candidate[0])  # of equals the first: the simplest
    gained = (near - first[0]) * min(form.count, SAMPLED_VALUES)
    clearly = 1 - near < LEFT_SHARE * (1 - first[0]) and gained >= LEAST_GAINED_VALUES
    return best if clearly else first[1]


def same_values(one: Array, other: Array) -> bool:
    """Whether two tensors are equal to the bit; a first row that differs settles it."""
    if one.dtype.kind == "f":
        one, other = (np.ascontiguousarray(each, np.float32).view(np.uint32) for each in (one, other))
    return np.array_equal(one[:, :1], other[:, :1]) and np.array_equal(one, other)


@cache
def _pairs(bits: int | None) -> tuple[tuple[Reading, Reading], ...]:
    """Readings of both files, the simplest first: the PC's is another than the usual one where that alone may help."""
    readings = sorted(_readings(bits), key=lambda reading: len(reading.steps))
    usual = readings[0]
    of_pc = [one for one in readings if one.padding is PADDINGS[0] and one.encoding is ENCODINGS[0]]
    pairs = [(usual, other) for other in readings] + [(one, other) for one in of_pc[1:] for other in readings]
    few = [
        (one, other)
        for one, other in pairs
        if len(one.steps) + len(other.steps) <= MAX_STEPS and not (one.order.name and one.order is other.order)
    ]
    return tuple(sorted(few, key=lambda pair: sum(len(one.steps) for one in pair)))


def _readings(bits: int | None) -> Iterator[Reading]:
    for steps in product(storages(bits), PADDINGS, ORDERS, ENCODINGS):
        yield Reading(*steps)


def _codes(values: Array, form: TensorForm) -> Array | None:
    """Floats as codes: they may be codes already, or what codes stand for; None for anything else."""
    qmax = (1 << (form.bits or 0)) - 1
    if not np.isfinite(values).all():
        return None
    whole = np.rint(values)
    if np.array_equal(whole, values) and whole.min() >= 0 and whole.max() <= qmax:
        return whole.astype(np.int32)
    if form.qparams is None or form.qparams.channel_scales:
        return None
    scaled = values.astype(np.float64) / form.qparams.scale
    whole = np.rint(scaled)
    codes = whole + form.qparams.zero_point
    if np.abs(scaled - whole).max() > MAX_GRID_DISTANCE or codes.min() < 0 or codes.max() > qmax:
        return None
    return codes.astype(np.int32)


def _by_chance(values: Array, bits: int | None) -> bool:
    """Whether another tensor may well be equal to this one once it is read some other way: few codes, or one code."""
    different = np.unique(values).size
    return different * (bits or 32) < NO_CHANCE_BITS and (different == 1 or values.size < NO_CHANCE_VALUES)


def _near(expected: Array, actual: Array) -> float:
    """The share of a sample of values that are the same or next to it.

    A float is measured by itself: bytes read as floats that they are not have a span in which all others are near.
    """
    sampled: Any = np.unravel_index(_sample(expected.size), expected.shape)
    with np.errstate(invalid="ignore"):  # such bytes may be infinite, or no number
        one, other = (np.asarray(each[sampled], np.float64) for each in (expected, actual))
        limit = 1.0 if expected.dtype.kind != "f" else NEAR_SHARE * np.minimum(np.abs(one), np.abs(other))
        return float(np.mean(np.abs(one - other) <= limit))


@cache
def _sample(size: int) -> Array:
    few = size <= SAMPLED_VALUES
    return np.arange(size) if few else np.random.default_rng(0).integers(0, size, SAMPLED_VALUES)
