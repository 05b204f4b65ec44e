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

__all__ = ["PICTURE_SUFFIXES", "Picture", "decode", "fit", "read_picture", "to_color"]

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2"}
OPENCV_INTERPOLATION = {
    Interpolation.nearest: cv2.INTER_NEAREST,
    Interpolation.linear: cv2.INTER_LINEAR,
    Interpolation.area: cv2.INTER_AREA,
    Interpolation.cubic: cv2.INTER_CUBIC,
}


@dataclass(frozen=True)
class Picture:
    """One picture, ready for the network.

    Attributes:
        sample: uint8 [H, W, C], size and colour of the network's input.
        content: the part of `sample` that shows the picture: without letterbox borders.
    """

    sample: NDArray[np.uint8]
    content: NDArray[np.uint8]


def read_picture(file: SourceFile, network_input: NetworkInput, preprocess: PreprocessConfig, key: str) -> Picture:
    """Decode and fit a picture; `key` says what it belongs to, for messages.

    Raises:
        UserError: for a file that cannot be decoded, naming it, or a `shorter_side` smaller than the cut.
    """
    least = min(network_input.height, network_input.width)
    if preprocess.fit is Fit.crop and 0 < preprocess.shorter_side < least:
        raise UserError(f"model.preprocess.shorter_side={preprocess.shorter_side}: the input needs {least} or more")
    picture = decode(file, key)
    sample, content = fit(picture, network_input.height, network_input.width, preprocess)
    return Picture(to_color(sample, network_input.color), content)


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
    h, w = picture.shape[:2]
    if config.fit is Fit.stretch:
        sample = _resize(picture, height, width, config)
        return sample, sample
    if config.fit is Fit.crop:
        side = config.shorter_side or max(height, width)
        scale = max(side / min(h, w), height / h, width / w)  # never smaller than the cut
        scaled = _resize(picture, max(height, round(h * scale)), max(width, round(w * scale)), config)
        top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
        sample = scaled[top : top + height, left : left + width]
        return sample, sample
    scale = min(height / h, width / w)
    scaled = _resize(picture, max(1, round(h * scale)), max(1, round(w * scale)), config)
    inner_height, inner_width = scaled.shape[:2]
    centered = config.anchor is Anchor.center
    top = (height - inner_height) // 2 if centered else 0
    left = (width - inner_width) // 2 if centered else 0
    sample = np.full((height, width, 3), config.pad, dtype=np.uint8)
    sample[top : top + inner_height, left : left + inner_width] = scaled
    return sample, scaled


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
