"""Fake quantization with gradients, as fused kernels: one pass over memory forward, one backward."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["FakeQuantParams", "FakeQuantize"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class FakeQuantParams:
    """What fake quantization does with a feature, besides its scales.

    Attributes:
        zero_point: the code of 0.
        qmax: the largest code.
        bounds: of the clamp before.
        quantized_share: share of the values that are quantized; the rest passes in float.
        seed: decides which.
    """

    zero_point: int
    qmax: int
    bounds: tuple[float, float] = (-math.inf, math.inf)
    quantized_share: float = 1.0
    seed: int = 0


class _Limits(NamedTuple):
    """The same for the kernels.

    Attributes:
        ends: float32 [lowest code, highest code, low, high]: codes minus the zero point, bounds of the clamp.
        threshold: of 2**32 random numbers those below are quantized.
        seed: of the random numbers.
    """

    ends: Array
    threshold: int
    seed: np.uint32


class FakeQuantize(torch.autograd.Function):
    """Clamp, quantize, dequantize; a random share of the values passes in float (QDrop).

    The gradient passes rounding as if it were not there and stops where a value saturates; the scale's gradient is
    that of LSQ. Sources: S. Esser et al., "Learned Step Size Quantization", ICLR 2020; X. Wei et al., "QDrop", ICLR
    2022.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scales: Tensor, params: FakeQuantParams) -> Tensor:
        """Quantize and dequantize.

        Args:
            ctx: PyTorch's.
            values: [B, C, H, W], channels last in memory; or of any other shape, contiguous.
            scales: [1]; or [C], of values of 4 dimensions only.
            params: zero point, largest code, clamp, and which values are quantized.
        """
        if scales.numel() > 1 and (values.ndim != 4 or values.shape[1] != scales.numel()):
            raise ValueError(f"{scales.numel()} scales for values of shape {list(values.shape)}")
        rows, given = _rows(values), values.detach()
        result = torch.empty_like(given)
        ends = [-params.zero_point, params.qmax - params.zero_point, *params.bounds]
        threshold = math.floor(params.quantized_share * 2**32)
        limits = _Limits(np.array(ends, dtype=np.float32), threshold, np.uint32(params.seed))
        _forward(rows, _rows(result), _column_scales(scales, rows), limits)
        ctx.save_for_backward(given, scales)
        ctx.limits = limits
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Give the gradients of values and scales."""
        values, scales = ctx.saved_tensors
        incoming = gradients[0].contiguous(memory_format=_layout(values))
        outgoing = torch.empty_like(values)
        rows = _rows(values)
        by_channel = _backward(rows, _rows(incoming), _rows(outgoing), _column_scales(scales, rows), ctx.limits)
        of_scales = by_channel if scales.numel() > 1 else by_channel.sum(keepdims=True)
        return outgoing, torch.from_numpy(of_scales.astype(np.float32)), None


def _layout(values: Tensor) -> torch.memory_format:
    return torch.channels_last if values.ndim == 4 else torch.contiguous_format


def _rows(values: Tensor) -> Array:
    """A view of the memory as [positions, channels]."""
    if values.ndim == 4:
        assert values.is_contiguous(memory_format=torch.channels_last)
        values = values.permute(0, 2, 3, 1)
    array: Array = values.detach().numpy()
    return (
        array.reshape(-1, array.shape[-1]) if values.ndim == 4 else array.reshape(len(array) if array.ndim else 1, -1)
    )


def _column_scales(scales: Tensor, rows: Array) -> Array:
    """The scale of each column of rows."""
    return np.ascontiguousarray(np.broadcast_to(scales.detach().numpy(), rows.shape[1:]))


@numba.njit(inline="always")
def _mixed(index: np.uint32, seed: np.uint32) -> np.uint32:
    """A number that looks random, the same for the same index and seed (Murmur's finisher)."""
    key = np.uint32(np.uint32(index * np.uint32(0x9E3779B1)) ^ seed)  # a product is wider until it is cast
    key = np.uint32(np.uint32(key ^ (key >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    key = np.uint32(np.uint32(key ^ (key >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(key ^ (key >> np.uint32(16)))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _forward(values: Array, result: Array, scales: Array, limits: _Limits) -> None:
    count, channels = values.shape
    lowest, highest, low, high = limits.ends
    threshold, seed = limits.threshold, limits.seed
    inverse = np.float32(1.0) / scales
    always = threshold >= 2**32
    for i in range(count):
        for c in range(channels):
            value = min(max(values[i, c], low), high)
            code = np.rint(value * inverse[c])
            code = min(max(code, lowest), highest)
            quantized = code * scales[c]
            if not always:
                number = _mixed(np.uint32(i * channels + c), seed)
                quantized = quantized if np.int64(number) < threshold else value
            result[i, c] = quantized


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _backward(values: Array, incoming: Array, outgoing: Array, scales: Array, limits: _Limits) -> NDArray[np.float64]:
    count, channels = values.shape
    lowest, highest, low, high = limits.ends
    threshold, seed = limits.threshold, limits.seed
    inverse = np.float32(1.0) / scales
    always = threshold >= 2**32
    total = np.zeros(channels, dtype=np.float64)
    part = np.zeros(channels, dtype=np.float32)
    for i in range(count):
        for c in range(channels):
            given = values[i, c]
            value = min(max(given, low), high)
            inside = np.float32(given == value)
            scaled = value * inverse[c]
            whole = np.rint(scaled)
            code = min(max(whole, lowest), highest)
            fits = np.float32(whole == code)
            slope = code - fits * scaled
            if not always:
                number = _mixed(np.uint32(i * channels + c), seed)
                quantized = np.int64(number) < threshold
                fits = fits if quantized else np.float32(1.0)
                slope = slope if quantized else np.float32(0.0)
            outgoing[i, c] = incoming[i, c] * fits * inside
            part[c] += incoming[i, c] * slope
        if i % 256 == 255 or i == count - 1:
            for c in range(channels):
                total[c] += part[c]
                part[c] = 0.0
    return total
