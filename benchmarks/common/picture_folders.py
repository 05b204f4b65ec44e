"""Folders of pictures, for a benchmark's temporary project."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.core.base.errors import UserError

__all__ = ["evenly", "link_pictures", "link_under_own_names", "list_pictures"]

SUFFIXES = (".jpg", ".jpeg", ".png")


def list_pictures(folder: Path) -> list[Path]:
    """List the .jpg, .jpeg and .png files of a folder by name, as absolute paths.

    Raises:
        UserError: if there is no such folder or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: a folder of .jpg or .png pictures is needed there")
    pictures = sorted(path.resolve() for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise UserError(f"{folder} holds no .jpg or .png")
    return pictures


def evenly(pictures: Sequence[Path], count: int) -> list[Path]:
    """Select `count` pictures evenly over a list; repeated if it has fewer."""
    return [pictures[index * len(pictures) // count] for index in range(count)]


def link_pictures(folder: Path, pictures: Sequence[Path], count: int) -> list[Path]:
    """Create a folder of `count` links to pictures, evenly over them, numbered; gives the selected pictures."""
    selected = evenly(pictures, count)
    folder.mkdir()
    for index, picture in enumerate(selected):
        (folder / f"{index:05d}{picture.suffix}").symlink_to(picture)
    return selected


def link_under_own_names(folders: Mapping[str, Sequence[Path]]) -> None:
    """Create folders of links to pictures in the current folder; links keep the pictures' names, which labels need."""
    for name, pictures in folders.items():
        Path(name).mkdir()
        for picture in pictures:
            (Path(name) / picture.name).symlink_to(picture)
