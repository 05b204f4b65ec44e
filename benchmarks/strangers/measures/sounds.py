"""Measures of networks that clean speech or tell its pitch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.stranger import Arrays, Measured
from stages.core.base.errors import UserError

__all__ = ["gain_kept", "pitches_changed"]

SAME_PITCH = 50.0
"""Cents: half a semitone."""
VOICED = 0.5

Spectrum = NDArray[np.complex64]
Sound = NDArray[Any]
"""Spectra, or samples over time."""
Enhance = Callable[[Sound, list[Arrays]], Sound]
LEAST_GAIN = 1.0
"""Decibels that the float network has to gain, or there is nothing to lose."""


def gain_kept(enhance: Enhance) -> Callable[[Measured], float]:
    """Share of the float network's gain in signal to noise that the quantized one has.

    The measure's truth is the noisy and the clean speech, as spectra [frames, bins] or over time.

    Args:
        enhance: makes the enhanced speech of the noisy speech and the outputs.

    Raises:
        UserError: if the float network gains too little.
    """

    def measure(measured: Measured) -> float:
        noisy, clean = measured.truth
        before = _decibels(clean, noisy)
        gains = [
            _decibels(clean, enhance(noisy, list(outputs))) - before for outputs in (measured.expected, measured.actual)
        ]
        if gains[0] < LEAST_GAIN:
            raise UserError(f"the float network gains {gains[0]:.2f} dB: {LEAST_GAIN:g} or more are needed to tell")
        return gains[1] / gains[0]

    return measure


def _decibels(clean: Sound, other: Sound) -> float:
    """Signal to noise of the clean speech in another one, the same scaled by any number."""
    flat, compared = clean.reshape(-1), other.reshape(-1)
    scale = np.vdot(flat, compared) / np.vdot(flat, flat)
    signal = scale * flat
    return float(10 * np.log10(np.sum(np.abs(signal) ** 2) / np.sum(np.abs(compared - signal) ** 2)))


def pitches_changed(measured: Measured) -> float:
    """Share of moments, of those that either network calls voiced, that the other does not, or at another pitch."""
    wrong = voiced = 0
    for (pitch, other_pitch), (sure, other_sure) in zip(measured.pairs(0), measured.pairs(1), strict=True):
        either = (sure >= VOICED) | (other_sure >= VOICED)
        both = (sure >= VOICED) & (other_sure >= VOICED)
        with np.errstate(divide="ignore", invalid="ignore"):
            cents = np.abs(1200 * np.log2(other_pitch / pitch))
        wrong += int((either & ~(both & (cents <= SAME_PITCH))).sum())
        voiced += int(either.sum())
    return wrong / max(voiced, 1)
