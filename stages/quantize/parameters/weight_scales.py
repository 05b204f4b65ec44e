"""Choosing a weight's scales, and its codes."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from stages.core.config.schema import WeightMethod
from stages.quantize.parameters.scales import SMALLEST_WEIGHT_SCALE, fit_scales

__all__ = ["broadcast_shape", "dequantized", "squared_errors", "weight_codes", "weight_qmax", "weight_scales"]

COARSE_CANDIDATES = 128
"""First candidate scales of MSE, equally spaced from MAX_ABS's scale downwards."""
FINE_PARTS = 16
"""Into how many parts the distance of two coarse candidates is cut, for the candidates around the best of them."""
ADMM_STARTS = 16
"""Scales that ADMM starts from, equally spaced as well."""
ADMM_SIFTING_ROUNDS, ADMM_FINAL_ROUNDS = 5, 50
"""Rounds of ADMM from all starts, and from the best of them."""


def weight_scales(
    weight: NDArray[np.float32], bits: int, axis: int | None, method: WeightMethod
) -> NDArray[np.float32]:
    """Choose the scales of a weight's symmetric codes.

    MAX_ABS gives the largest magnitude the largest code. MSE takes the clip of least squared error, which for few
    bits or an outlier among many values lies far below. ADMM fits scale and codes in turns (see `fit_scales`). Neither
    is ever worse than MAX_ABS in squared error.

    Args:
        weight: float32, any shape.
        bits: bit width of a signed code, 2 or more.
        axis: output-channel axis for one scale a channel; None for one scale.
        method: how to choose.

    Returns:
        float32 [channels] or [1], none below SMALLEST_WEIGHT_SCALE.
    """
    rows, qmax = _rows(weight, axis), weight_qmax(bits)
    widest = _live(np.abs(rows).max(axis=1, keepdims=True) / np.float32(qmax))
    if method is WeightMethod.MSE:
        shares = np.arange(COARSE_CANDIDATES, 0, -1) / COARSE_CANDIDATES
        coarse = _best(rows, _live(widest * shares), qmax)
        around = np.arange(1 - FINE_PARTS, FINE_PARTS) / (FINE_PARTS * COARSE_CANDIDATES)
        return _best(rows, _live(np.hstack([coarse, coarse + widest * around])), qmax)[:, 0]
    if method is WeightMethod.ADMM:
        starts = _live(widest * (np.arange(ADMM_STARTS, 0, -1) / ADMM_STARTS))
        sifted = _best(rows, _fitted(rows, starts, qmax, ADMM_SIFTING_ROUNDS), qmax)
        return _best(rows, np.hstack([widest, _fitted(rows, sifted, qmax, ADMM_FINAL_ROUNDS)]), qmax)[:, 0]
    return widest[:, 0]


def weight_codes(
    weight: NDArray[np.float32], scales: NDArray[np.float32], bits: int, axis: int | None
) -> NDArray[np.int32]:
    """Quantize a weight symmetrically, rounding to the nearest (of two equally near, to the even code).

    Args:
        weight: float32, any shape.
        scales: float32 [channels], or [1] where `axis` is None.
        bits: bit width of a signed code; the lowest code stays unused, so that codes are symmetric.
        axis: output-channel axis of the scales.

    Returns:
        int32 codes in the weight's shape, within +-(2**(bits-1) - 1).
    """
    codes = weight / scales.astype(np.float64).reshape(broadcast_shape(weight.ndim, axis))
    np.rint(codes, out=codes)
    return np.clip(codes, -weight_qmax(bits), weight_qmax(bits), out=codes).astype(np.int32)


def dequantized(codes: NDArray[np.int32], scales: Sequence[float], axis: int | None) -> NDArray[np.float32]:
    """Give the real values of a weight's codes: one float32 product each, as DequantizeLinear has it.

    Args:
        codes: any shape.
        scales: float32 values, one a channel, or one where `axis` is None.
        axis: output-channel axis of the scales.
    """
    scale: NDArray[np.float32] = np.asarray(scales, dtype=np.float32).reshape(broadcast_shape(codes.ndim, axis))
    values: NDArray[np.float32] = codes.astype(np.float32) * scale
    return values


def broadcast_shape(rank: int, axis: int | None) -> list[int]:
    """The shape in which scales of an axis broadcast against an array of `rank` dimensions."""
    return [-1 if index == axis else 1 for index in range(rank)]


def squared_errors(
    weight: NDArray[np.float32], scales: NDArray[np.float32], bits: int, axis: int | None
) -> NDArray[np.float64]:
    """Give the squared error of each channel quantized at a scale (arguments as for `weight_codes`).

    Returns:
        float64 [channels] or [1]: sum of (weight - code * scale)**2.
    """
    errors: NDArray[np.float64] = _errors(_rows(weight, axis), scales.reshape(-1, 1), weight_qmax(bits))
    return errors[:, 0]


def weight_qmax(bits: int) -> int:
    """The largest of a weight's symmetric codes."""
    return int(2 ** (bits - 1) - 1)


def _rows(weight: NDArray[np.float32], axis: int | None) -> NDArray[np.float32]:
    """Give the weight as [channels, values], or [1, values]."""
    if axis is None:
        return np.ascontiguousarray(weight).reshape(1, -1)
    return np.ascontiguousarray(np.moveaxis(weight, axis, 0)).reshape(weight.shape[axis], -1)


def _live(scales: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales of float32, none below the smallest."""
    lifted: NDArray[np.floating] = np.maximum(scales, SMALLEST_WEIGHT_SCALE)
    return lifted.astype(np.float32)


def _best(rows: NDArray[np.float32], candidates: NDArray[np.float32], qmax: int) -> NDArray[np.float32]:
    """The scale of least squared error of each channel: [channels, 1], from [channels, candidates]."""
    chosen = _errors(rows, candidates, qmax).argmin(axis=1, keepdims=True)
    return np.take_along_axis(candidates, chosen, axis=1)


def _fitted(rows: NDArray[np.float32], starts: NDArray[np.float32], qmax: int, rounds: int) -> NDArray[np.float32]:
    """Fit the scales of each channel: [channels, starts]."""
    ends = np.full(starts.shape[1], float(qmax))
    return _live(fit_scales(rows, np.ones_like(rows), starts, -ends, ends, rounds))


@numba.njit(cache=True, nogil=True)
def _errors(rows: NDArray[np.float32], scales: NDArray[np.float32], qmax: int) -> NDArray[np.float64]:
    """Squared errors [channels, candidates] of rows [channels, values] at scales [channels, candidates]."""
    errors = np.zeros(scales.shape)
    highest = np.float64(qmax)
    for row in range(rows.shape[0]):
        candidates = scales[row].astype(np.float64)
        inverse = 1.0 / candidates
        total = np.zeros(candidates.size)
        for i in range(rows.shape[1]):
            value = abs(np.float64(rows[row, i]))
            for k in range(candidates.size):  # innermost, so that it vectorizes with every sum in a fixed order
                code = np.rint(value * inverse[k])
                code = highest if code > highest else code
                error = value - code * candidates[k]
                total[k] += error * error
        errors[row] = total
    return errors
