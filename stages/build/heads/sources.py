"""Writes the C++ of a head's decoding: `detector.h`, the same for every head, and the tables `head.h`."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np

from stages.build.heads.board_head import BoardHead
from stages.core.base.artifacts import write_text
from stages.core.config.schema import DetectorConfig
from stages.core.heads.detector import MOST_DETECTIONS
from stages.core.heads.families.distances import DistanceHead
from stages.core.heads.families.priors import PriorHead
from stages.core.heads.head import Head, Kind, Level

__all__ = ["HEAD_SOURCES", "write_head"]

DECODING = Path(__file__).parent / "src" / "detector.h"
TABLES = "head.h"
HEAD_SOURCES = (DECODING.name, TABLES)
"""The files that are written."""
VIEWED = (Kind.boxes, Kind.sizes, Kind.objectness, Kind.classes, Kind.keypoints)
"""In the order of the C++ level; coefficients of masks are not decoded on the board."""


def write_head(folder: Path, board: BoardHead, detector: DetectorConfig) -> None:
    """Write both headers into a folder that is there.

    Args:
        folder: of a program that includes `detector.h`.
        board: the head.
        detector: `model.detector`, for its thresholds.
    """
    head = board.head
    distances = head if isinstance(head, DistanceHead) else DistanceHead(head.height, head.width, head.levels)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("stages.build.heads", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"bool": _c_bool, "float": _c_float}
    text = environment.get_template(f"{TABLES}.j2").render(
        head=head,
        levels=[_c_level(board, level) for level in head.levels],
        output_sizes=_c_list(board.sizes),
        logits=board.logits,
        bins=distances.bins,
        point=distances.point,
        in_pixels=distances.in_pixels,
        keypoint_gain=distances.keypoint_gain,
        keypoint_size=_keypoint_size(head),
        detector=detector,
        max_detections=MOST_DETECTIONS,
    )
    write_text(folder / TABLES, text)
    shutil.copyfile(DECODING, folder / DECODING.name)


def _keypoint_size(head: Head) -> int:
    """Values of a key point, x, y and perhaps how visible it is; 2 where there is none."""
    view = head.levels[0].views.get(Kind.keypoints)
    return view.count // head.keypoint_count if view else 2


# --- values in C++ syntax ---


def _c_bool(value: bool) -> str:
    return "true" if value else "false"


def _c_float(value: float) -> str:
    """The shortest literal of the nearest float32."""
    return f"{np.float32(value)}f"


def _c_list(values: Sequence[object]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def _c_level(board: BoardHead, level: Level) -> str:
    head = board.head
    even = isinstance(head, PriorHead) and head.even
    cell = (head.width / level.columns, head.height / level.rows) if even else (level.stride, level.stride)
    anchors = _c_list([_c_list(list(map(_c_float, anchor))) for anchor in level.anchors])
    views = [_c_view(board, level, kind) for kind in VIEWED]
    return _c_list([level.rows, level.columns, *map(_c_float, cell), anchors, *views])


def _c_view(board: BoardHead, level: Level, kind: Kind) -> str:
    view = level.views.get(kind)
    if view is None:
        return _c_list([0] * 5)
    place = board.places[view.tensor]
    return _c_list([place.output, place.first + view.first, place.channels, view.step, view.count])
