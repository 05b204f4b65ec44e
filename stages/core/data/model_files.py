"""The files of a network, and which format they are in.

`SourceFormat` is the table of the formats that `model.source` takes; `stages/export/sources` has a reader for each.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from stages.core.base.errors import UserError
from stages.core.base.sources import SourceFile, expanded, open_source, watched_path

__all__ = [
    "IncompleteSourceError",
    "ModelFiles",
    "SourceFormat",
    "is_network_name",
    "model_files",
    "source_stem",
    "with_format",
]

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


def _with_data(files: Sequence[SourceFile], suffixes: Sequence[str]) -> SourceFile | None:
    """A network in one file, which may keep its weights in files of any name beside it."""
    mains = [file for file in files if PurePosixPath(file.name).suffix.lower() in suffixes]
    return mains[0] if len(mains) == 1 else None


def _pair(files: Sequence[SourceFile], suffixes: Sequence[str]) -> SourceFile | None:
    """A network in two files: the weights, whose suffix is the first, and one that ends in another of the suffixes."""
    weights, graphs = _parts(files, suffixes)
    return weights[0] if len(weights) == len(graphs) == 1 else None


def _parts(files: Sequence[SourceFile], suffixes: Sequence[str]) -> tuple[list[SourceFile], list[SourceFile]]:
    """The files that end in the first suffix, and those that end in another."""
    weights = [file for file in files if file.name.lower().endswith(suffixes[0])]
    return weights, [file for file in files if file.name.lower().endswith(tuple(suffixes[1:]))]


def _folder(files: Sequence[SourceFile], suffixes: Sequence[str]) -> SourceFile | None:
    """A network in a folder: the one file of a fixed name, whatever lies beside it."""
    mains = [file for file in files if PurePosixPath(file.name).name in suffixes]
    return mains[0] if len(mains) == 1 else None


class SourceFormat(Enum):
    """The formats of trained networks; files are of the first that knows them."""

    onnx = FormatRule("ONNX", (".onnx",), _with_data)
    caffe = FormatRule("Caffe", (".caffemodel", ".prototxt", ".prototxt.txt"), _pair)
    mxnet = FormatRule("MXNet", (".params", "-symbol.json"), _pair)
    checkpoint = FormatRule(
        "PyTorch", (".pt", ".pth", ".ckpt", ".bin", ".pt2", ".jit", ".torchscript", ".ptl", ".safetensors"), _only
    )
    tflite = FormatRule("TFLite", (".tflite",), _only)
    keras = FormatRule("Keras", (".keras", ".h5", ".hdf5"), _only)
    saved_model = FormatRule("SavedModel", ("saved_model.pb",), _folder)
    frozen = FormatRule("frozen TensorFlow graph", (".pb",), _only)


class IncompleteSourceError(UserError):
    """A network lacks files that it needs.

    Attributes:
        whole: a source of all of its files; None if they are not known.
    """

    def __init__(self, wanted: str, whole: str, known: bool = True) -> None:
        """Say it with what to write.

        Args:
            wanted: what it lacks.
            whole: a source of all of its files, with NAME for what is not known.
            known: whether they are there.
        """
        if whole.startswith(("file:{", "file:./{")):  # DVC would have to watch the project's own folder
            advice = "move all of its files into a folder of their own and give model.source=file:FOLDER"
        else:
            quoted = shlex.quote(f'model.source="{whole}"')
            advice = f"give all of its files, as in {quoted}"
        super().__init__(f"model.source: {wanted}: {advice}")
        self.whole = whole if known else None


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
    return with_format(open_source(source, "model.source"), source) if source else None


def with_format(files: Sequence[SourceFile], source: str = "") -> ModelFiles:
    """Tell the format of a network's files.

    Args:
        files: the files.
        source: where they come from, for the advice what to write.

    Raises:
        UserError: if they are no network, or several.
    """
    for kind in SourceFormat:
        if (main := kind.value.main(files, kind.value.suffixes)) is not None:
            return ModelFiles(kind, main, tuple(file for file in files if file is not main))
    for kind in SourceFormat:
        if kind.value.main is _pair and any(_parts(files, kind.value.suffixes)):
            raise _incomplete_pair(kind.value, files, source)
    known = ", ".join(suffix for kind in SourceFormat for suffix in kind.value.suffixes)
    if len(files) == 1:
        raise UserError(f"model.source: {files[0].name} is no network that can be read ({known})")
    named = f" ({files[0].name}, ...)" if files else ""
    raise UserError(f"model.source matches {len(files)} files{named}: give those of one network ({known})")


def source_stem(source: str) -> str:
    """A short name for the network of a source: its file's, without the suffix; of `net.{prototxt,caffemodel}` net."""
    path = PurePosixPath(source.partition("#")[0].removeprefix("file:"))
    begins, brace, rest = path.name.partition("{")
    if not brace:
        return path.stem
    return begins.rstrip(".-_") or PurePosixPath(re.split("[,}]", rest)[0]).stem


def is_network_name(path: str) -> bool:
    """Whether a file's name ends as those of networks do."""
    return path.lower().endswith(tuple(suffix for kind in SourceFormat for suffix in kind.value.suffixes))


def _incomplete_pair(rule: FormatRule, files: Sequence[SourceFile], source: str) -> IncompleteSourceError:
    """Say what to write for a network of two files, of which one is missing or there are several."""
    weights, graphs = _parts(files, rule.suffixes)
    given = ", ".join(PurePosixPath(file.name).name for file in (*weights, *graphs))
    path = Path(expanded(source.removeprefix("file:")))
    if source.startswith("file:") and path.is_file():
        beside = [SourceFile(other.name, other.read_bytes) for other in sorted(path.parent.iterdir())]
        found = _parts(beside, rule.suffixes)
        weights = weights or _likest(found[0], path.name)
        graphs = graphs or _likest(found[1], path.name)
        folder = f"file:{path.parent}"
    else:
        local = f"file:{watched_path(source) if source.startswith('file:') else 'FOLDER'}"
        folder = source.partition("/")[0] if source.startswith("package:") else local
    names = [
        part[0].name if len(part) == 1 else f"NAME{suffix}"
        for part, suffix in zip((graphs, weights), (rule.suffixes[1], rule.suffixes[0]), strict=True)
    ]
    digest = f"#{source.partition('#')[2]}" if "#" in source else ""
    whole = f"{folder}/{{{','.join(names)}}}{digest}"
    wanted = f"a network of {rule.title} is one {rule.suffixes[1]} and one {rule.suffixes[0]} file (given: {given})"
    return IncompleteSourceError(wanted, whole, known=len(weights) == len(graphs) == 1)


def _likest(files: list[SourceFile], name: str) -> list[SourceFile]:
    """Of several files the one whose name begins as another's, up to its first dot or dash; all if none or several."""
    stem = re.split(r"[.-]", name)[0]
    like = [file for file in files if re.split(r"[.-]", file.name)[0] == stem]
    return like if len(like) == 1 else files
