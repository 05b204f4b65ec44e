"""Values of a vendor's config, checked: each refusal is one line that names file and key."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError

__all__ = ["Entries", "Entry", "color", "flag", "numbers_by_input", "shapes_by_input", "text", "texts", "whole"]

COLORS = {"RGB": "RGB", "BGR": "BGR", "BRG": "BGR", "GRAY": "GRAY", "GREY": "GRAY"}  # the guide writes BRG for BGR


@dataclass(frozen=True)
class Entry:
    """A value of a config.

    Attributes:
        value: as the file has it.
        where: file and key as the file spells it, for messages.
    """

    value: Any
    where: str


Entries = dict[str, Entry]


def text(entry: Entry) -> str:
    """A text; empty for null."""
    if entry.value is not None and not isinstance(entry.value, str):
        raise UserError(f"{entry.where}={entry.value}: give a text")
    return (entry.value or "").strip()


def texts(entry: Entry) -> list[str]:
    """A list of names; one name is a list of itself."""
    listed = [entry.value] if isinstance(entry.value, str | int) else entry.value or []
    if not isinstance(listed, list | tuple) or not all(isinstance(v, str | int) for v in listed):
        raise UserError(f"{entry.where}={entry.value}: give a list of names")
    return [str(value) for value in listed if str(value)]


def whole(entry: Entry) -> int:
    """A whole number, which may stand as a text."""
    value = _number(entry.value)
    if value is None or value != int(value):
        raise UserError(f"{entry.where}={entry.value}: give a whole number")
    return int(value)


def flag(entry: Entry) -> bool:
    """True or false, in any of the spellings that occur."""
    found = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}
    spelled = str("" if entry.value is None else entry.value).strip().lower()
    if spelled not in found:
        raise UserError(f"{entry.where}={entry.value}: give true or false")
    return found[spelled]


def color(value: Any, where: str) -> str:
    """A channel order in our spelling."""
    found = COLORS.get(str(value).strip().upper())
    if not found:
        raise UserError(f"{where}={value}: give RGB, BGR or GRAY")
    return found


def shapes_by_input(entry: Entry | None, count: int) -> list[list[int] | None]:
    """Shapes of the inputs: one flat list, or one a input; inputs beyond them repeat the last."""
    if entry is None or not entry.value:
        return [None] * count
    nested = entry.value if isinstance(entry.value[0], list | tuple) else [entry.value]
    if not all(isinstance(shape, list | tuple) and shape for shape in nested):
        raise UserError(f"{entry.where}={entry.value}: give a list of sizes, or one for each input")
    shapes: list[list[int] | None] = [[whole(Entry(size, entry.where)) for size in shape] for shape in nested]
    return shapes + [shapes[-1]] * (count - len(shapes))


def numbers_by_input(entry: Entry | None, channels: Sequence[int | None]) -> list[list[float] | None]:
    """Mean or normal of the inputs, with the vendor's broadcasting over channels and over inputs.

    Args:
        entry: a number, a list of numbers, or a list of them for each input.
        channels: of each input, where known.

    Returns:
        Of each input its values; None where it takes those of the input before it.

    Raises:
        UserError: for anything but finite numbers, or more inputs than there are.
    """
    count = len(channels)
    if entry is None or entry.value in (None, []):
        return [None] * count
    value = entry.value if isinstance(entry.value, list | tuple) else [entry.value]
    if not any(isinstance(item, list | tuple) or item is None for item in value):
        by_input = 1 < count == len(value) != channels[0]  # no values of channels: one of each input
        value = [[item] for item in value] if by_input else [value]
    if len(value) > count:
        raise UserError(f"{entry.where} is for {len(value)} inputs; there are {count}")
    listed = [[item] if isinstance(item, int | float | str) else item for item in value]
    found = [[_finite(number, entry) for number in item] if item else None for item in listed]
    return found + [None] * (count - len(found))


def _finite(value: Any, entry: Entry) -> float:
    number = _number(value)
    if number is None:
        raise UserError(f"{entry.where}={entry.value}: give numbers")
    return number


def _number(value: Any) -> float | None:
    """A finite number, which may stand as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
