"""The calls of TPU-MLIR's tools, as build writes them and compile makes them."""

from collections.abc import Sequence
from pathlib import Path

from stages.core.base.checksums import checked_file

__all__ = ["HERE", "with_folder"]

HERE = "{here}"
"""Stands for the folder that build writes, in arguments: the tools run in another."""


def with_folder(call: Sequence[str], folder: Path) -> list[str]:
    """Put the folder into a call.

    Raises:
        UserError: if a file of the folder that it names is missing or damaged: the tool would say it in its own words.
    """
    return [_in_folder(word, folder) for word in call]


def _in_folder(word: str, folder: Path) -> str:
    if not word.startswith(HERE):
        return word
    path = folder.resolve() / word.removeprefix(HERE).lstrip("/")
    return str(path if path.is_dir() else checked_file(path))
