"""Gather at constant indices, as slices."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["gather"]

MAX_RUNS = 4
"""Slices that a list of indices may take."""
BEFORE_START = -(2**31)
"""The end of a slice that runs backwards to the first element."""


def gather(match: Match) -> list[onnx.NodeProto] | None:
    """Write a Gather as Slice where its indices are evenly spaced, else as a Concat of a few of them.

    A single index takes its axis away, with Squeeze.
    """
    x, shape = match.node.input[0], match.shape(match.node.input[0])
    indices = match.constant(match.node.input[1])
    if not match.is_float(x) or shape is None or indices is None or indices.ndim > 1 or not indices.size:
        return None
    axis = attribute(match.node, "axis", 0) % len(shape)
    positions = [int(index) % shape[axis] for index in indices.reshape(-1)]
    if indices.ndim == 0:
        taken = match.add("Slice", _slice(match, x, positions, axis, 0), "slice")
        return match.finish("Squeeze", [taken, match.value("axis", [axis])])
    runs = _runs(positions)
    if len(runs) == 1:
        return match.finish("Slice", _slice(match, x, positions, axis, 0))
    if len(runs) > MAX_RUNS:
        return None
    parts = [match.add("Slice", _slice(match, x, run, axis, i), f"slice_{i}") for i, run in enumerate(runs)]
    return match.finish("Concat", parts, axis=axis)


def _slice(match: Match, x: str, positions: list[int], axis: int, index: int) -> list[str]:
    """Inputs of a Slice that takes evenly spaced positions."""
    step = positions[1] - positions[0] if len(positions) > 1 else 1
    end = positions[-1] + (1 if step > 0 else -1)
    values = {"starts": positions[0], "ends": BEFORE_START if end < 0 else end, "axes": axis, "steps": step}
    return [x, *(match.value(f"{name}_{index}", np.array([value], np.int64)) for name, value in values.items())]


def _runs(positions: list[int]) -> list[list[int]]:
    """Cut positions into runs of equal steps that are not 0."""
    runs: list[list[int]] = []
    for position in positions:
        run = runs[-1] if runs else []
        fits = len(run) == 1 and position != run[0]
        if fits or (len(run) > 1 and position - run[-1] == run[1] - run[0]):
            run.append(position)
        else:
            runs.append([position])
    return runs
