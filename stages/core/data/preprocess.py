"""From a picture file to the pixels that a network's input sees."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import UserError, one_line
from stages.core.base.sources import SourceFile
from stages.core.config.schema import Anchor, Color, Fit, Interpolation, PreprocessConfig
from stages.core.data.inputs import NetworkInput

__all__ = ["PICTURE_SUFFIXES", "Picture", "Placement", "decode", "fit", "place", "read_picture", "to_color"]

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2"}
OPENCV_INTERPOLATION = {
    Interpolation.nearest: cv2.INTER_NEAREST,
    Interpolation.linear: cv2.INTER_LINEAR,
    Interpolation.area: cv2.INTER_AREA,
    Interpolation.cubic: cv2.INTER_CUBIC,
}


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the network's input, in pixels: x of the input = x of the picture * ratio + left.

    Attributes:
        picture: height and width of the picture.
        scaled: height and width that it is resized to.
        top: line of the input where the resized picture begins; negative where it is cut.
        left: column of the input where it begins.
    """

    picture: tuple[int, int]
    scaled: tuple[int, int]
    top: int
    left: int

    def to_picture(self, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
        """Bring boxes, [N, 4], x0, y0, x1, y1 in pixels of the input, to pixels of the picture."""
        (height, width), (scaled_height, scaled_width) = self.picture, self.scaled
        ratios = np.array([width / scaled_width, height / scaled_height] * 2)
        scaled: NDArray[np.float64] = (boxes.astype(np.float64) - np.array([self.left, self.top] * 2)) * ratios
        return scaled


@dataclass(frozen=True)
class Picture:
    """One picture, ready for the network.

    Attributes:
        sample: uint8 [H, W, C], size and colour of the network's input.
        content: the part of `sample` that shows the picture: without letterbox borders.
        placement: of the picture in the sample.
    """

    sample: NDArray[np.uint8]
    content: NDArray[np.uint8]
    placement: Placement


def read_picture(file: SourceFile, network_input: NetworkInput, preprocess: PreprocessConfig, key: str) -> Picture:
    """Decode and fit a picture; `key` says what it belongs to, for messages.

    Raises:
        UserError: for a file that cannot be decoded, naming it, or a `shorter_side` smaller than the cut.
    """
    least = min(network_input.height, network_input.width)
    if preprocess.fit is Fit.crop and 0 < preprocess.shorter_side < least:
        raise UserError(f"model.preprocess.shorter_side={preprocess.shorter_side}: the input needs {least} or more")
    picture = decode(file, key)
    size = network_input.height, network_input.width
    sample, content = fit(picture, *size, preprocess)
    placement = place(picture.shape[0], picture.shape[1], *size, preprocess)
    return Picture(to_color(sample, network_input.color), content, placement)


def decode(file: SourceFile, key: str) -> NDArray[np.uint8]:
    """Decode a picture with OpenCV to uint8 BGR [H, W, 3].

    Raises:
        UserError: if it is empty, truncated or not a picture.
    """
    try:
        data = np.frombuffer(file.read(), dtype=np.uint8)
    except OSError as error:  # for instance a link to nowhere
        raise UserError(f"{key}: {file.name} cannot be read: {one_line(error)}") from error
    with _quiet_decoders():
        try:
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        except cv2.error:  # for instance a size beyond OpenCV's limit
            picture = None
    if picture is None:
        raise UserError(f"{key}: {file.name} cannot be read as a picture (corrupt or truncated?): mend or remove it")
    return picture.astype(np.uint8, copy=False)


def fit(
    picture: NDArray[np.uint8], height: int, width: int, config: PreprocessConfig
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Bring a picture to the input's size.

    Args:
        picture: uint8 [h, w, 3].
        height: input height.
        width: input width.
        config: how.

    Returns:
        The sample [height, width, 3] and the part of it that is not border.
    """
    placement = place(picture.shape[0], picture.shape[1], height, width, config)
    scaled = _resize(picture, *placement.scaled, config)
    if config.fit is not Fit.letterbox:
        top, left = -placement.top, -placement.left
        sample = scaled[top : top + height, left : left + width]
        return sample, sample
    inner_height, inner_width = placement.scaled
    sample = np.full((height, width, 3), config.pad, dtype=np.uint8)
    sample[placement.top : placement.top + inner_height, placement.left : placement.left + inner_width] = scaled
    return sample, scaled


def place(h: int, w: int, height: int, width: int, config: PreprocessConfig) -> Placement:
    """Work out where a picture of h x w pixels lies in an input of height x width."""
    if config.fit is Fit.stretch:
        return Placement((h, w), (height, width), 0, 0)
    if config.fit is Fit.crop:
        side = config.shorter_side or max(height, width)
        scale = max(side / min(h, w), height / h, width / w)  # never smaller than the cut
        scaled = max(height, round(h * scale)), max(width, round(w * scale))
        return Placement((h, w), scaled, -((scaled[0] - height) // 2), -((scaled[1] - width) // 2))
    scale = min(height / h, width / w)
    scaled = max(1, round(h * scale)), max(1, round(w * scale))
    centered = config.anchor is Anchor.center
    top = (height - scaled[0]) // 2 if centered else 0
    left = (width - scaled[1]) // 2 if centered else 0
    return Placement((h, w), scaled, top, left)


def _resize(picture: NDArray[np.uint8], height: int, width: int, config: PreprocessConfig) -> NDArray[np.uint8]:
    resized = cv2.resize(picture, (width, height), interpolation=OPENCV_INTERPOLATION[config.interpolation])
    return resized.astype(np.uint8, copy=False)


def to_color(picture: NDArray[np.uint8], color: Color) -> NDArray[np.uint8]:
    """Turn BGR [H, W, 3] into the input's colour: [H, W, 3], or [H, W, 1] for GRAY."""
    if color is Color.RGB:
        return np.ascontiguousarray(picture[:, :, ::-1])
    if color is Color.GRAY:
        return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[:, :, np.newaxis].astype(np.uint8, copy=False)
    return picture


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Hold back what libjpeg and libpng write to file descriptor 2: the caller says it in one line."""
    with tempfile.TemporaryFile() as sink:
        kept = os.dup(2)
        try:
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
