"""Error-compensating rounding (GPTQ): weights that are not rounded yet make up for the error of each rounded one.

Sources: B. Hassibi and D. Stork, "Optimal Brain Surgeon", 1993; E. Frantar et al., "GPTQ", ICLR 2023; Y. Li et al.,
"GPTAQ", 2025, for the float input as the target.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.rules import broadcast_scales
from stages.quantize.candidate import Candidate
from stages.quantize.parameters.weight_scales import weight_qmax
from stages.quantize.partition.nodes import sliding_window
from stages.quantize.rounding.bias_correction import can_have_bias, correct_bias
from stages.quantize.rounding.replay import Replay

__all__ = [
    "Moments",
    "can_compensate",
    "compensate",
    "compensated_codes",
    "group_rows",
    "input_rows",
    "refitted",
    "ungroup_rows",
]

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
RELATIVE_DAMPING = 0.01
"""Of the mean second moment: it is added to all, so that inputs that hardly vary do not carry the errors."""

POSITIONS_PER_WEIGHT = 64
"""Positions that moments are taken from, for each weight of an output, over all pictures."""
MIN_POSITIONS, MAX_POSITIONS = 1024, 8192
"""The least and the most of them."""


def can_compensate(node: onnx.NodeProto) -> bool:
    """Whether a weighted node's outputs are products of its weight and rows of its input."""
    return node.op_type in ("Conv", "Gemm", "MatMul")


