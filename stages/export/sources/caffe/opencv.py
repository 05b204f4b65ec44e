"""OpenCV's own reader of Caffe networks: what a network that was read here is compared with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.base.errors import one_line

__all__ = ["opencv_outputs"]


@contextmanager
def _silent() -> Iterator[None]:
    """Switch OpenCV's log off: what it says belongs into one line."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def opencv_outputs(
    files: Sequence[bytes], feeds: Mapping[str, NDArray[np.float32]], layers: Sequence[tuple[str, int]]
) -> list[NDArray[np.float32]] | str:
    """Run a network in OpenCV.

    Args:
        files: the prototxt and the caffemodel.
        feeds: input -> value.
        layers: whose outputs to give: a layer's name and the number of its output.

    Returns:
        An array each, or why OpenCV cannot run the network.
    """
    try:
        with _silent():
            net = cv2.dnn.readNetFromCaffe(*(np.frombuffer(content, np.uint8) for content in files))
            net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
            net.enableFusion(False)
            net.enableWinograd(False)
            for name, value in feeds.items():
                net.setInput(value, name)
            names = list(dict.fromkeys(name for name, _ in layers))
            outputs = dict(zip(names, net.forwardAndRetrieve(names), strict=True))
            return [np.array(outputs[name][index]) for name, index in layers]
    except (cv2.error, IndexError, ValueError, KeyError) as error:
        return one_line(error)
