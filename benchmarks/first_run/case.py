"""A network that is taken through the two commands, and what it is fed with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.strangers.material.photos import photos
from benchmarks.strangers.networks import NETWORKS
from benchmarks.strangers.stranger import Material, Sample, Samples, Stranger

__all__ = ["MOST_PHOTOS", "Case", "of_photos", "of_stranger", "word"]

MOST_PHOTOS = 48
Given = Callable[[Path], str]
"""Writes what a user has on disk into the project's folder, and gives the first word of `init`."""


def word(text: str) -> Given:
    """What needs no file: a pinned source, or a class of an installed package."""
    return lambda folder: text


@dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        name: for the table, and of its files in conf/.
        given: see `Given`.
        samples: makes the samples, given the folder of `--data`: one list for `init` to split, or sets that are split
            already.
        stranger: the same network in `benchmarks.strangers`, which knows its task measure; None of others.
        installed: sources of packages that the user has installed.
    """

    name: str
    given: Given
    samples: Callable[[Path | None], Sequence[Sample] | Samples]
    stranger: Stranger | None = None
    installed: Sequence[str] = ()


def of_stranger(name: str, given: Given | None = None) -> Case:
    """A network of `benchmarks.strangers`, or another file of the same network, with that one's samples."""
    stranger = next(each for each in NETWORKS if each.name == name)

    def samples(data: Path | None) -> Samples:
        return stranger.samples(Material(data, stranger.source))

    return Case(name, given or word(stranger.source), samples, stranger)


def of_photos(name: str, given: Given, installed: Sequence[str] = ()) -> Case:
    """A network that is fed with photos."""
    return Case(name, given, lambda data: photos(data)[:MOST_PHOTOS], installed=installed)
