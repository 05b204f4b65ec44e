"""Debug pictures with the boxes of both networks, as JPEG text for a page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.compare.gather.observed_boxes import PictureBoxes
from stages.core.config.schema import Color
from stages.core.heads.box_counts import MARGIN
from stages.core.heads.detections import Detections
from stages.core.heads.matching import match
from stages.core.render.page import BLUE, ORANGE, RED

__all__ = ["ShownPicture", "box_sheet", "jpeg_bytes", "side_picture"]

MOST_PIXELS = 400
"""Longest side of a picture on the page."""
QUALITY = 75
SHEET_PAIRS = 2
"""Pairs of pictures in a row of the sheet."""
SHEET_GAP = 6
MOST_LABELS = 15
"""Boxes of a picture that are all labelled; of more only those that one network lacks, or labels hide the picture."""
SMALL_SIDE = 28.0
"""Boxes with a shorter side on the page have thin lines."""
DASH, DOT = (11.0, 7.0), (2.0, 6.0)
"""Length of a line's parts and of the gaps between them."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class ShownPicture:
    """A debug picture that the report shows.

    Attributes:
        pixels: uint8 [H, W, C], as the network sees it.
        color: the order of its channels.
        boxes: of both networks.
    """

    pixels: Picture
    color: Color
    boxes: PictureBoxes


def side_picture(shown: ShownPicture, quantized: bool) -> str:
    """Draw the boxes of one network, those that the other one lacks dashed or dotted.

    Args:
        shown: the picture.
        quantized: draw the quantized network's boxes; otherwise the float one's.

    Returns:
        A data URI.
    """
    return _data_uri(_drawn(shown, quantized))


def box_sheet(shown: Sequence[ShownPicture]) -> str:
    """Draw all pictures in one, float beside quantized; a data URI."""
    pairs = [_beside([_drawn(picture, False), _drawn(picture, True)]) for picture in shown]
    rows = [_beside(pairs[first : first + SHEET_PAIRS]) for first in range(0, len(pairs), SHEET_PAIRS)]
    width = max(row.shape[1] for row in rows)
    return _data_uri(np.vstack([_padded(row, row.shape[0] + SHEET_GAP, width) for row in rows]))


def _beside(pictures: Sequence[Picture]) -> Picture:
    """Pictures from left to right, with a gap after each."""
    height = max(picture.shape[0] for picture in pictures)
    return np.hstack([_padded(picture, height, picture.shape[1] + SHEET_GAP) for picture in pictures])


def _padded(picture: Picture, height: int, width: int) -> Picture:
    canvas = np.full((height, width, 3), 255, np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def jpeg_bytes(data_uri: str) -> bytes:
    """The file behind a data URI."""
    return base64.b64decode(data_uri.partition(",")[2])


def _data_uri(picture: Picture) -> str:
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"


def _drawn(shown: ShownPicture, quantized: bool) -> Picture:
    """uint8 BGR [h, w, 3]: the part of the input that shows the picture, with boxes."""
    picture, (left, top) = _content(shown)
    ratio = min(MOST_PIXELS / max(picture.shape[:2]), 1.0)
    size = max(round(picture.shape[1] * ratio), 1), max(round(picture.shape[0] * ratio), 1)
    canvas = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    boxes, alone = _side(shown.boxes, quantized)
    for index in range(len(boxes))[::-1]:  # the best last, on top
        corners = (boxes.boxes[index] - np.array([left, top] * 2)) * ratio
        faint = boxes.scores[index] < np.float32(shown.boxes.threshold)
        _draw_box(canvas, corners, (ORANGE if quantized else RED) if index in alone else BLUE, faint, quantized)
        if index in alone or len(boxes) <= MOST_LABELS:
            _label(canvas, corners, f"{boxes.classes[index]} {_score(boxes.scores[index], faint)}")
    return canvas


def _score(score: np.float32, faint: bool) -> str:
    """Two digits, which of a score below the threshold do not round up to it."""
    return f"{np.floor(score * 100) / 100 if faint else score:.2f}"


def _content(shown: ShownPicture) -> tuple[Picture, tuple[int, int]]:
    """BGR pixels without letterbox borders, and where they begin in the input (x, y)."""
    pixels = shown.pixels
    if shown.color is Color.GRAY:
        pixels = np.repeat(pixels, 3, axis=2)
    elif shown.color is Color.RGB:
        pixels = pixels[:, :, ::-1]
    placement = shown.boxes.placement
    if placement is None:
        return np.ascontiguousarray(pixels), (0, 0)
    left, top = max(placement.left, 0), max(placement.top, 0)
    inside = pixels[top : top + placement.scaled[0], left : left + placement.scaled[1]]
    return np.ascontiguousarray(inside), (left, top)


def _side(boxes: PictureBoxes, quantized: bool) -> tuple[Detections, set[int]]:
    """The boxes to draw of a network, and which of them the other one does not have.

    A faint box is drawn where the other network shows it.
    """
    own, other = (boxes.quantized, boxes.shown[0]) if quantized else (boxes.reference, boxes.shown[1])
    fainter = own.above(MARGIN * boxes.threshold)
    pairs = match(other, fainter).pairs if quantized else match(fainter, other).pairs[:, ::-1]
    drawn = fainter.scores >= np.float32(boxes.threshold)
    drawn[pairs[:, 1]] = True
    alone = boxes.invented if quantized else boxes.lost  # shown boxes come first
    return fainter.select(np.flatnonzero(drawn)), set(alone.tolist())


def _draw_box(canvas: Picture, corners: NDArray[np.float32], colour: str, faint: bool, dotted: bool) -> None:
    """A rectangle on a light one, so that it shows on any picture: solid, dashed or dotted."""
    x0, y0, x1, y1 = (float(value) for value in np.clip(corners, -10.0, 10.0 * MOST_PIXELS))
    ends = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    small = min(x1 - x0, y1 - y0) < SMALL_SIDE
    width, bgr = 1 if faint or small else 2, tuple(int(colour[at : at + 2], 16) for at in (5, 3, 1))
    cv2.polylines(canvas, [ends.round().astype(np.int32)], False, (255, 255, 255), width + 2)
    if colour == BLUE:
        cv2.polylines(canvas, [ends.round().astype(np.int32)], False, bgr, width)
        return
    on, off = DOT if dotted else DASH
    for start, stop in pairwise(ends):
        length = float(np.hypot(*(stop - start)))
        for at in np.arange(0.0, length, on + off):
            first, last = (start + (stop - start) * min(end, length) / max(length, 1e-6) for end in (at, at + on))
            cv2.line(canvas, _point(first), _point(last), bgr, width + 1)


def _label(canvas: Picture, corners: NDArray[np.float32], text: str) -> None:
    """Class and score at the box's upper left corner, inside of the picture."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)
    x = int(np.clip(corners[0], 0, max(canvas.shape[1] - width - 2, 0)))
    y = int(np.clip(corners[1], height + 3, canvas.shape[0] - 2))
    cv2.rectangle(canvas, (x, y - height - 3), (x + width + 2, y + 2), (255, 255, 255), -1)
    cv2.putText(canvas, text, (x + 1, y - 1), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 35, 31), 1, cv2.LINE_AA)


def _point(place: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))
