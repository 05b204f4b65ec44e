"""Reads the files that a user names, and those that they name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, one_line
from stages.init.lenient import is_config, parse_config
from stages.init.script import converter_call
from stages.init.spellings import from_call, from_config
from stages.init.values import Entries

__all__ = ["Reading", "read"]

REPEATED = ("MEAN", "NORMAL", "COLOR")  # one value serves all channels, or all inputs
SPELLED = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}


@dataclass
class Reading:
    """What stands in a vendor's files.

    Attributes:
        entries: by the flat cfg's keys; of what several files say the first counts.
        folders: where the converter may have run: paths are relative to there. The likeliest first.
        files: that were read.
        notes: what the user should know.
    """

    entries: Entries = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, path: str) -> Path:
        """Where a path of the config is; below the likeliest folder if nowhere."""
        places = [folder / path for folder in self.folders]
        return next((place for place in places if place.exists()), places[0])


def read(paths: Sequence[Path]) -> Reading:
    """Read config files and scripts that call the converter, in this order; the files that a script names follow it.

    Raises:
        UserError: for a file that cannot be read, or is neither.
    """
    reading = Reading()
    for path in paths:
        _read(path, reading)
    return reading


def _read(path: Path, reading: Reading) -> None:
    if path.resolve() in [file.resolve() for file in reading.files]:
        return
    try:
        content = path.read_text(encoding="utf-8-sig")
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the script or the config in it") from None
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a config: {one_line(error)}") from error
    reading.files.append(path)
    if is_config(content):
        # the samples keep it beside the script, or in a folder cfg/ below it
        _add_folders(reading, path.parent, path.parent.parent)
        _merge(reading, from_config(parse_config(content, path.name), path.name, reading.notes))
        return
    options, notes = converter_call(content, path.name)
    reading.notes += notes
    _add_folders(reading, path.parent)
    entries, files = from_call(options, path.name, reading.notes)
    _merge(reading, entries)
    for name in files:
        named = reading.find(name)
        if named.is_file():
            _read(named, reading)
        else:
            reading.notes.append(f"{path.name} names {name}, which is not there: give it too")


def _add_folders(reading: Reading, *folders: Path) -> None:
    reading.folders += [folder for folder in folders if folder not in reading.folders]


def _merge(reading: Reading, entries: Entries) -> None:
    for key, entry in entries.items():
        before = reading.entries.setdefault(key, entry)
        if _plain(before.value, key in REPEATED) != _plain(entry.value, key in REPEATED):
            reading.notes.append(f"{entry.where}={entry.value} is left out: {before.where} says {before.value}")


def _plain(value: Any, repeated: bool) -> Any:
    """A value in the one spelling that equal values share: numbers, texts, and lists of several of them.

    Args:
        value: of a config.
        repeated: whether a list of the same value is that value.
    """
    if isinstance(value, list | tuple):
        items = [_plain(item, repeated) for item in value]
        alike = len(items) == 1 or (repeated and items and all(item == items[0] for item in items))
        return items[0] if alike else items
    if isinstance(value, dict):
        return {key: _plain(item, repeated) for key, item in value.items()}
    said = str("" if value is None else value).strip()
    if "," in said:
        return _plain(said.split(","), repeated)
    if said.lower() in SPELLED:
        return SPELLED[said.lower()]
    try:
        return float(said)
    except ValueError:
        return os.path.normpath(said) if "/" in said else said
