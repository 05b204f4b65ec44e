"""What a file of PyTorch's holds, told without running anything that is in it."""

import io
import pickle
import zipfile
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

__all__ = ["FileKind", "Outline", "file_kind", "outline", "traced_shapes"]

LEGACY_PICKLES = 4
"""Pickles before PyTorch 1.6 are five: a magic number, a version, the machine, the content, the names of its arrays."""


class FileKind(Enum):
    """What a file is, by its content: the suffix .pt is every one's."""

    script = "TorchScript"
    program = "torch.export program"
    tensors = "safetensors"
    checkpoint = "checkpoint"


def file_kind(content: bytes) -> FileKind:
    """Tell what a file is; what is none of the others is taken for a checkpoint, whose reader says what is wrong."""
    names = _names(content)
    parts = [PurePosixPath(name).parts[1:] for name in names]
    if any(part[:1] == ("code",) for part in parts):
        return FileKind.script
    programs = ("archive_format", "serialized_exported_program.json")
    if any(part and part[-1] in programs for part in [PurePosixPath(name).parts for name in names]):
        return FileKind.program
    return FileKind.tensors if content[8:9] == b"{" and not names else FileKind.checkpoint


def _names(content: bytes) -> list[str]:
    try:
        return zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return []


class Outline:
    """An object of a pickle that was not made: what it would have been.

    Attributes:
        name: module and name of the class or function that makes it.
        arguments: what that is called with.
    """

    name = ""
    arguments: tuple[Any, ...] = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take an item of a mapping; nothing is done with it, as with all that follows."""

    def __setstate__(self, state: Any) -> None:
        """Take the state that the object would have."""

    def append(self, value: Any) -> None:
        """Take an element of a list."""

    def extend(self, values: Any) -> None:
        """Take elements of a list."""

    def add(self, value: Any) -> None:
        """Take an element of a set."""


class _Mapping(dict[Any, Any]):
    """An OrderedDict, which may have a state of its own."""


class _Outliner(pickle.Unpickler):
    """Reads a pickle; every class and function in it is replaced by one that only notes its name."""

    def find_class(self, module: str, name: str) -> Any:
        """Give a class whose objects know what they would have been."""
        label = f"{module}.{name}"
        if label == "collections.OrderedDict":
            return _Mapping
        if label == "torch.jit._pickle.restore_type_tag":
            return lambda value, _: value

        class Noted(Outline):
            def __new__(cls, *arguments: Any, **_: Any) -> Any:
                noted = super().__new__(cls)
                noted.name, noted.arguments = label, arguments
                return noted

            def __init__(self, *_: Any, **__: Any) -> None:
                pass

        return Noted

    def persistent_load(self, pid: Any) -> Any:
        """Give a class, which old files note so; nothing for arrays."""
        return pid[1] if isinstance(pid, tuple) and pid[:1] == ("module",) else None


def outline(content: bytes) -> Any:
    """Read the structure of a checkpoint; nothing that is in it is called.

    Returns:
        Containers and numbers as they are, an `Outline` for each other object; None if it is no checkpoint.
    """
    try:
        if names := _names(content):
            archive = zipfile.ZipFile(io.BytesIO(content))
            return _read(io.BytesIO(archive.read(next(name for name in names if name.endswith("/data.pkl")))))
        stream = io.BytesIO(content)
        return [_read(stream) for _ in range(LEGACY_PICKLES)][-1]
    except Exception:  # a damaged pickle raises any type
        return None


def _read(stream: io.BytesIO) -> Any:
    return _Outliner(stream, encoding="latin1").load()


def traced_shapes(content: bytes) -> list[list[int]]:
    """Shapes of the inputs that a TorchScript file was traced with, where it has them."""
    names = [name for name in _names(content) if name.endswith("/traced_inputs.pkl")]
    if not names:
        return []
    try:
        inputs = _read(io.BytesIO(zipfile.ZipFile(io.BytesIO(content)).read(names[0])))
        values = inputs["forward"] if isinstance(inputs, dict) else inputs
        return [[int(size) for size in value.arguments[2]] for value in values if isinstance(value, Outline)]
    except Exception:  # as above; the shapes then have to be given
        return []
