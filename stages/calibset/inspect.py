"""Noticing what makes a calibration set poor."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import counted

__all__ = ["FLAT_SHARE", "MIN_SAMPLES", "flat_pictures", "flat_share", "shared_samples", "warnings_for"]

MIN_SAMPLES = 10
"""The vendors ask for 10 to 200 pictures (Ingenic) or 100 to 500 (Sophgo)."""

FLAT_SHARE = 0.75
"""Above this share of one colour a picture says little about what the network will see."""
MOST_NAMED = 3
"""Of more flat pictures the flattest is named, and their number."""

MAX_COLOUR_DIFFERENCE = 4
"""Grey levels on either side that still count as the same colour."""


def flat_share(content: NDArray[np.uint8]) -> float:
    """Measure how much of a picture is one flat colour.

    Args:
        content: uint8 [H, W, C], without letterbox borders.

    Returns:
        The share of pixels within 4 grey levels, in every channel, of the most frequent colour: 0..1.
    """
    pixels = content.reshape(-1, content.shape[-1]).astype(np.int16)
    # most frequent cell of a coarse grid, then its members' median: a flat area may straddle two cells
    cells = pixels // (2 * MAX_COLOUR_DIFFERENCE)
    keys = np.ravel_multi_index(tuple(cells.T), (256 // (2 * MAX_COLOUR_DIFFERENCE),) * pixels.shape[1])
    values, counts = np.unique(keys, return_counts=True)
    center = np.median(pixels[keys == values[counts.argmax()]], axis=0)
    return float((np.abs(pixels - center) <= MAX_COLOUR_DIFFERENCE).all(axis=1).mean())


def flat_pictures(flat: Mapping[str, float]) -> list[str]:
    """Names of the pictures that are too flat; `flat` gives each picture's share of one colour."""
    return [name for name, share in flat.items() if share > FLAT_SHARE]


def warnings_for(count: int, flat: dict[str, float], noun: str = "picture") -> list[str]:
    """Say what is poor about a set.

    Args:
        count: samples in the set.
        flat: sample name -> share of one flat colour.
        noun: what a sample is called.
    """
    warnings = []
    if count < MIN_SAMPLES:
        verb = "is" if count == 1 else "are"
        warnings.append(f"{counted(count, f'calibration {noun}')} {verb} few: take {MIN_SAMPLES} to 200")
    names = flat_pictures(flat)
    if len(names) > MOST_NAMED:
        worst = max(names, key=lambda name: flat[name])
        warnings.append(
            f"{len(names)} of {counted(count, noun)} are mostly one flat colour ({worst}: {flat[worst]:.0%}), as text "
            "on paper is: if the network takes photos, replace them"
        )
    else:
        warnings += [f"{name} is {flat[name]:.0%} one flat colour: replace it by a typical picture" for name in names]
    return warnings


def shared_samples(correction: Mapping[str, str], validation: Mapping[str, str], noun: str = "picture") -> list[str]:
    """Say which samples validate a correction that was fitted on them.

    Args:
        correction: content digest -> sample name.
        validation: the same of the other set.
        noun: what a sample is called.
    """
    return [
        f"validation {noun} {name} is also correction {noun} {correction[content]}: use others"
        for content, name in validation.items()
        if content in correction
    ]
