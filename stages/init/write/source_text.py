"""Paths as sources of a config."""

import os
from pathlib import Path, PurePosixPath

from stages.core.base.errors import UserError
from stages.core.base.paths import EXPORT

__all__ = ["file_name", "source"]

OUT_FOLDER = EXPORT.parent


def source(path: Path) -> str:
    """A path as a source: relative where it lies below the project's folder.

    Raises:
        UserError: if it lies in `out/`, which the pipeline writes.
    """
    absolute = Path(os.path.normpath(path.absolute()))
    real, out = (Path(os.path.realpath(each)) for each in (path, OUT_FOLDER))  # resolve() fails at a loop of links
    if real.is_relative_to(out):
        raise UserError(
            f"{path} lies in {OUT_FOLDER}/, which the pipeline writes anew: copy its folder elsewhere and read that"
        )
    inside = absolute.is_relative_to(Path.cwd())
    return f"file:{absolute.relative_to(Path.cwd()) if inside else absolute}"


def file_name(text: str) -> str:
    """The name of the file behind a source; of a pattern or a folder its last part."""
    return PurePosixPath(text.partition("#")[0].removeprefix("file:")).name
