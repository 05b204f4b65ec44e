"""A user's own decoding of NudeNet's boxes in cells; copied into the project, so it imports none of its modules."""

import numpy as np
from numpy.typing import NDArray

SIZE = 320
STRIDES = (8, 16, 32)

Floats = NDArray[np.float32]


def decode(outputs: dict[str, Floats]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Corners in pixels, scores and classes of each column's best class, without suppression.

    Args:
        outputs: one, [1, 4 + classes, cells]: centre and size in cells, then scores; the finest grid first.
    """
    columns = next(iter(outputs.values()))[0]
    strides = np.concatenate([np.full((SIZE // stride) ** 2, stride, np.float32) for stride in STRIDES])
    centres, sizes, scores = columns[:2] * strides, columns[2:4] * strides, columns[4:]
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2])
    return corners.T, scores.max(axis=0), scores.argmax(axis=0)