def compensate(candidate: Candidate, node: onnx.NodeProto, replay: Replay) -> None:
    """Refit a node's weight to its quantized input, then round it, each error compensated by the rest.

    The weight accounts for the variation of the input, the bias for its mean: it is corrected after the weight (see
    `correct_bias`). Without a bias the weight accounts for both.
    """
    params, weight = candidate.weights[node.name], candidate.graph.constant(node.input[1])
    assert weight is not None
    rows = group_rows(node, weight)
    wanted = int(np.clip(POSITIONS_PER_WEIGHT * rows.shape[2], MIN_POSITIONS, MAX_POSITIONS))
    of_picture = -(-wanted // replay.count)

    def rows_of(index: int) -> tuple[Array, Array]:
        values = replay.float.read(node.input[0], index), replay.input_of(node, index)
        first, second = (input_rows(candidate.graph, node, value, of_picture, index) for value in values)
        return first, second

    biased = can_have_bias(node)
    moments = Moments.collect((rows_of(index) for index in range(replay.count)), minus_mean=biased)
    scales = np.asarray(params.scales, dtype=np.float32)
    output_scales = broadcast_scales(scales, rows.shape[0] * rows.shape[1]).reshape(rows.shape[:2])
    codes = compensated_codes(refitted(rows, moments), output_scales, weight_qmax(params.bits), moments)
    candidate.codes[node.name] = ungroup_rows(node, codes, weight.shape)
    if biased:
        correct_bias(candidate, node, replay, weights=True, features=True)


@dataclass
class Moments:
    """Second moments of a layer's input, one set a group.

    Attributes:
        quantized: float64 [groups, D, D], of the quantized input with itself.
        crossed: float64 [groups, D, D], of the float input (rows) with the quantized one (columns).
        samples: how many positions went in.
    """

    quantized: Matrix
    crossed: Matrix
    samples: int

    @classmethod
    def collect(cls, pairs: Iterable[tuple[Array, Array]], minus_mean: bool) -> "Moments":
        """Add up rows of inputs, float and quantized, each float32 [groups, positions, D], picture by picture.

        With `minus_mean` they are taken about the means, else about 0.
        """
        quantized = crossed = mean_float = mean_quantized = np.zeros(())
        origins: tuple[Array, Array] | None = None
        samples = 0
        for float_rows, quantized_rows in pairs:
            if minus_mean:
                # counted from near the mean: of large numbers that vary little float32 would keep nothing
                if origins is None:
                    origins = float_rows.mean(axis=1, keepdims=True), quantized_rows.mean(axis=1, keepdims=True)
                float_rows, quantized_rows = float_rows - origins[0], quantized_rows - origins[1]  # noqa: PLW2901
            turned = quantized_rows.transpose(0, 2, 1)
            quantized = quantized + turned @ quantized_rows
            crossed = crossed + float_rows.transpose(0, 2, 1) @ quantized_rows
            mean_float = mean_float + float_rows.sum(axis=1, dtype=np.float64)
            mean_quantized = mean_quantized + quantized_rows.sum(axis=1, dtype=np.float64)
            samples += float_rows.shape[1]
        quantized, crossed = quantized / samples, crossed / samples
        if minus_mean:
            quantized = quantized - _outer(mean_quantized, mean_quantized) / samples**2
            crossed = crossed - _outer(mean_float, mean_quantized) / samples**2
        return cls(quantized.astype(np.float64), crossed.astype(np.float64), samples)


def _outer(left: Matrix, right: Matrix) -> Matrix:
    return left[:, :, np.newaxis] * right[:, np.newaxis, :]


def input_rows(graph: Graph, node: onnx.NodeProto, value: Array, max_positions: int, seed: int) -> Array:
    """Lay out the inputs that each output position of a weighted node multiplies its weights by.

    Args:
        graph: the network.
        node: a Conv, Gemm or MatMul.
        value: its input for one picture, [1, C, *S] or [..., D].
        max_positions: use at most so many, the same for the same seed.
        seed: of the choice.

    Returns:
        float32 [groups, positions, D]; D in the order of the weight's rows (see `group_rows`).
    """
    if node.op_type != "Conv":
        rows = value.reshape(-1, value.shape[-1])
        return rows[_sampled(len(rows), max_positions, seed)][np.newaxis]
    kernel = list(graph.constants[node.input[1]].dims)[2:]
    rank, groups = len(kernel), attribute(node, "group", 1)
    window = sliding_window(graph, node, kernel)
    strides, dilations, pads = window["strides"], window["dilations"], window["pads"]
    padded = np.pad(value[0], [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    sizes = graph.shapes[node.output[0]][2:]
    sampled = np.unravel_index(_sampled(int(np.prod(sizes)), max_positions, seed), sizes)
    starts = [position * stride for position, stride in zip(sampled, strides, strict=True)]
    offsets = np.indices(kernel).reshape(rank, -1)
    taps_on_axes: Iterable[Any] = (
        start[:, np.newaxis] + offset[np.newaxis] * dilation
        for start, offset, dilation in zip(starts, offsets, dilations, strict=True)
    )
    index: tuple[Any, ...] = (slice(None), *taps_on_axes)
    patches = padded[index]  # [C, positions, K]
    channels, positions, taps = patches.shape
    grouped = patches.reshape(groups, channels // groups, positions, taps).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(grouped).reshape(groups, positions, -1)


def _sampled(count: int, at_most: int, seed: int) -> NDArray[np.int64]:
    if count <= at_most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, at_most, replace=False))


def group_rows(node: onnx.NodeProto, weight: Array) -> Matrix:
    """Give a weight as float64 [groups, outputs of a group, D]."""
    groups = attribute(node, "group", 1) if node.op_type == "Conv" else 1
    turned = weight if node.op_type == "Conv" or attribute(node, "transB", 0) else weight.T
    return turned.reshape(groups, turned.shape[0] // groups, -1).astype(np.float64)


def ungroup_rows(node: onnx.NodeProto, rows: NDArray[np.int32], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Undo `group_rows`."""
    if node.op_type == "Conv" or attribute(node, "transB", 0):
        return rows.reshape(shape)
    return np.ascontiguousarray(rows.reshape(shape[::-1]).T)


def _damped(moments: Moments) -> Matrix:
    """Second moments with something added to the diagonal: more where there are few positions for many weights."""
    size = moments.quantized.shape[-1]
    share = max(RELATIVE_DAMPING, size / moments.samples)
    means = np.trace(moments.quantized, axis1=1, axis2=2) / size
    floor = np.maximum(share * means, 1e-12)
    damped: Matrix = moments.quantized + floor[:, np.newaxis, np.newaxis] * np.eye(size)
    return damped


def refitted(weight: Matrix, moments: Moments) -> Matrix:
    """Fit weights so that their output on the quantized input is nearest to the given ones' on the float input.

    Least squares, held to the given weights by the damping.
    """
    damped = _damped(moments)
    pull = (damped - moments.quantized) + moments.crossed
    return np.ascontiguousarray(np.linalg.solve(damped, (weight @ pull).transpose(0, 2, 1)).transpose(0, 2, 1))


def compensated_codes(weight: Matrix, scales: Matrix, qmax: int, moments: Moments) -> NDArray[np.int32]:
    """Round weights one by one, those of largest second moment first, distributing each error over the rest.

    Args:
        weight: float64 [groups, outputs, D].
        scales: float64 [groups, outputs].
        qmax: largest code.
        moments: of the layer's input.

    Returns:
        int32 codes in the weight's shape.
    """
    damped = _damped(moments)
    order = np.argsort(-np.diagonal(damped, axis1=1, axis2=2), axis=1, kind="stable")
    sorted_moments = np.take_along_axis(np.take_along_axis(damped, order[:, :, np.newaxis], 1), order[:, np.newaxis], 2)
    inverse = np.linalg.inv(sorted_moments)
    upper = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1)
    rows = np.take_along_axis(weight, order[:, np.newaxis], 2)
    rounded = _rounded(np.ascontiguousarray(rows), scales, float(qmax), np.ascontiguousarray(upper))
    codes = np.empty(weight.shape, dtype=np.int32)
    np.put_along_axis(codes, np.broadcast_to(order[:, np.newaxis], codes.shape), rounded, 2)
    return codes


@numba.njit(cache=True, parallel=True)
def _rounded(weight: Matrix, scales: Matrix, qmax: float, upper: Matrix) -> NDArray[np.int32]:
    """Round [groups, outputs, D] with each group's upper Cholesky factor of the inverse moments."""
    groups, outputs, count = weight.shape
    codes = np.empty(weight.shape, dtype=np.int32)
    for row in numba.prange(groups * outputs):  # rows are independent: the number of threads changes nothing
        group, output = row // outputs, row % outputs
        rest = weight[group, output].copy()
        scale = scales[group, output]
        for i in range(count):
            code = min(max(np.rint(rest[i] / scale), -qmax), qmax)
            codes[group, output, i] = np.int32(code)
            error = (rest[i] - code * scale) / upper[group, i, i]
            for j in range(i + 1, count):
                rest[j] -= error * upper[group, i, j]
    return codes
