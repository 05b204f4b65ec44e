"""Units of equalized tensors: the quantized network's values times a factor a channel are the float network's."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Factors", "along_channels", "in_code_units", "in_float_units"]

Factors = Mapping[str, Sequence[float]]
"""Tensor that equalization scaled -> one factor a channel (axis 1)."""
Array = NDArray[np.float32]


def along_channels(factors: Sequence[float], rank: int) -> Array:
    """Factors, one a channel, as they broadcast against a tensor of that rank: float32 [C, 1, ...] for axis 1."""
    return np.asarray(factors, dtype=np.float32).reshape(-1, *[1] * (rank - 2))


def in_float_units(tensor: str, values: Array, factors: Factors) -> Array:
    """Values of the quantized network as the float network has them."""
    return values * along_channels(factors[tensor], values.ndim) if tensor in factors else values


def in_code_units(tensor: str, values: Array, factors: Factors) -> Array:
    """Values of the float network as the quantized network has them."""
    return values / along_channels(factors[tensor], values.ndim) if tensor in factors else values
