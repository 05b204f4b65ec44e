"""Labels of a detector's pictures: YOLO text files, or a JSON file as COCO has it."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from stages.core.base.console import warn
from stages.core.base.errors import UserError
from stages.core.base.sources import open_source
from stages.core.data.coco_labels import read_coco_labels
from stages.core.data.objects import ObjectLabels
from stages.core.data.yolo_labels import YoloLabels

__all__ = ["read_object_labels"]

LABELS_KEY = "data.evaluation.labels"


def read_object_labels(labels: str, pictures: Sequence[str]) -> ObjectLabels:
    """Read a detector's labels.

    Args:
        labels: a source: text files, one a picture and of its name, or one JSON file.
        pictures: the names of the pictures, to tell a folder of other labels.

    Raises:
        UserError: if the source cannot be read, or has labels of none of the pictures.
    """
    key = f"{LABELS_KEY}={labels}"
    files = open_source(labels, LABELS_KEY)
    tables = [file for file in files if file.name.endswith(".json")]
    texts = {str(PurePosixPath(file.name).with_suffix("")): file for file in files if file.name.endswith(".txt")}
    if tables and not texts:
        if len(tables) > 1:
            listed = ", ".join(file.name for file in tables[:3])
            raise UserError(f"{key}: holds {len(tables)} JSON files ({listed}); name one")
        return read_coco_labels(tables[0], key, pictures)
    by_stem = {PurePosixPath(name).name: file for name, file in texts.items()} | texts
    wanted = {PurePosixPath(name).stem for name in pictures}
    if not wanted & {PurePosixPath(name).name for name in texts}:
        example = PurePosixPath(pictures[0]).stem
        raise UserError(f"{key}: has labels of none of the {len(pictures)} pictures; expected {example}.txt and others")
    paths = [PurePosixPath(name) for name in pictures]
    missing = sum(str(path.with_suffix("")) not in by_stem and path.stem not in by_stem for path in paths)
    if missing:
        warn(f"{key}: {missing} of {len(paths)} pictures have no label file, and count as showing none of the classes")
    return YoloLabels(key, by_stem)
