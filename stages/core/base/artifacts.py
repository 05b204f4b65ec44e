"""Artifacts: written whole or not at all, the same bytes for the same content; read if they are what was written."""

import errno
import fcntl
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.checksums import CHECKSUMS_FILE, checksums_text, damaged, parsing, read_bytes, stage_folder
from stages.core.base.errors import UserError, one_line

__all__ = [
    "as_number",
    "as_object",
    "as_rows",
    "as_text",
    "check_targets",
    "discard",
    "finite_or_none",
    "output_folder",
    "read_artifact",
    "read_json",
    "remove_leftovers",
    "save_model",
    "scratch_folder",
    "stage_output",
    "write_arrays",
    "write_checksums",
    "write_json",
    "write_text",
]

T = TypeVar("T")
FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def stage_output(final: Path) -> Iterator[Path]:
    """`output_folder` for what a stage writes: its files get their checksums, which readers compare.

    Raises:
        UserError: if the folder cannot be made or replaced.
    """
    with output_folder(final) as folder:
        yield folder
        write_checksums(folder)


def write_checksums(folder: Path) -> None:
    """Write the checksums of a stage's files beside them.

    Raises:
        UserError: if they cannot be written.
    """
    write_text(folder / CHECKSUMS_FILE, checksums_text(folder))


@contextmanager
def output_folder(final: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `final` when the block ends well.

    A failure or a kill in between leaves `final` as it was; what a killed run left behind is cleared away.

    Raises:
        UserError: if the folder cannot be made, filled or replaced.
    """
    if final.is_symlink():
        raise UserError(f"{final} is a link: remove it (the folder above it may be one)")
    with _writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(final.parent, f".{final.name}-", final) as temporary:
        try:
            yield temporary
        except OSError as error:
            if error.errno in FULL_ERRNOS:  # the system names no file then
                raise UserError(f"{final}, or a temporary file, cannot be written: {error.strerror}") from error
            raise
        with _writing(final):
            temporary.chmod(0o755)
            if final.exists():
                shutil.rmtree(final)
            temporary.replace(final)


@contextmanager
def scratch_folder(parent: Path, prefix: str, what: Path | None = None) -> Iterator[Path]:
    """Give a temporary folder that is locked while it is in use: no other command takes it for a killed run's.

    Args:
        parent: where it is made; what killed runs left there is cleared away.
        prefix: how its name begins.
        what: it is for, as messages say.

    Raises:
        UserError: if it cannot be made.
    """
    with _writing(what or parent):
        remove_leftovers(parent, prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with _alone(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the scratch folders that killed runs have left.

    Args:
        folder: where they are.
        prefix: how their names begin.
    """
    for leftover in folder.glob(f"{prefix}*"):
        with suppress(OSError), _alone(leftover) as alone:
            if alone:
                shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Lock a folder while the block runs; whether no other process has. The system unlocks it when a process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError:  # a file system without locks
            yield True
        else:
            yield True
    finally:
        os.close(descriptor)


def discard(folder: Path) -> None:
    """Remove what an earlier run of a stage wrote, as DVC does before it runs one.

    For measurements: if the new one is refused, nobody must take the old one for it.

    Raises:
        UserError: if the folder cannot be removed.
    """
    with _writing(folder):
        if folder.exists():
            shutil.rmtree(folder)


def check_targets(*paths: Path | None) -> None:
    """Refuse what cannot be a file, before the work whose result it is to hold. Folders above it may be missing.

    Raises:
        UserError: if there is a folder of that name, or a file in the place of a folder above it.
    """
    for path in filter(None, paths):
        if path.is_dir():
            raise UserError(f"{path} is a folder: name a file")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{path}: {above} is a file, not a folder")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step; the folders above it are made, if missing. A failure leaves it as it was.

    A device or a pipe, such as /dev/stdout, is no file to replace: it is written to.

    Raises:
        UserError: if it cannot be written: a folder of that name, a full disk.
    """
    check_targets(path)
    with _writing(path):
        if _is_stream(path):
            with os.fdopen(_opened_stream(path), "a", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _is_stream(path: Path) -> bool:
    """Whether a path leads to something that is no file, or to one that the system has opened for this process."""
    named_by_system = path.absolute().parts[1:2] in (("dev",), ("proc",))
    return path.exists() and (not path.is_file() or (path.is_symlink() and named_by_system))


def _opened_stream(path: Path) -> int:
    """Open a stream to write to. A pipe that nothing reads is refused: opening it plainly would wait for ever."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UserError(f"{path} is a pipe that nothing reads") from None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line that `path`, not the temporary one beside it, cannot be written."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        above = next((each for each in path.parents if not each.is_dir() and os.path.lexists(each)), path)
        raise UserError(f"{path} cannot be written: {above} is no folder") from error
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be written: another command writes there too: run one at a time") from error
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or one_line(error)}") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON in the order given: floats in their shortest exact form, NaN refused."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite_or_none(content: Any) -> Any:
    """The same content with None in place of numbers that are infinite or none: JSON has neither."""
    match content:
        case float():
            return content if math.isfinite(content) else None
        case Mapping():
            return {key: finite_or_none(value) for key, value in content.items()}
        case list() | tuple():
            return [finite_or_none(value) for value in content]
        case _:
            return content


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: if it is missing (says which stage makes it), is not JSON, or is damaged.
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, a number of thousands of digits
        if stage_folder(path):
            raise damaged(path, "it is not JSON") from error
        raise UserError(f"{path} is not JSON: {one_line(error)}") from error


def read_artifact(path: Path, parse: Callable[[Any], T]) -> T:
    """Read a JSON artifact of a stage.

    Args:
        path: in the stage's folder.
        parse: makes of its content what the caller wants; what it raises at a missing key, a wrong type or value says
            that the file is damaged.

    Raises:
        UserError: if it is missing or damaged; it says which stage makes it.
    """
    content = read_json(path)
    with parsing(path):
        return parse(content)


def as_object(content: Any) -> dict[str, Any]:
    """Give JSON content that is an object, for `read_artifact`.

    Raises:
        TypeError: if it is another value.
    """
    if not isinstance(content, dict):
        raise TypeError("it is no JSON object")
    return content


def as_text(content: Any) -> str:
    """Give JSON content that is a text, for `read_artifact`.

    Raises:
        TypeError: if it is another value.
    """
    if not isinstance(content, str):
        raise TypeError(f"{content!r:.40} is no text")
    return content


def as_number(content: Any) -> float:
    """Give JSON content that is a number, for `read_artifact`.

    Raises:
        TypeError: if it is another value.
        OverflowError: if no float is as large.
    """
    if not isinstance(content, int | float):
        raise TypeError(f"{content!r:.40} is no number")
    return float(content)


def as_rows(content: Any, *keys: str) -> list[dict[str, Any]]:
    """Give JSON content that is a list of objects which all have some keys, for `read_artifact`.

    Raises:
        TypeError: if it is another value.
        KeyError: if an object lacks a key.
    """
    if not isinstance(content, list):
        raise TypeError("it is no JSON list")
    for row in map(as_object, content):
        for key in keys:
            row[key]
    return content


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an npz file with deterministic bytes; NumPy's own writer takes no array called `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)


def save_model(path: Path, model: onnx.ModelProto) -> None:
    """Write an ONNX model with deterministic bytes."""
    path.write_bytes(model.SerializeToString(deterministic=True))
