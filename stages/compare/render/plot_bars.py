"""Bars of plots that may have thousands of them."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

__all__ = ["draw_bars"]


def draw_bars(axes: Axes, positions: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str) -> None:
    """Bars as one path, with gaps while there is room for them; as pixels, since there may be thousands."""
    positions, low, high = np.asarray(positions), np.asarray(low), np.asarray(high)
    half = 0.38 if len(positions) <= 100 else 0.5
    corners = np.stack([positions - half, positions - half, positions + half, positions + half], 1).reshape(-1)
    tops = np.stack([low, high, high, low], 1).reshape(-1)
    axes.fill_between(corners, np.repeat(low, 4), tops, color=colour, alpha=0.75, linewidth=0, rasterized=True)
