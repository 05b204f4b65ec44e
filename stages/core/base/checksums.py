"""The checksums of what a stage wrote: each folder `out/<stage>` lists the MD5 of its files, and readers compare.

DVC believes a read-only file in its cache without reading it, so that a bit that a disk lost would go on from stage to
stage. MD5 is what DVC calls its cache's files by: the sum of a file says which one DVC restores it from.
"""

import configparser
import hashlib
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from stages.core.base.errors import DamagedError, UserError, one_line
from stages.core.base.sources import is_special, read_regular

__all__ = [
    "ARCHIVE_ERRORS",
    "ARRAY_ERRORS",
    "CHECKSUMS_FILE",
    "checked_file",
    "checksums_text",
    "damaged",
    "missing",
    "parsing",
    "read_bytes",
    "stage_folder",
]

CHECKSUMS_FILE = "checksums.json"
ARRAY_ERRORS = (tokenize.TokenError, SyntaxError, RecursionError, MemoryError, SystemError, TypeError)
"""What NumPy raises besides ValueError where an array is damaged: it parses the header as Python, sorts its keys of
whatever types, and a text may have characters that Unicode has not."""
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)
"""What reading a damaged zip raises; RuntimeError where it asks for a password or an unknown compression."""
VERSION = 1
"""Of the artifacts' forms: it grows when a stage writes what an earlier release cannot read."""
OUTPUTS = "out"
STAGES = {"export", "calibset", "calibrate", "quantize", "compare", "build", "compile", "evaluate", "track"}
LOCK_FILE = "dvc.lock"


def checksums_text(folder: Path) -> str:
    """The content of `checksums.json` for a folder whose files are all written."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / CHECKSUMS_FILE]
    files = {path.relative_to(folder).as_posix(): _md5(path) for path in paths}
    content = {"version": VERSION, "files": files}
    return json.dumps({**content, "md5": _own_md5(content)}, indent=1, ensure_ascii=False) + "\n"


def read_bytes(path: Path) -> bytes:
    """Read a file whole; one that a stage wrote must have the checksum that the stage gave it.

    Raises:
        UserError: if it is missing, cannot be read, or is damaged.
    """
    try:
        content = _content(path, path)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    expected = _expected(path)
    if expected is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
        raise damaged(path)
    return content


def checked_file(path: Path) -> Path:
    """Give a path whose file is as the stage wrote it, for who reads a large file in parts.

    A file is read once for this in a process.

    Raises:
        UserError: if it is missing or damaged.
    """
    if not path.is_file():
        raise missing(path)
    expected = _expected(path)
    if expected is not None:
        state = path.stat()
        if _md5_once(path.absolute(), (state.st_ino, state.st_size, state.st_mtime_ns)) != expected:
            raise damaged(path)
    return path


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Say of an artifact in one line that its content is not of the form that its stage writes.

    Raises:
        UserError: for whatever the block raises at a missing key, a wrong type or value.
    """
    try:
        yield
    except (AttributeError, LookupError, OverflowError, ValueError, *ARRAY_ERRORS) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
        raise damaged(path, reason) from error


def missing(path: Path) -> UserError:
    """The error for an artifact that is not there, naming the stage that makes it."""
    folder = stage_folder(path)
    return UserError(f"{path} is missing" + (f": run `dvc repro {folder.name}` first" if folder else ""))


def damaged(path: Path, reason: str = "") -> DamagedError:
    """The error for an artifact that is not what its stage wrote.

    It names the file in DVC's cache too, if that is damaged: DVC would restore the artifact from it.
    """
    what = f"{path} is damaged" + (f" ({reason})" if reason else "")
    folder = stage_folder(path)
    if folder is None:
        return DamagedError(f"{what}: delete it and run the command again")
    again = f"run `dvc repro --force --single-item {folder.name}`"
    cached = _cache_file(path, folder)
    if cached is not None and cached.is_file() and _md5(cached) != cached.parent.name + cached.name:
        return DamagedError(f"{what}, and so is DVC's copy of it: delete {cached}, then {again}")
    return DamagedError(f"{what}: {again}")


def stage_folder(path: Path) -> Path | None:
    """The folder `out/<stage>` that a file lies in; None of a file elsewhere."""
    parents = path.absolute().parents
    return next((folder for folder in parents if folder.name in STAGES and folder.parent.name == OUTPUTS), None)


def _expected(path: Path) -> str | None:
    """The MD5 that the stage gave a file; None where no stage did."""
    folder = stage_folder(path)
    return None if folder is None else _checksums(folder).get(path.absolute().relative_to(folder).as_posix())


def _checksums(folder: Path) -> dict[str, str]:
    path = folder / CHECKSUMS_FILE
    try:
        text = _content(path, _shown(path))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _parsed(path, text)


@cache
def _parsed(path: Path, text: bytes) -> dict[str, str]:
    shown = _shown(path)
    with parsing(shown):
        content = json.loads(text)
        version, files, own = content["version"], content["files"], content["md5"]
        if version != VERSION:
            again = f"run `dvc repro --force --single-item {path.parent.name}`"
            raise UserError(f"{shown} has version {version}, not {VERSION}: another release wrote it: {again}")
        if own != _own_md5({"version": version, "files": files}):
            raise ValueError("its own checksum differs")
        return {str(name): str(md5) for name, md5 in files.items()}


def _content(path: Path, shown: Path) -> bytes:
    """A regular file's bytes; anything else in its place is damage, named as `shown`."""
    if is_special(path):
        raise damaged(shown, "it is no regular file")
    return read_regular(path)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _own_md5(content: dict[str, Any]) -> str:
    return hashlib.md5(json.dumps(content).encode(), usedforsecurity=False).hexdigest()


@cache
def _md5_once(path: Path, _state: tuple[int, int, int]) -> str:
    return _md5(path)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _cache_file(path: Path, folder: Path) -> Path | None:
    """The file in DVC's cache that an artifact is restored from, as the project's dvc.lock has it; None: unknown."""
    project = folder.parent.parent
    try:
        files = _cache_folder(project)
        lock = yaml.safe_load((project / LOCK_FILE).read_text(encoding="utf-8"))
        recorded = {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage.get("outs", ())}
        wanted = path.absolute().relative_to(project).as_posix()
        if wanted in recorded:
            return _named(files, recorded[wanted])
        for out, md5 in recorded.items():
            if wanted.startswith(f"{out}/"):
                listed = json.loads(_named(files, md5).read_text(encoding="utf-8"))
                inside = {entry["relpath"]: entry["md5"] for entry in listed}
                return _named(files, inside[wanted.removeprefix(f"{out}/")])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError, configparser.Error):
        return None  # no DVC project, or nothing cached yet: the message then names the artifact alone
    return None


def _cache_folder(project: Path) -> Path:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read([project / ".dvc" / name for name in ("config", "config.local")])
    folder = project / ".dvc" / settings.get("cache", "dir", fallback="cache") / "files" / "md5"
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _named(files: Path, md5: str) -> Path:
    return files / md5[:2] / md5[2:]
