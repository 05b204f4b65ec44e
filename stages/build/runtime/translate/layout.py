"""The layout of a network's axes in memory: NHWC for rank 4, others as they are."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from stages.build.runtime.contract import BroadcastAxis, ReductionAxis
from stages.build.runtime.movement import physical
from stages.core.graph.onnx_graph import PICTURE_RANK

__all__ = ["broadcast_axes", "channel_run", "in_memory", "reduction_axes"]

T = TypeVar("T")


def in_memory(axes: Sequence[T]) -> list[T]:
    """Values of axes in the network, in the order in which the axes lie in memory."""
    return [axes[0], axes[2], axes[3], axes[1]] if len(axes) == PICTURE_RANK else list(axes)


def channel_run(shape: Sequence[int]) -> int:
    """How many elements of a channel (axis 1) are neighbours in memory."""
    return 1 if len(shape) == PICTURE_RANK else int(np.prod(shape[2:], dtype=np.int64))


def strides(shape: Sequence[int]) -> list[int]:
    """Along each axis in the network, the distance of neighbours in memory; 0 for an axis of one element."""
    if not shape:
        return []
    stored = physical(shape)
    distances = [int(np.prod(stored[axis + 1 :], dtype=np.int64)) for axis in range(len(stored))]
    if len(shape) == PICTURE_RANK:
        distances = [distances[0], distances[3], distances[1], distances[2]]
    return [distance if size > 1 else 0 for distance, size in zip(distances, shape, strict=True)]


def broadcast_axes(result: Sequence[int], operands: Sequence[Sequence[int]]) -> tuple[BroadcastAxis, ...]:
    """How two operands broadcast against a result: its axes as they lie in memory, joined where possible."""
    shape = tuple(result) or (1,)
    distances = [in_memory([0] * (len(shape) - len(operand)) + strides(operand)) for operand in operands]
    axes: list[BroadcastAxis] = []
    for length, a, b in zip(in_memory(shape), *distances, strict=True):
        if length == 1:
            continue
        if axes and (axes[-1].a, axes[-1].b) == (a * length, b * length):
            axes[-1] = BroadcastAxis(axes[-1].length * length, a, b)
        else:
            axes.append(BroadcastAxis(length, a, b))
    return tuple(axes) or (BroadcastAxis(1, 0, 0),)


def reduction_axes(shape: Sequence[int], result: Sequence[int], axes: Sequence[int]) -> tuple[ReductionAxis, ...]:
    """How a tensor is summed up over axes: of each as it lies in memory its length, and the result's stride."""
    kept = strides(result)
    if len(kept) < len(shape):  # the axes are gone
        rest = iter(kept)
        kept = [0 if axis in axes else next(rest) for axis in range(len(shape))]
    distances = [0 if axis in axes else kept[axis] for axis in range(len(shape))]
    pairs = zip(in_memory(shape), in_memory(distances), strict=True)
    return tuple(ReductionAxis(length, distance) for length, distance in pairs)
