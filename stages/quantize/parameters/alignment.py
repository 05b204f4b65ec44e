"""Weight scales whose effective scales a SOC's requantization can express: it multiplies by what its integers allow."""

import numpy as np
from numpy.typing import NDArray

from stages.core.config.schema import Requantization
from stages.core.integer.rules import SHIFT_LIMIT, Scale, multiplier_shift_parameters

__all__ = ["MOST_CODE", "aligned_scales", "least_scale_of_short_biases", "short_bias_limit", "whole_shift_scales"]

CONVERTER_SHIFT_LIMIT = 31
MOST_CODE, BIAS_CODES, CUT_BIASES = 126, 2**15 - 1, 0.03
"""On BM1684: the largest code of a weight and of a bias, and the share of a layer's biases that may be beyond it."""


def aligned_scales(
    scales: NDArray[np.float32], x_scale: Scale, y_scale: Scale, rule: Requantization, limits: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """Move weight scales to where `x_scale * scale / y_scale` is exactly an effective scale that the rule has.

    The `nna` rule divides by a whole number, 38 to 688 in production networks: rounding that alone would stretch a
    channel by up to 1 %, far more at few bits. So the scale moves, and the weights are rounded at the new one.

    Args:
        scales: float32 [channels] or [1], as a weight method chose them.
        x_scale: scale of the layer's input, one or as each output channel has it.
        y_scale: scale of its output, one or one a channel.
        rule: the SOC's.
        limits: largest divisor of each channel under the `nna` rule (see `rules.nna_limits`), or one for all.

    Returns:
        Candidates of the same shape: the nearest effective scales below and above; one where they lie dense.
    """
    if rule is Requantization.sophgo_bm1684:  # the shift that the converter takes, where the largest code is below 127
        shift = np.clip(np.ceil(-np.log2(x_scale * scales.astype(np.float64) / y_scale)) - 1, 0, CONVERTER_SHIFT_LIMIT)
        return [(y_scale / (x_scale * 2.0**shift)).astype(np.float32)]
    if rule.is_converters:  # the converter chooses the scale anew, from the weights themselves
        return [scales]
    effective_scales = x_scale * scales.astype(np.float64) / y_scale
    if rule.is_nna:
        candidates = [4.0 / np.clip(toward(4.0 / effective_scales), 1, limits) for toward in (np.floor, np.ceil)]
    elif rule is Requantization.shift:
        exponents = -np.log2(effective_scales)
        candidates = [2.0 ** -np.clip(toward(exponents), 1, SHIFT_LIMIT) for toward in (np.floor, np.ceil)]
    else:
        multiplier, shift = multiplier_shift_parameters(effective_scales)
        candidates = [np.where(multiplier > 0, multiplier / 2.0**shift, effective_scales)]
    return [(candidate * y_scale / x_scale).astype(np.float32) for candidate in candidates]


def least_scale_of_short_biases(bias: NDArray[np.float32], x_scale: Scale) -> NDArray[np.float32]:
    """Give the weight scale below which BM1684's converter takes a smaller shift for the sake of the biases: [1]."""
    magnitudes = np.sort(np.abs(bias.astype(np.float64) / x_scale).reshape(-1))[::-1]
    within = magnitudes[int(CUT_BIASES * len(magnitudes))]
    return np.array([within / BIAS_CODES], dtype=np.float32)


def short_bias_limit(bias: NDArray[np.float32], step: float, largest_code: int) -> float:
    """Give the largest magnitude that BM1684's converter keeps of a layer's biases.

    It takes the largest shift at which the weights' codes and all but a few biases fit, so a layer whose codes are
    small has room for fewer bits of a bias.

    Args:
        bias: float32 [channels].
        step: scale of the layer's input times that of its weight.
        largest_code: of the weight.
    """
    limit = BIAS_CODES * step
    while 0 < largest_code <= MOST_CODE // 2 and np.mean(np.abs(bias) > limit / 2) <= CUT_BIASES:
        limit, largest_code = limit / 2, largest_code * 2
    return limit


def whole_shift_scales(scales: NDArray[np.float32], x_scale: Scale, y_scale: Scale) -> NDArray[np.float32]:
    """Move weight scales to the nearest at which a layer's effective scale is a power of two, 1 or less."""
    shift = np.clip(np.rint(-np.log2(x_scale * scales.astype(np.float64) / y_scale)), 0, CONVERTER_SHIFT_LIMIT)
    return np.asarray(y_scale / (x_scale * 2.0**shift), dtype=np.float32)
