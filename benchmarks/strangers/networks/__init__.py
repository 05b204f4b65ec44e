"""The networks that the benchmark knows."""

from dataclasses import replace
from pathlib import Path

from benchmarks.strangers.networks import (
    detectors,
    enhancement,
    files,
    given,
    pictures,
    restoration,
    sounds,
    texts,
    voice,
)
from benchmarks.strangers.stranger import Stranger
from stages.core.base.errors import UserError

__all__ = ["NETWORKS", "in_folder"]

NETWORKS: list[Stranger] = [
    *detectors.NETWORKS,
    *texts.NETWORKS,
    *pictures.NETWORKS,
    *restoration.NETWORKS,
    *files.NETWORKS,
    *enhancement.NETWORKS,
    *voice.NETWORKS,
    *sounds.NETWORKS,
]


def in_folder(folder: Path) -> list[Stranger]:
    """The networks of `given` whose files lie in a folder.

    Raises:
        UserError: if there is none.
    """
    found = [
        replace(network, source=f"file:{folder / network.source}")
        for network in given.NETWORKS
        if (folder / network.source).is_file()
    ]
    if not found:
        names = ", ".join(network.source for network in given.NETWORKS)
        raise UserError(f"--dir {folder} has none of the files that are known: {names}")
    return found
