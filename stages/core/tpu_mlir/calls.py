"""The calls of TPU-MLIR's tools, as build writes them and compile makes them."""

from collections.abc import Sequence
from pathlib import Path

__all__ = ["HERE", "with_folder"]

HERE = "{here}"
"""Stands for the folder that build writes, in arguments: the tools run in another."""


def with_folder(call: Sequence[str], folder: Path) -> list[str]:
    """Put the folder into a call."""
    return [word.replace(HERE, str(folder.resolve()), 1) for word in call]
