"""Labels that lie with the pictures: YOLO text files, COCO's JSON, a CSV, or a folder a class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.core.base.errors import UserError
from stages.core.base.sources import files_below
from stages.core.base.texts import parse_json, read_text
from stages.core.config.schema import Task
from stages.core.data.labels import class_folders, counted_folders, read_table
from stages.core.data.labels import find_labels as classes_of
from stages.core.data.object_labels import read_object_labels
from stages.core.data.sample_files import SampleFiles
from stages.init.guess.guess import Guess, Sure
from stages.init.pictures.picture_folder import LABELS, PICTURES, PictureFolder
from stages.init.write.source_text import source

__all__ = ["FoundLabels", "class_labels", "object_labels"]

COCO_KEYS = {"images", "annotations", "categories"}
TO_DO = ("", "; call the folders by the classes' numbers, 0, 1, ..., then init again with --force")
"""What to do about a number that no class has: nothing is known to do but for folders."""
LEAST_KNOWN = 0.5
"""Part of the pictures that labels must name, at least."""
SHOWN_FOLDERS = 4


@dataclass(frozen=True)
class FoundLabels:
    """Labels that fit the pictures and the network.

    Attributes:
        labels: `data.evaluation.labels`.
        task: `data.evaluation.task`.
        guess: what was found, for the table.
    """

    labels: str | None
    task: Task
    guess: Guess


def class_labels(pictures: PictureFolder, files: Sequence[SampleFiles], classes: int) -> FoundLabels:
    """Find a classifier's labels.

    Args:
        pictures: the folder.
        files: the evaluation samples.
        classes: of the network.
    """
    refusals = []
    for labels in _class_candidates(pictures):
        try:
            numbers = classes_of(labels, files, [file.name for file in files], classes)
        except UserError as error:
            refusals.append(str(error))
            continue
        if max(numbers) >= classes:
            refusals.append(
                f"{labels}: class {max(numbers)}, and the network has {classes}{TO_DO[labels == 'folders']}"
            )
            continue
        folders = class_folders(file.name for file in files) if labels == "folders" else []
        if counted_folders(folders, classes):
            listed = ", ".join(folders[:SHOWN_FOLDERS]) + (", ..." if classes > SHOWN_FOLDERS else "")
            order = f"folders {listed} are classes 0, 1{', ...' if classes > 2 else ''} in this order"
            return FoundLabels(labels, Task.classification, Guess("labels", labels, order, Sure.medium))
        told = f"{len(set(numbers))} classes on {len(numbers)} pictures"
        return FoundLabels(labels, Task.classification, Guess("labels", labels, told, Sure.high))
    return _without(refusals, Task.none)


def object_labels(pictures: PictureFolder, files: Sequence[SampleFiles], classes: int | None) -> FoundLabels:
    """Find a detector's labels.

    Args:
        pictures: the folder.
        files: the evaluation samples.
        classes: of the network; None if it is not known.
    """
    refusals, names = [], [file.name for file in files]
    for labels in _object_candidates(pictures, names):
        try:
            read_object_labels(labels, names).check(names, classes)
        except UserError as error:
            refusals.append(str(error))
            continue
        told = "they name the pictures, and no class that the network lacks"
        return FoundLabels(labels, Task.detection, Guess("labels", labels, told, Sure.high))
    return _without(refusals, Task.detection)


def _without(refusals: Sequence[str], task: Task) -> FoundLabels:
    if refusals:
        return FoundLabels(None, task, Guess("labels", "none", f"found, but left out: {refusals[0]}", Sure.low))
    told = "none lie with the pictures; the quantized network is compared with the float one"
    return FoundLabels(None, task, Guess("labels", "none", told, Sure.medium))


def _class_candidates(pictures: PictureFolder) -> Iterator[str]:
    folder = pictures.evaluated
    for place in dict.fromkeys((folder, pictures.folder, pictures.root)):
        for table in sorted(place.glob("*.csv")):
            labels = source(table)
            try:
                known = read_table(labels)
            except UserError:
                continue
            names = {file.name for file in files_below(folder)} | {
                file.relative_to(folder).as_posix() for file in files_below(folder)
            }
            if len(names & known.keys()) >= LEAST_KNOWN * len(known):
                yield labels
    if any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir()):
        yield "folders"


def _object_candidates(pictures: PictureFolder, names: Sequence[str]) -> Iterator[str]:
    folder = pictures.evaluated
    mirrored = Path(*(LABELS if part == PICTURES else part for part in folder.parts))
    mirrors = [mirrored] if mirrored != folder else []
    beside = [*mirrors, folder / LABELS, folder.parent / LABELS, pictures.root / LABELS, folder, pictures.root]
    stems = {Path(name).stem for name in names}
    for place in dict.fromkeys(path for path in beside if path.is_dir()):
        if any(file.suffix == ".txt" and file.stem in stems for file in files_below(place)):
            yield source(place)
    places = (folder, folder.parent, pictures.root, pictures.root / "annotations")
    for place in dict.fromkeys(path for path in places if path.is_dir()):
        for table in sorted(place.glob("*.json")):
            if _is_coco(table):
                yield source(table)


def _is_coco(path: Path) -> bool:
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.keys() >= COCO_KEYS
