"""Finding each picture's class index."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from stages.core.errors import UserError, did_you_mean
from stages.core.sources import SourceFile, open_source

__all__ = ["find_labels"]

KEY = "data.evaluation.labels"


def find_labels(labels: str, files: Sequence[SourceFile], all_names: Sequence[str]) -> list[int]:
    r"""Give the class index of each file.

    Args:
        labels: `pattern:REGEX`, whose first group in the file's name is the index; `folders`, one folder a class,
            numbered in sorted order; or `file:CSV` with columns `file` and `label` (or `index`).
        files: the pictures.
        all_names: names of all pictures of the source; a class may have none among `files`.

    Raises:
        UserError: for a picture without a label.
    """
    if labels.startswith("pattern:"):
        return [_by_pattern(labels.removeprefix("pattern:"), file.name) for file in files]
    if labels == "folders":
        classes = sorted({_folder(name) for name in all_names})
        if len(classes) < 2:
            raise UserError(f"{KEY}=folders: the pictures lie in {len(classes)} folder; make one folder a class")
        return [classes.index(_folder(file.name)) for file in files]
    return _by_table(labels, files)


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def _by_pattern(pattern: str, name: str) -> int:
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise UserError(f"{KEY}=pattern:{pattern}: not a regular expression: {error}") from error
    if not match or not match.groups() or not (match[1] or "").isdigit():
        raise UserError(
            f"{KEY}=pattern:{pattern}: finds no class number in {name!r}; its first group must be the digits"
        )
    return int(match[1])


def _by_table(labels: str, files: Sequence[SourceFile]) -> list[int]:
    tables = open_source(labels, KEY)
    if len(tables) != 1:
        raise UserError(f"{KEY}={labels}: is {len(tables)} files; give one CSV")
    try:
        reader = csv.DictReader(io.StringIO(tables[0].read().decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise UserError(f"{KEY}={labels}: is not UTF-8 text: {error}") from error
    columns = reader.fieldnames or []
    column = next((name for name in ("label", "index") if name in columns), None)
    if "file" not in columns or column is None:
        raise UserError(f"{KEY}={labels}: needs the columns file and label; it has {', '.join(columns) or 'none'}")
    by_name = {row["file"]: row[column] for row in reader}
    found = []
    for file in files:
        label = by_name.get(file.name) or by_name.get(PurePosixPath(file.name).name)
        if label is None or not label.strip().isdigit():
            hint = "not a class number: " + label if label else did_you_mean(file.name, by_name)
            raise UserError(f"{KEY}={labels}: no label for {file.name!r}; {hint}")
        found.append(int(label))
    return found
