"""Convolutions of whole numbers, tap by tap, for the reference implementation."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sliding", "convolve", "convolve_transposed"]

Array = NDArray[Any]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Sliding:
    """How a window slides over the spatial axes S.

    Attributes:
        strides: one an axis.
        dilations: one an axis.
        pads: before each axis, then after each; the padding is 0.
        group: independent parts of the channels.
    """

    strides: Sequence[int]
    dilations: Sequence[int]
    pads: Sequence[int]
    group: int = 1


def convolve(x: Array, w: Array, window: Sliding) -> Integers:
    """[N, C, *S] * [M, C/group, *K] -> [N, M, *O]."""
    rank, kernel = x.ndim - 2, w.shape[2:]
    strides, dilations, pads = window.strides, window.dilations, window.pads
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    size = [(x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    x = x.reshape(x.shape[0], window.group, -1, *x.shape[2:])
    taps = w.reshape(window.group, -1, w.shape[1], np.prod(kernel, dtype=int))
    acc = np.zeros((x.shape[0], window.group, taps.shape[1], *size), dtype=np.int64)
    for index, tap in enumerate(itertools.product(*map(range, kernel))):
        acc += np.einsum("ngc...,gmc->ngm...", x[_tap_inputs(tap, window, size)], taps[..., index])
    return acc.reshape(acc.shape[0], -1, *size)


def convolve_transposed(x: Array, w: Array, window: Sliding, output_padding: Sequence[int]) -> Integers:
    """[N, C, *S] * [C, M/group, *K] -> [N, M, *O]: each input adds its kernel into the output."""
    rank, kernel = x.ndim - 2, w.shape[2:]
    strides, dilations, pads = window.strides, window.dilations, window.pads
    x = x.reshape(x.shape[0], window.group, -1, *x.shape[2:])
    taps = w.reshape(window.group, -1, w.shape[1], np.prod(kernel, dtype=int))
    full = [
        strides[i] * (x.shape[3 + i] - 1) + dilations[i] * (kernel[i] - 1) + 1 + output_padding[i] for i in range(rank)
    ]
    acc = np.zeros((x.shape[0], window.group, taps.shape[2], *full), dtype=np.int64)
    for index, tap in enumerate(itertools.product(*map(range, kernel))):
        acc[_tap_inputs(tap, window, x.shape[3:])] += np.einsum("ngc...,gcm->ngm...", x, taps[..., index])
    kept = tuple(slice(pads[i], full[i] - pads[rank + i]) for i in range(rank))
    acc = acc[(slice(None),) * 3 + kept]
    return acc.reshape(acc.shape[0], -1, *acc.shape[3:])


def _tap_inputs(tap: Sequence[int], window: Sliding, size: Sequence[int]) -> tuple[slice, ...]:
    """The positions in [N, group, C, *S] that one tap of the kernel multiplies: `size` of them, one stride apart."""
    starts = [offset * dilation for offset, dilation in zip(tap, window.dilations, strict=True)]
    spans = zip(starts, window.strides, size, strict=True)
    return (slice(None),) * 3 + tuple(
        slice(start, start + stride * (count - 1) + 1, stride) for start, stride, count in spans
    )
