"""Networks that answer with a picture: denoised, enlarged, relit. In the right range it is near what they are fed."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = ["likeness", "picture_output"]

Floats = NDArray[np.float32]


def picture_output(fed: Sequence[int], outputs: Mapping[str, Sequence[int | str]]) -> str | None:
    """Name the output that may be a picture: the only one, of the input's channels and as many times as high as wide.

    Args:
        fed: the shape of the input, NCHW.
        outputs: name -> shape.
    """
    if len(outputs) != 1:
        return None
    ((name, shape),) = outputs.items()
    if len(shape) != PICTURE_RANK or shape[1] != fed[1]:
        return None
    height, width = int(shape[2]), int(shape[3])
    return name if height * fed[3] == width * fed[2] and height >= fed[2] else None


def likeness(fed: Floats, answered: Floats) -> float:
    """How much of a picture's variance its answer explains: 1 - mean squared difference / variance, at least 0.

    Args:
        fed: what the network is fed, [1, C, H, W].
        answered: its output, [1, C, kH, kW]; the picture is enlarged to its size.
    """
    size = answered.shape[3], answered.shape[2]
    expected = np.stack([cv2.resize(channel, size, interpolation=cv2.INTER_CUBIC) for channel in fed[0]])
    variance = float(expected.var(dtype=np.float64))
    error = float(np.mean((answered[0].astype(np.float64) - expected) ** 2))
    return max(1.0 - error / variance, 0.0) if variance and np.isfinite(error) else 0.0
