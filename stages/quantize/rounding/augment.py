"""More pictures out of few. Learning compares with the float network's answers, so that no label can become wrong."""

from collections.abc import Collection, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.data.inputs import Sample

__all__ = ["picture_variants", "variants"]

MIN_CROP_SHARE = 0.35
"""Least part of a picture's area that a crop covers."""
MAX_LOG_STRETCH = 0.3
"""Largest logarithm of a crop's change of aspect ratio."""


def variants(sample: Sample, pictures: Collection[str], count: int, seed: int) -> Iterator[Sample]:
    """Give a sample, then others with its pictures varied and its tensors as they are.

    Pictures of one size, as of two cameras, are cropped alike.

    Args:
        sample: what each input is fed.
        pictures: inputs that take pictures; those fed float32 are left alone.
        count: how many to give, the sample included; one without pictures is given once.
        seed: of the crops.
    """
    varied = {
        name: picture_variants(values, count, seed)
        for name, values in sample.items()
        if name in pictures and values.dtype == np.uint8
    }
    for _ in range(count if varied else 1):
        yield {name: next(varied[name]) if name in varied else values for name, values in sample.items()}


def picture_variants(sample: NDArray[np.uint8], count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Give a picture, its mirror image, then crops of it, resized, every second one mirrored.

    Args:
        sample: uint8 [H, W, C].
        count: how many to give, the picture included.
        seed: of the crops: they cover `MIN_CROP_SHARE` to all of it, stretched by up to exp(`MAX_LOG_STRETCH`).

    Returns:
        Pictures of the same shape.
    """
    rng = np.random.default_rng(seed)
    height, width = sample.shape[:2]
    for index in range(count):
        variant = sample
        if index > 1:
            share, stretch = rng.uniform(MIN_CROP_SHARE, 1.0), np.exp(rng.uniform(-MAX_LOG_STRETCH, MAX_LOG_STRETCH))
            rows = max(1, min(height, int(height * np.sqrt(share * stretch))))
            columns = max(1, min(width, int(width * np.sqrt(share / stretch))))
            first_row, first_column = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
            crop = sample[first_row : first_row + rows, first_column : first_column + columns]
            variant = cv2.resize(crop, (width, height)).reshape(sample.shape).astype(np.uint8)
        yield np.ascontiguousarray(variant[:, ::-1] if index % 2 else variant)
