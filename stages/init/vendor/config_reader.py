"""Reads the files that a user names, and those that they name."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.core.base.errors import UserError, one_line
from stages.core.base.texts import read_text
from stages.init.vendor.config_values import Settings
from stages.init.vendor.converter_script import converter_call
from stages.init.vendor.lenient_parser import is_config, parse_config
from stages.init.vendor.rknn import from_rknn, is_rknn
from stages.init.vendor.spellings import from_call, from_config

__all__ = ["VendorConfig", "read_vendor_config"]

BROADCAST_KEYS = ("MEAN", "NORMAL", "COLOR")  # one value serves all channels, or all inputs
NUMBER_OF_WORD = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}


@dataclass
class VendorConfig:
    """What a vendor's config files say.

    Attributes:
        settings: by the flat cfg's keys; where several files say one, the first counts.
        folders: where the converter may have run: paths are relative to there. The likeliest first.
        files: that were read.
        notes: what the user should know.
    """

    settings: Settings = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, path: str) -> Path:
        """Where a path of the config is; below the likeliest folder if nowhere."""
        paths = [folder / path for folder in self.folders]
        return next((candidate for candidate in paths if candidate.exists()), paths[0])


def read_vendor_config(paths: Sequence[Path]) -> VendorConfig:
    """Read config files and scripts that call the converter, in this order; the files that a script names follow it.

    Raises:
        UserError: for a file that cannot be read, or is neither.
    """
    config = VendorConfig()
    for path in paths:
        _read(path, config)
    return config


def _read(path: Path, config: VendorConfig) -> None:
    if os.path.realpath(path) in map(os.path.realpath, config.files):  # of links in a circle too
        return
    try:
        content = read_text(path, encoding="utf-8-sig")
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the script or the config in it") from None
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a config: {one_line(error)}") from error
    config.files.append(path)
    if is_rknn(content):
        _add_folders(config, path.parent)
        _merge(config, from_rknn(content, path, config.notes))
        return
    if is_config(content):
        # the samples keep it beside the script, or in a folder cfg/ below it
        _add_folders(config, path.parent, path.parent.parent)
        _merge(config, from_config(parse_config(content, path.name), path.name, config.notes))
        return
    options, notes = converter_call(content, path.name)
    config.notes += notes
    _add_folders(config, path.parent)
    settings, files = from_call(options, path.name, config.notes)
    _merge(config, settings)
    for name in files:
        named = config.find(name)
        if named.is_file():
            _read(named, config)
        else:
            config.notes.append(f"{path.name} names {name}, which is not there: give it too")


def _add_folders(config: VendorConfig, *folders: Path) -> None:
    config.folders += [folder for folder in folders if folder not in config.folders]


def _merge(config: VendorConfig, settings: Settings) -> None:
    for key, setting in settings.items():
        before = config.settings.setdefault(key, setting)
        if _plain(before.value, key in BROADCAST_KEYS) != _plain(setting.value, key in BROADCAST_KEYS):
            config.notes.append(f"{setting.where}={setting.value} is left out: {before.where} says {before.value}")


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
    if said.lower() in NUMBER_OF_WORD:
        return NUMBER_OF_WORD[said.lower()]
    try:
        return float(said)
    except ValueError:
        return os.path.normpath(said) if "/" in said else said
