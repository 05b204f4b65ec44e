"""Finding each picture's class index."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from stages.core.base.errors import UserError, did_you_mean
from stages.core.base.sources import SourceFile, open_source
from stages.core.config.schema import LabelledSet, PictureSet
from stages.core.data.inputs import NetworkInput
from stages.core.data.sample_files import SampleFiles, select

__all__ = ["class_count", "class_folders", "counted_folders", "find_labels", "labels_of", "read_table", "texts_of"]

SET_KEY = "data.evaluation"
LABELS_KEY = f"{SET_KEY}.labels"
Named = SourceFile | SampleFiles
"""What has a name inside a source: a file, or a sample of files."""


def labels_of(
    data: LabelledSet,
    files: Sequence[SampleFiles],
    inputs: Sequence[NetworkInput],
    outputs: Mapping[str, Sequence[int | str]],
) -> Sequence[int | None]:
    """Give the class index of each sample of the evaluation set; None each where it has no labels.

    Args:
        data: the set.
        files: its samples.
        inputs: the network's.
        outputs: the network's, name -> shape.

    Raises:
        UserError: for a picture without a label, or a network that is no classifier.
    """
    if data.labels is None:
        return [None] * len(files)
    names = [file.name for file in select(PictureSet(source=data.source), inputs, SET_KEY)]
    return find_labels(data.labels, files, names, class_count(outputs))


def find_labels(labels: str, files: Sequence[Named], all_names: Sequence[str], classes: int) -> list[int]:
    r"""Give the class index of each file.

    Args:
        labels: `pattern:REGEX`, whose first group in the file's name is the index; `folders`, one folder a class, its
            name the index, or else as many folders as classes, counted from 0 in sorted order; or `file:CSV` with
            columns `file` and `label` (or `index`).
        files: the pictures.
        all_names: names of all pictures of the source; a class may have none among `files`.
        classes: how many the network has.

    Raises:
        UserError: for a picture without a label, or folders that cannot be told to be which classes.
    """
    if labels.startswith("pattern:"):
        return [_by_pattern(labels.removeprefix("pattern:"), file.name) for file in files]
    if labels == "folders":
        return _by_folder(files, all_names, classes)
    return _by_table(labels, files)


def class_count(outputs: Mapping[str, Sequence[int | str]]) -> int:
    """Count a classifier's classes.

    Args:
        outputs: name -> shape.

    Raises:
        UserError: if there are several outputs, or one that is not [1, classes] (further sizes may be 1).
    """
    shapes = list(outputs.values())
    if len(shapes) != 1:
        raise UserError(
            f"classification needs one output; the network has {', '.join(outputs)}; for others take "
            "data.evaluation.task=detection or none"
        )
    sizes = [size for size in shapes[0] if size != 1]
    if len(shapes[0]) < 2 or len(sizes) != 1 or not isinstance(sizes[0], int) or shapes[0][1] != sizes[0]:
        shown = f"{next(iter(outputs))} {list(shapes[0])}"
        raise UserError(
            f"classification needs an output [1, classes]; the network's is {shown}; for others take "
            "data.evaluation.task=detection or none"
        )
    return sizes[0]


def is_number(text: str) -> bool:
    """Whether a text is a plain class number."""
    return re.fullmatch(r"[0-9]+", text) is not None


def class_folders(names: Iterable[str]) -> list[str]:
    """The folders that `labels=folders` takes for classes, sorted.

    Args:
        names: of all pictures inside their source.

    Raises:
        UserError: if a picture lies in none.
    """
    by_name = {name: _folder(name) for name in names}
    outside = min((name for name, folder in by_name.items() if not folder), default=None)
    if outside is not None:
        raise UserError(
            f"{LABELS_KEY}=folders: {outside!r} lies in no folder of a class: make one folder a class, give "
            "labels=file:CSV, or data.evaluation.task=none with labels=null"
        )
    return sorted(set(by_name.values()))


def counted_folders(folders: Sequence[str], classes: int) -> bool:
    """Whether folders are numbers, but not those of classes: as many as classes, and one beyond the last class.

    Args:
        folders: the classes', sorted; then they are counted from 0 in this order.
        classes: how many the network has.
    """
    numbers = all(map(is_number, folders))
    return numbers and len(folders) == classes and max(map(int, folders), default=0) >= classes


def _folder(name: str) -> str:
    """The outermost folder of a picture; empty if it lies in none."""
    parts = PurePosixPath(name).parts
    return parts[0] if len(parts) > 1 else ""


def _by_folder(files: Sequence[Named], all_names: Sequence[str], classes: int) -> list[int]:
    folders = class_folders(all_names)
    if all(map(is_number, folders)) and not counted_folders(folders, classes):
        return [int(_folder(file.name)) for file in files]
    if len(folders) != classes:
        listed = f"{len(folders)} folders ({', '.join(folders[:3])}, ...)"
        raise UserError(
            f"{LABELS_KEY}=folders: {listed} for {classes} classes: name them by class number, or give labels=file:CSV"
        )
    return [folders.index(_folder(file.name)) for file in files]


def _by_pattern(pattern: str, name: str) -> int:
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UserError(f"{LABELS_KEY}=pattern:{pattern}: not a regular expression: {error}") from error
    if not match or not match.groups() or not is_number(match[1] or ""):
        raise UserError(
            f"{LABELS_KEY}=pattern:{pattern}: finds no class number in {name!r}; its first group must be the digits"
        )
    return int(match[1])


def read_table(labels: str) -> dict[str, str]:
    """Read a CSV of labels: file -> what stands in its column `label` or `index`.

    Args:
        labels: `file:CSV`.

    Raises:
        UserError: if it is not one CSV with these columns, or has two labels for a file.
    """
    tables = open_source(labels, LABELS_KEY)
    if len(tables) != 1:
        raise UserError(f"{LABELS_KEY}={labels}: is {len(tables)} files; give one CSV")
    try:
        reader = csv.DictReader(io.StringIO(tables[0].read().decode("utf-8-sig"), newline=None))
        columns = reader.fieldnames or []
    except UnicodeDecodeError as error:
        raise UserError(f"{LABELS_KEY}={labels}: is not UTF-8 text: {error}") from error
    except csv.Error as error:
        raise UserError(f"{LABELS_KEY}={labels}: is not a CSV: {error}") from error
    column = next((name for name in ("label", "index") if name in columns), None)
    if "file" not in columns or column is None:
        listed = ", ".join(columns) or "none"
        raise UserError(f"{LABELS_KEY}={labels}: needs the columns file and label; it has {listed}")
    by_name: dict[str, str] = {}
    for row in _rows(reader, labels):
        name, label = row["file"], row[column]
        if by_name.setdefault(name, label) != label:
            raise UserError(f"{LABELS_KEY}={labels}: {name!r} has the labels {by_name[name]} and {label}")
    return by_name


def _by_table(labels: str, files: Sequence[Named]) -> list[int]:
    indices = []
    for file, label in zip(files, texts_of(labels, files), strict=True):
        if not is_number(label.strip()):
            raise UserError(f"{LABELS_KEY}={labels}: no label for {file.name!r}; not a class number: {label}")
        indices.append(int(label))
    return indices


def texts_of(labels: str, files: Sequence[Named]) -> list[str]:
    """Give the text of each sample's label.

    Args:
        labels: `file:CSV` with columns `file` and `label` (or `index`).
        files: the samples.

    Raises:
        UserError: for a sample without a label, or a name that stands for several.
    """
    by_name = read_table(labels)
    shared = Counter(PurePosixPath(file.name).name for file in files)
    texts = []
    for file in files:
        short = PurePosixPath(file.name).name
        if file.name not in by_name and short in by_name and shared[short] > 1:
            raise UserError(f"{LABELS_KEY}={labels}: {short!r} names {shared[short]} pictures; give their folders too")
        label = by_name.get(file.name, by_name.get(short))
        if label is None:
            raise UserError(f"{LABELS_KEY}={labels}: no label for {file.name!r}; {did_you_mean(file.name, by_name)}")
        texts.append(label)
    return texts


def _rows(reader: "csv.DictReader[str]", labels: str) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(f"{LABELS_KEY}={labels}: is not a CSV: {error}") from error
