"""Values of a vendor's config, checked: each refusal is one line that names file and key."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.base.errors import UserError

__all__ = ["Setting", "Settings", "color", "flag", "numbers_by_input", "shapes_by_input", "text", "texts", "whole"]

COLOR_SPELLINGS = {
    "RGB": "RGB",
    "BGR": "BGR",
    "BRG": "BGR",
    "GRAY": "GRAY",
    "GREY": "GRAY",
}  # the guide writes BRG for BGR


@dataclass(frozen=True)
class Setting:
    """A value of a vendor's config.

    Attributes:
        value: as the file has it.
        where: file and key as the file spells it, for messages.
    """

    value: Any
    where: str


Settings = dict[str, Setting]
"""Key of the flat cfg -> its value."""


def text(setting: Setting) -> str:
    """A text; empty for null."""
    if setting.value is not None and not isinstance(setting.value, str):
        raise UserError(f"{setting.where}={setting.value}: give a text")
    return (setting.value or "").strip()


def texts(setting: Setting) -> list[str]:
    """A list of names; one name is a list of itself."""
    listed = [setting.value] if isinstance(setting.value, str | int) else setting.value or []
    if not isinstance(listed, list | tuple) or not all(isinstance(v, str | int) for v in listed):
        raise UserError(f"{setting.where}={setting.value}: give a list of names")
    return [str(value) for value in listed if str(value)]


def whole(setting: Setting) -> int:
    """A whole number, which may stand as a text."""
    value = _number(setting.value)
    if value is None or value != int(value):
        raise UserError(f"{setting.where}={setting.value}: give a whole number")
    return int(value)


def flag(setting: Setting) -> bool:
    """True or false, in any of the spellings that occur."""
    spellings = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}
    spelled = str("" if setting.value is None else setting.value).strip().lower()
    if spelled not in spellings:
        raise UserError(f"{setting.where}={setting.value}: give true or false")
    return spellings[spelled]


def color(value: Any, where: str) -> str:
    """A channel order in our spelling."""
    order = COLOR_SPELLINGS.get(str(value).strip().upper())
    if not order:
        raise UserError(f"{where}={value}: give RGB, BGR or GRAY")
    return order


def shapes_by_input(setting: Setting | None, count: int) -> list[list[int] | None]:
    """Shapes of the inputs: one flat list, or one a input; inputs beyond them repeat the last."""
    if setting is None or not setting.value:
        return [None] * count
    nested = setting.value if isinstance(setting.value[0], list | tuple) else [setting.value]
    if not all(isinstance(shape, list | tuple) and shape for shape in nested):
        raise UserError(f"{setting.where}={setting.value}: give a list of sizes, or one for each input")
    shapes: list[list[int] | None] = [[whole(Setting(size, setting.where)) for size in shape] for shape in nested]
    return shapes + [shapes[-1]] * (count - len(shapes))


def numbers_by_input(setting: Setting | None, channels: Sequence[int | None]) -> list[list[float] | None]:
    """Mean or normal of the inputs, with the vendor's broadcasting over channels and over inputs.

    Args:
        setting: a number, a list of numbers, or a list of them for each input.
        channels: of each input, where known.

    Returns:
        Of each input its values; None where the input before it says them.

    Raises:
        UserError: for anything but finite numbers, or more inputs than there are.
    """
    count = len(channels)
    if setting is None or setting.value in (None, []):
        return [None] * count
    value = setting.value if isinstance(setting.value, list | tuple) else [setting.value]
    if not any(isinstance(item, list | tuple) or item is None for item in value):
        by_input = 1 < count == len(value) != channels[0]  # no values of channels: one of each input
        value = [[item] for item in value] if by_input else [value]
    if len(value) > count:
        raise UserError(f"{setting.where} is for {len(value)} inputs; there are {count}")
    listed = [[item] if isinstance(item, int | float | str) else item for item in value]
    numbers = [[_finite(number, setting) for number in item] if item else None for item in listed]
    return numbers + [None] * (count - len(numbers))


def _finite(value: Any, setting: Setting) -> float:
    number = _number(value)
    if number is None:
        raise UserError(f"{setting.where}={setting.value}: give numbers")
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
