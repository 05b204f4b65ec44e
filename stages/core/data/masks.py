"""Masks as run-length codes: of polygons, of COCO's segmentations, and of a window of a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

__all__ = ["FARTHEST", "MaskCode", "area", "mask_of_polygons", "mask_of_segmentation", "mask_of_window"]

MaskCode = dict[str, Any]
"""pycocotools' compressed run-length code: `size`, height and width, and `counts`, bytes; column by column."""
FARTHEST = 10.0
"""How far outside the picture a point may lie, in parts of the picture: farther ones are another unit's."""
LEAST_NUMBERS = 6
"""Of a polygon: x and y of three points. pycocotools would take four numbers for a box."""


def area(code: MaskCode) -> float:
    """Pixels of a mask."""
    return float(mask.area(code))


def mask_of_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> MaskCode:
    """Fill polygons as COCO does; the parts of an object are one mask.

    Args:
        polygons: each x, y, x, y, ... in pixels, three points or more.
        height: of the picture in pixels.
        width: of the picture in pixels.
    """
    code: MaskCode = mask.merge(mask.frPyObjects([list(polygon) for polygon in polygons], height, width))
    return code


def mask_of_segmentation(segmentation: Any, height: int, width: int) -> MaskCode | None:
    """Read an object's `segmentation` as COCO's JSON has it.

    Args:
        segmentation: polygons, or a run-length code whose `counts` are numbers or a text.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Returns:
        None where there is none: nothing, or no polygon of three points.

    Raises:
        ValueError: if it is no segmentation, or one of a picture of another size; the text says why.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _checked_code(segmentation, height, width)
    if not isinstance(segmentation, list) or not all(isinstance(polygon, list) for polygon in segmentation):
        raise ValueError("`segmentation` is neither a list of polygons, each a list x, y, x, y, ..., nor a code")
    polygons = [polygon for polygon in segmentation if len(polygon) >= LEAST_NUMBERS]
    for polygon in polygons:
        if len(polygon) % 2 or not np.all(np.abs(np.array(polygon, np.float64)) < FARTHEST * max(height, width)):
            raise ValueError(f"the polygon {str(polygon)[:40]}... is not x, y, x, y, ... in pixels of the picture")
    return mask_of_polygons(polygons, height, width) if polygons else None


def mask_of_window(window: NDArray[np.bool_], top: int, left: int, height: int, width: int) -> MaskCode:
    """Encode a mask that is empty outside a window of the picture; it costs what the window has, not the picture.

    Args:
        window: [h, w].
        top: line of the picture where the window begins.
        left: column of the picture where it begins.
        height: of the picture in pixels.
        width: of the picture in pixels.
    """
    framed = np.zeros((window.shape[1], window.shape[0] + 2), np.int8)
    framed[:, 1:-1] = window.T
    steps = np.diff(framed, axis=1)
    starts, ends = (_positions(steps == sign, top, left, height) for sign in (1, -1))
    # a run that ends at the foot of a column goes on at the head of the next one
    joined = starts[1:] == ends[:-1]
    starts = starts[np.concatenate([[True], ~joined])] if len(starts) else starts
    ends = ends[np.concatenate([~joined, [True]])] if len(ends) else ends
    changes = np.stack([starts, ends], axis=1).ravel()
    whole = height * width
    rest = [] if len(ends) and ends[-1] == whole else [whole]
    counts = np.diff(np.concatenate([[0], changes, rest])).astype(int).tolist()
    code: MaskCode = mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return code


def _positions(changes: NDArray[np.bool_], top: int, left: int, height: int) -> NDArray[np.int64]:
    """Where in the picture, column by column, the changes of a window [w, h + 1] are."""
    columns, lines = np.nonzero(changes)
    positions: NDArray[np.int64] = (columns + left) * height + lines + top
    return positions


def _checked_code(code: MaskCode, height: int, width: int) -> MaskCode:
    """A run-length code with compressed counts.

    Raises:
        ValueError: if it does not fill the picture.
    """
    size, counts = code.get("size"), code.get("counts")
    if size != [height, width]:
        raise ValueError(f"a mask's `size` is {size}, height and width of the picture are [{height}, {width}]")
    if isinstance(counts, list):
        if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != height * width:
            raise ValueError(f"the `counts` of a mask do not add up to the {height * width} pixels of the picture")
        compressed: MaskCode = mask.frPyObjects(code, height, width)
        return compressed
    if not isinstance(counts, str):
        raise ValueError("the `counts` of a mask are neither numbers nor a text")
    compressed = {"size": [height, width], "counts": counts.encode()}
    if area(compressed) > height * width:
        raise ValueError("the `counts` of a mask are damaged: it has more pixels than the picture")
    return compressed
