"""A user's own decoding of YOLOX's boxes in cells: copied into the project's folder, so it imports no other module."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIZE = 416
STRIDES = (8, 16, 32)


def decode(outputs: dict[str, Floats]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Boxes, scores and classes of the best class of each row, without suppression."""
    rows = next(iter(outputs.values()))[0]
    strides = np.concatenate([np.full(((SIZE // stride) ** 2, 1), stride, np.float32) for stride in STRIDES])
    centres, sizes = rows[:, :2] * strides, rows[:, 2:4] * strides
    scores = rows[:, 4:5] * rows[:, 5:]
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), scores.max(axis=1), scores.argmax(axis=1)
