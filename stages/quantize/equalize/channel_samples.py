"""Quantiles of each channel's values, from a few pictures."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.session import Runner, with_outputs

__all__ = ["channel_quantiles"]

Array = NDArray[np.float32]

POSITIONS = 256
"""Of a picture."""
QUANTILES = 24


def channel_quantiles(
    model: onnx.ModelProto, tensors: Sequence[str], feeds: Iterable[Mapping[str, Array]]
) -> dict[str, Array]:
    """Run the network, and describe each channel of some tensors by its quantiles, smallest and largest included.

    Args:
        model: the float network.
        tensors: [1, C, ...] each.
        feeds: its inputs on each picture.

    Returns:
        Tensor -> float32 [Q, C].
    """
    if not tensors:
        return {}
    runner, rng = Runner(with_outputs(model, tensors)), np.random.default_rng(0)
    found: dict[str, list[Array]] = {name: [] for name in tensors}
    for feed in feeds:
        values = runner.run(feed)
        for name in tensors:
            rows = values[name].reshape(values[name].shape[1], -1)
            count = min(POSITIONS, rows.shape[1])
            found[name].append(rows[:, rng.choice(rows.shape[1], count, replace=False)])
    levels = np.linspace(0.0, 1.0, QUANTILES)
    return {
        name: np.quantile(np.concatenate(parts, axis=1), levels, axis=1).astype(np.float32)
        for name, parts in found.items()
    }
