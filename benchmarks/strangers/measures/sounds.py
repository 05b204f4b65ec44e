"""Measures of networks that clean speech or tell its pitch."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.strangers.stranger import Arrays, Measured

__all__ = ["gain_kept", "pitches_changed"]

SAME_PITCH = 50.0
"""Cents: half a semitone."""
VOICED = 0.5

Spectrum = NDArray[np.complex64]
Enhance = Callable[[Spectrum, list[Arrays]], Spectrum]


def gain_kept(enhance: Enhance) -> Callable[[Measured], float]:
    """Share of the float network's gain in signal to noise that the quantized one has.

    The measure's truth is the spectra of the noisy and of the clean speech, each [frames, bins].

    Args:
        enhance: makes the enhanced spectra of the noisy ones and the outputs.
    """

    def measure(measured: Measured) -> float:
        noisy, clean = measured.truth
        before = _decibels(clean, noisy)
        gains = [
            _decibels(clean, enhance(noisy, list(outputs))) - before for outputs in (measured.expected, measured.actual)
        ]
        return gains[1] / gains[0]

    return measure


def _decibels(clean: Spectrum, other: Spectrum) -> float:
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
