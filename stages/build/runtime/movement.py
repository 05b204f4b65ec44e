"""The source of each element of a result: operators that only move elements, as offsets along each axis.

Reshape, transpose, slice, split, pad, nearest resize, depth to space and the like are one operation for the runtime.
Their offsets are not derived operator by operator: ONNX Runtime moves the elements' own numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.integer.dumps import nhwc
from stages.core.integer.reference import run_onnx_node

__all__ = ["Axis", "Movement", "moved", "movement", "physical", "positions"]

Array = NDArray[np.generic]
Indices = NDArray[np.int64]

DIGIT_BASE = 4096
"""Numbers of elements are moved as two digits, which float32 holds exactly."""
PADDING = -1
"""Stands for a padded element among offsets."""


@dataclass(frozen=True)
class Axis:
    """One axis of a result: the offset of its i-th element is i * step, or table[i], where -1 stands for padding."""

    length: int
    step: int = 0
    table: tuple[int, ...] = ()


@dataclass(frozen=True)
class Movement:
    """result[i, j, ...] = x[base + offset_0(i) + offset_1(j) + ...], or the padded value where an axis says so."""

    base: int
    axes: tuple[Axis, ...]


def physical(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape in which a tensor lies in memory: NHWC for rank 4."""
    return nhwc(np.empty(shape, dtype=np.bool_)).shape


def positions(shape: Sequence[int]) -> Indices:
    """The position in memory of each element of a tensor, in the network's shape."""
    numbers = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(physical(shape))
    return numbers.transpose(0, 3, 1, 2) if len(shape) == 4 else numbers


def moved(
    node: onnx.NodeProto,
    shape: Sequence[int],
    constants: Mapping[str, Array],
    opset: Sequence[onnx.OperatorSetIdProto],
) -> list[Indices]:
    """Run an operator that moves elements on the elements' positions in memory.

    Args:
        node: the operator; its first input is moved.
        shape: of that input, in the network.
        constants: values of its other inputs.
        opset: the model's operator sets.

    Returns:
        Of each output, in the network's shape, the positions of its elements in the input's memory; -1: padding.
    """
    numbers = positions(shape) + 1  # 0 stands for padding
    others: list[Array | None] = [constants[name] if name else None for name in node.input[1:]]
    if node.op_type == "Pad" and len(others) > 1 and others[1] is not None:
        others[1] = np.zeros_like(others[1], dtype=np.float32)

    def run(digits: Indices) -> list[Indices]:
        outputs = run_onnx_node(node, [digits.astype(np.float32), *others], opset)
        return [np.asarray(values).astype(np.int64) for values in outputs]

    found, high = run(numbers % DIGIT_BASE), numbers // DIGIT_BASE
    if high.any():
        found = [values + DIGIT_BASE * more for values, more in zip(found, run(high), strict=True)]
    return [values - 1 for values in found]


def movement(sources: Indices) -> Movement:
    """Split the positions that a result's elements come from into offsets along each axis.

    Args:
        sources: positions in the input's memory, shaped as the result lies in memory; -1: padding.

    Returns:
        The movement with the fewest axes; a single axis with a table where the axes do not add up.
    """
    axes = [axis for axis in range(sources.ndim) if sources.shape[axis] > 1]
    sources = sources.reshape([sources.shape[axis] for axis in axes] or [1])
    first = int((sources != PADDING).argmax())
    if sources.flat[first] == PADDING:
        return Movement(0, (Axis(sources.size, table=(PADDING,) * sources.size),))
    anchor: tuple[Any, ...] = tuple(int(index) for index in np.unravel_index(first, sources.shape))
    lines = [sources[(*anchor[:axis], slice(None), *anchor[axis + 1 :])] for axis in range(sources.ndim)]
    lowest = [int(line[line != PADDING].min()) for line in lines]
    base = sum(lowest) - (sources.ndim - 1) * int(sources[anchor])
    offsets = [np.where(line == PADDING, PADDING, line - low) for line, low in zip(lines, lowest, strict=True)]
    if not np.array_equal(_rebuilt(base, offsets), sources):
        low = int(sources[sources != PADDING].min())
        base, offsets = low, [np.where(sources == PADDING, PADDING, sources - low).reshape(-1)]
    return Movement(*_joined(base, offsets))


def _rebuilt(base: int, offsets: Sequence[Indices]) -> Indices:
    total = np.full([len(line) for line in offsets], base, dtype=np.int64)
    padded = np.zeros(total.shape, dtype=np.bool_)
    for axis, line in enumerate(offsets):
        shaped = line.reshape([-1 if axis == other else 1 for other in range(len(offsets))])
        total, padded = total + shaped, padded | (shaped == PADDING)
    return np.where(padded, PADDING, total)


def _joined(base: int, offsets: Sequence[Indices]) -> tuple[int, tuple[Axis, ...]]:
    """Join neighbouring axes that step through memory as one; an axis that runs backwards begins at its end."""
    axes: list[Axis] = []
    for line in offsets:
        steps = np.unique(np.diff(line)) if len(line) > 1 else np.array([0])
        if len(steps) != 1 or PADDING in line:
            axes.append(Axis(len(line), table=tuple(line.tolist())))
            continue
        step = int(steps[0])
        base += int(line[0])
        if axes and not axes[-1].table and axes[-1].step == step * len(line):
            axes[-1] = Axis(axes[-1].length * len(line), step)
        else:
            axes.append(Axis(len(line), step))
    return base, tuple(axes)
