"""The files of a network, and which format they are in.

`SourceFormat` is the table of the formats that `model.source` takes; `stages/export/sources` has a reader for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile, open_source

__all__ = ["ModelFiles", "SourceFormat", "model_files", "with_format"]

FindMain = Callable[[Sequence[SourceFile], Sequence[str]], SourceFile | None]


@dataclass(frozen=True)
class FormatRule:
    """How the files of a format are known.

    Attributes:
        title: what messages call the format.
        suffixes: how the name of its main file ends, in lower case.
        main: given files and the suffixes, the main one of them; None if they are not of this format.
    """

    title: str
    suffixes: tuple[str, ...]
    main: FindMain


def _only(files: Sequence[SourceFile], suffixes: Sequence[str]) -> SourceFile | None:
    """A network in one file."""
    return files[0] if len(files) == 1 and PurePosixPath(files[0].name).suffix.lower() in suffixes else None


def _folder(files: Sequence[SourceFile], suffixes: Sequence[str]) -> SourceFile | None:
    """A network in a folder: the one file of a fixed name, whatever lies beside it."""
    mains = [file for file in files if PurePosixPath(file.name).name in suffixes]
    return mains[0] if len(mains) == 1 else None


class SourceFormat(Enum):
    """The formats of trained networks; files are of the first that knows them."""

    onnx = FormatRule("ONNX", (".onnx",), _only)
    checkpoint = FormatRule("PyTorch checkpoint", (".pt", ".pth", ".ckpt", ".bin"), _only)
    tflite = FormatRule("TFLite", (".tflite",), _only)
    keras = FormatRule("Keras", (".keras", ".h5", ".hdf5"), _only)
    saved_model = FormatRule("SavedModel", ("saved_model.pb",), _folder)
    frozen = FormatRule("frozen TensorFlow graph", (".pb",), _only)


@dataclass(frozen=True)
class ModelFiles:
    """The files of one network.

    Attributes:
        format: what they are.
        main: the file that holds the graph, or the whole network.
        others: those that it needs beside it, sorted by name.
    """

    format: SourceFormat
    main: SourceFile
    others: tuple[SourceFile, ...] = ()

    @property
    def name(self) -> str:
        """What messages call the network."""
        return self.main.name


def model_files(source: str | None) -> ModelFiles | None:
    """Open `model.source`; None where there is none: a PyTorch module without a checkpoint.

    Raises:
        UserError: if the files are not one network of a known format.
    """
    return with_format(open_source(source, "model.source")) if source else None


def with_format(files: Sequence[SourceFile]) -> ModelFiles:
    """Tell the format of a network's files.

    Raises:
        UserError: if they are no network, or several.
    """
    for kind in SourceFormat:
        if (main := kind.value.main(files, kind.value.suffixes)) is not None:
            return ModelFiles(kind, main, tuple(file for file in files if file is not main))
    known = ", ".join(suffix for kind in SourceFormat for suffix in kind.value.suffixes)
    if len(files) == 1:
        raise UserError(f"model.source: {files[0].name} is no network that can be read ({known})")
    named = f" ({files[0].name}, ...)" if files else ""
    raise UserError(f"model.source matches {len(files)} files{named}: give those of one network ({known})")
