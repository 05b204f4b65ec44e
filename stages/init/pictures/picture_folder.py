"""A user's folder of samples as sources of the config: one to split, or sets that are split already."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stages.core.base.errors import UserError
from stages.core.base.sources import files_below
from stages.core.data.preprocess import PICTURE_SUFFIXES
from stages.core.data.sample_files import SAMPLE_SUFFIXES

__all__ = ["PictureFolder", "open_pictures"]

PICTURES, LABELS = "images", "labels"
"""Ultralytics' folders beside each other: of pictures, and of labels with the same names below it."""
FOR_CALIBRATION = ("calibration", "calib", "train")
FOR_EVALUATION = ("evaluation", "val", "valid", "validation", "test")
"""Folders that split the samples already, the best first."""


@dataclass(frozen=True)
class PictureFolder:
    """Where samples lie.

    Attributes:
        root: what the user gave.
        folder: that holds the samples: the root, or its `images`.
        sets: `calibration` and `evaluation` -> their folder, where the samples are split already; else empty.
        suffixes: of the samples' files.
    """

    root: Path
    folder: Path
    sets: Mapping[str, Path] = field(default_factory=dict)
    suffixes: frozenset[str] = frozenset()

    @property
    def holds_pictures(self) -> bool:
        """Whether files are pictures; otherwise they are arrays."""
        return bool(self.suffixes & PICTURE_SUFFIXES)

    @property
    def evaluated(self) -> Path:
        """The folder of the evaluation samples."""
        return self.sets.get("evaluation", self.folder)


def open_pictures(root: Path) -> PictureFolder:
    """Look at a folder of samples.

    Args:
        root: the folder; `images` in it is taken where there is one, and folders such as `train` and `val` as sets.

    Raises:
        UserError: if it is no folder, or holds no samples.
    """
    if not root.is_dir():
        raise UserError(f"{root}: {'is a file' if root.exists() else 'does not exist'}; give a folder of pictures")
    folder = root / PICTURES if (root / PICTURES).is_dir() else root
    suffixes = frozenset(_suffixes(files_below(folder)))
    if not suffixes:
        known = ", ".join(sorted(SAMPLE_SUFFIXES))
        raise UserError(f"{folder} holds no pictures and no arrays ({known}): give the folder that does")
    return PictureFolder(root, folder, _sets(folder, root), suffixes)


def _sets(folder: Path, root: Path) -> dict[str, Path]:
    """Sets that are split already: two folders with samples and known names, here or one level higher."""
    sets = {}
    for name, known in (("calibration", FOR_CALIBRATION), ("evaluation", FOR_EVALUATION)):
        found = _first_with_samples(folder, root, known)
        if found is not None:
            sets[name] = found
    return sets if len(sets) == len(("calibration", "evaluation")) else {}


def _first_with_samples(folder: Path, root: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        for path in (folder / name, root / name / PICTURES, root / name):
            if path.is_dir() and _suffixes(files_below(path)):
                return path
    return None


def _suffixes(files: Iterable[Path]) -> set[str]:
    return {suffix for file in files if (suffix := PurePosixPath(file).suffix.lower()) in SAMPLE_SUFFIXES}
