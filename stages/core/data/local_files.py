"""Checking an experiment's local files without its network: composition does, long before a stage would."""

from collections.abc import Iterator
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.sources import files_below, is_special, parse, special_file
from stages.core.config.schema import PICTURE_SETS, Config, LabelledSet, Task
from stages.core.config.watch import check_files
from stages.core.data.labels import class_folders, read_table
from stages.core.data.model_files import model_files
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_files import SAMPLE_SUFFIXES, in_part, is_sample

__all__ = ["check_local_files"]

CHECKED_LABELS = 200
"""Pictures whose objects are read at composition; evaluate reads those of all before it runs a network."""


def check_local_files(config: Config) -> None:
    """Refuse `file:` sources that are missing, or of another kind than what their stage reads.

    Files and folders only: a pattern may have its files later.

    Raises:
        UserError: naming the key and the path.
    """
    check_files(config)
    if _local(config.model.source) is not None:
        model_files(config.model.source)
    for name in PICTURE_SETS:
        path = _local(getattr(config.data, name).source)
        if path is not None:
            _check_regular(path)
        if path is not None and not any(is_sample(file) for file, _ in _files(path)):
            suffixes = ", ".join(sorted(SAMPLE_SUFFIXES))
            what = f"no file in {path} is a sample" if path.is_dir() else f"{path} is no sample"
            raise UserError(f"data.{name}.source: {what} ({suffixes})")
    pictures = _local(config.data.evaluation.source)
    if config.data.evaluation.labels == "folders" and pictures is not None:
        class_folders(name for name, _ in _files(pictures) if is_sample(name))
    if _local(config.data.evaluation.labels) is not None:
        _check_labels(config.data.evaluation, config.model.detector.classes)


def _check_regular(path: Path) -> None:
    """Refuse pipes, sockets and devices in a folder that DVC watches: it would wait for one, or read without end.

    Raises:
        UserError: naming the first.
    """
    for file in sorted(file for _, file in _files(path)):
        if is_special(file):
            raise special_file(file)


def _check_labels(data: LabelledSet, classes: int | None) -> None:
    """Refuse labels that are none, or of none of the pictures; of a detector's also mistakes in the first of them."""
    assert data.labels is not None
    pictures = _local(data.source)
    if data.task is Task.detection:
        if pictures is not None:
            names = sorted(name for name, _ in _files(pictures) if is_sample(name) and in_part(name, data.part))
            count = min(data.size or len(names), len(names))
            chosen = [names[index * len(names) // count] for index in range(count)]
            read_object_labels(data.labels, names).check(chosen[:CHECKED_LABELS], classes)
        return
    table = read_table(data.labels)
    if pictures is not None and not any(name in table or path.name in table for name, path in _files(pictures)):
        raise UserError(f"data.evaluation.labels={data.labels}: names no file of {pictures}")


def _local(source: object) -> Path | None:
    """The file or folder of a `file:` source; None for a pinned one, a pattern, or none."""
    if not isinstance(source, str) or not source.startswith("file:"):
        return None
    path = Path(parse(source).location)
    return path if path.exists() else None


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """A file or those of a folder, each with its name inside the source."""
    if path.is_dir():
        return ((file.relative_to(path).as_posix(), file) for file in files_below(path))
    return iter([(path.name, path)])
