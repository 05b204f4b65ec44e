"""Weight scales that a SOC's requantization does justice: it multiplies only by what its integers can express."""

import numpy as np
from numpy.typing import NDArray

from stages.core.config.schema import Requantization
from stages.core.integer.rules import SHIFT_LIMIT, Scale, multiplier_shift_parameters

__all__ = ["aligned_scales"]


def aligned_scales(
    scales: NDArray[np.float32], taken: Scale, made: Scale, rule: Requantization, limits: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """Move weight scales to where `taken * scale / made` is exactly a gain that the rule has.

    The `nna` rule divides by a whole number, 38 to 688 in production networks: rounding that alone would stretch a
    channel by up to 1 %, far more at few bits. So the scale moves, and the weights are rounded at the new one.

    Args:
        scales: float32 [channels] or [1], as a weight method chose them.
        taken: scale of the layer's input, one or as each output channel has it.
        made: scale of its output, one or one a channel.
        rule: the SOC's.
        limits: largest divisor of each channel under the `nna` rule (see `rules.nna_limits`), or one for all.

    Returns:
        Candidates of the same shape: the nearest gain below and the nearest above; one where the gains lie dense.
    """
    effective_scales = taken * scales.astype(np.float64) / made
    if rule is Requantization.nna:
        found = [4.0 / np.clip(toward(4.0 / effective_scales), 1, limits) for toward in (np.floor, np.ceil)]
    elif rule is Requantization.shift:
        found = [2.0 ** -np.clip(toward(-np.log2(effective_scales)), 1, SHIFT_LIMIT) for toward in (np.floor, np.ceil)]
    else:
        multiplier, shift = multiplier_shift_parameters(effective_scales)
        found = [np.where(multiplier > 0, multiplier / 2.0**shift, effective_scales)]
    return [(effective_scale * made / taken).astype(np.float32) for effective_scale in found]
