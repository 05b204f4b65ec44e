"""The debug pictures as network inputs, and what is known of them and of the calibration set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import track, warn
from stages.core.config.schema import PreprocessConfig
from stages.core.data.inputs import NetworkInput, Sample, feeds, noun_of
from stages.core.data.preprocess import Placement
from stages.core.data.sample_files import SampleFiles, read_samples
from stages.core.data.sample_store import SampleReader, digest

__all__ = ["DEBUG_KEY", "CalibrationSet", "DebugPicture", "DebugPictures", "DebugSet"]

DEBUG_KEY = "data.debug"


@dataclass(frozen=True)
class DebugPicture:
    """One debug picture, or another sample.

    Attributes:
        name: its file's.
        sample: of each input what is read of it, before mean and normal.
        feeds: what the networks take.
        placement: of the picture in the input; None for a sample that is none.
    """

    name: str
    sample: Sample
    feeds: Mapping[str, NDArray[np.float32]]
    placement: Placement | None = None


@dataclass(frozen=True)
class DebugSet:
    """The debug pictures by name.

    Attributes:
        names: without their folders.
        known: of those that served to quantize.
        noun: what messages call one.
    """

    names: Sequence[str]
    known: Sequence[str] = ()
    noun: str = "picture"


@dataclass(frozen=True)
class CalibrationSet:
    """The calibration set in numbers.

    Attributes:
        pictures: how many calibrated.
        available: how many the source has.
        flat: names of those of one flat colour.
        noun: what messages call one.
    """

    pictures: int
    available: int
    flat: Sequence[str] = ()
    noun: str = "picture"


@dataclass
class DebugPictures:
    """Reads the debug pictures one at a time; warns of those that served to quantize.

    Attributes:
        files: theirs.
        inputs: the network's.
        preprocess: how pictures are fitted.
        stored: the sets of samples that served to quantize, by what they served for.
        known: names of the pictures so far that are in one of the sets.
        notes: a line for each of those.
    """

    files: Sequence[SampleFiles]
    inputs: Sequence[NetworkInput]
    preprocess: PreprocessConfig
    stored: dict[str, SampleReader]
    known: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[DebugPicture]:
        noun = noun_of(self.inputs)
        served = {
            content: f"{purpose} {noun} {name}"
            for purpose in reversed(self.stored)
            for content, name in self.stored[purpose].by_digest.items()
        }
        samples = read_samples(self.files, self.inputs, self.preprocess, DEBUG_KEY)
        for read in track(samples, "compare", len(self.files)):
            if same := served.get(digest(read.sample)):
                self.known.append(read.name)
                self.notes.append(f"debug {noun} {read.name} is also {same}: use others")
                warn(self.notes[-1])
            yield DebugPicture(read.name, read.sample, feeds(read.sample, self.inputs), read.placement)

    def some_feeds(self, count: int) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        """What the networks take of the first pictures, once more."""
        for read in read_samples(self.files[:count], self.inputs, self.preprocess, DEBUG_KEY):
            yield feeds(read.sample, self.inputs)

    def summary(self) -> DebugSet:
        """What is known of them once all have been read."""
        return DebugSet([file.name.rpartition("/")[2] for file in self.files], self.known, noun_of(self.inputs))
