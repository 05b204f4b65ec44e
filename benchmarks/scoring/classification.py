"""A classifier's accuracy: how many pictures it gets right."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError

__all__ = ["best_classes", "top1"]


def top1(outputs: NDArray[np.float32], pictures: Sequence[Path], data: Path) -> dict[str, Any]:
    """Count the pictures whose best class is that of DIR/imagenet_sample/labels.csv (columns file and index).

    Args:
        outputs: scores [pictures, classes].
        pictures: the files, in the order of the outputs.
        data: DIR.

    Raises:
        UserError: if the table is missing, or a picture in it.
    """
    table = data / "imagenet_sample" / "labels.csv"
    try:
        with table.open(encoding="utf-8", newline="") as file:
            labels = {row["file"]: int(row["index"]) for row in csv.DictReader(file)}
        expected = np.array([labels[picture.name] for picture in pictures])
    except FileNotFoundError:
        raise UserError(f"{table} is missing: it says which class each picture shows") from None
    except KeyError as error:
        raise UserError(f"{table} has no {error}: it needs the columns file and index, and every picture") from error
    return {"top1": int(np.count_nonzero(best_classes(outputs) == expected))}


def best_classes(outputs: NDArray[np.float32]) -> NDArray[np.intp]:
    """The class of the highest score a picture; of equal scores the lower index.

    Args:
        outputs: scores [pictures, classes].
    """
    best: NDArray[np.intp] = np.argmax(outputs.reshape(len(outputs), -1), axis=1)
    return best
