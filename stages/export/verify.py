"""Checking the exported network against its source on random input."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.base.errors import UserError
from stages.core.data.inputs import NetworkInput, normalize
from stages.core.graph.session import Runner, with_outputs
from stages.export.cut import Cut
from stages.export.shapes import graph_shapes

__all__ = ["check_difference", "largest_difference", "network_difference", "random_feeds", "values_at", "zeros"]

RANDOM_SEED = 0


def random_feeds(inputs: Sequence[NetworkInput]) -> dict[str, NDArray[np.float32]]:
    """Make reproducible random input: random pixels for a picture, standard normal numbers otherwise."""
    generator = np.random.default_rng(RANDOM_SEED)
    feeds = {}
    for network_input in inputs:
        if network_input.takes_picture:
            pixels = generator.integers(0, 256, network_input.sample_shape, dtype=np.uint8)
            feeds[network_input.name] = normalize(pixels, network_input)
        else:
            feeds[network_input.name] = generator.standard_normal(network_input.shape).astype(np.float32)
    return feeds


def zeros(source: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Zeros for the inputs that are not float: an index that every table has. The exported network has none of them."""
    types = {info.name: info.type.tensor_type.elem_type for info in source.graph.input}
    return {
        name: np.zeros(shape, onnx.helper.tensor_dtype_to_np_dtype(types[name]))
        for name, shape in graph_shapes(source).items()
        if types[name] != onnx.TensorProto.FLOAT
    }


def network_difference(
    source: onnx.ModelProto, exported: onnx.ModelProto, cut: Cut, feeds: Mapping[str, NDArray[np.float32]]
) -> float:
    """Run source and exported network on the same values, starting where the cut starts.

    Returns:
        The largest difference over all outputs, as of `largest_difference`.

    Raises:
        UserError: if the source gives values that are not finite: an export of it cannot be checked.
    """
    values = values_at(source, [*cut.inputs, *cut.outputs], feeds)
    for name in cut.outputs:
        if not np.isfinite(values[name]).all():
            raise UserError(
                f"output {name!r} of the source is NaN or infinite on random pixels, before anything is quantized"
                f"{_negative_variance(source)}; end the network before it with model.outputs"
            )
    results = Runner(exported, optimize="none").run({name: values[name] for name in cut.inputs})
    return max(largest_difference(values[name], results[name]) for name in cut.outputs)


def _negative_variance(source: onnx.ModelProto) -> str:
    """Name the first batch norm whose variance is below 0, which is a damaged one; empty if there is none."""
    constants = {tensor.name: tensor for tensor in source.graph.initializer}
    for node in source.graph.node:
        variance = constants.get(node.input[4]) if node.op_type == "BatchNormalization" else None
        if variance is not None and (onnx.numpy_helper.to_array(variance) < 0).any():
            return f": the variance of BatchNormalization {node.name!r} is below 0"
    return ""


def values_at(
    source: onnx.ModelProto, tensors: Sequence[str], feeds: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Values of tensors, inputs among them, when the network runs on `feeds`."""
    probe = Runner(with_outputs(source, tensors), optimize="none")
    return probe.run({name: feeds[name] for name in probe.inputs})


def largest_difference(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Largest difference, relative to the largest value on the left where that is above 1 (boxes are pixels).

    Infinite if the shapes differ or a value is not finite.
    """
    if left.shape != right.shape or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return float("inf")
    difference = np.abs(left.astype(np.float64) - right.astype(np.float64)).max(initial=0.0)
    return float(difference / np.abs(left).max(initial=1.0))


def check_difference(difference: float, bound: float) -> None:
    """Refuse an export that is too far from its source, or that cannot be compared with it (infinite).

    Raises:
        UserError: naming both numbers.
    """
    if not math.isfinite(difference):
        raise UserError(
            "the exported network cannot be compared with its source: on random input one of the two has values that "
            "are infinite or not numbers, or a shape of its own; give mean, normal and shape of model.inputs as the "
            "network was trained with, or end it before such values (model.outputs)"
        )
    if not difference <= bound:
        raise UserError(
            f"the exported network differs from its source by {difference:.3g} on random pixels, more than "
            f"model.fp32_diff={bound:g}, relative to the outputs' largest value: look at what the exporter changed, or "
            "raise model.fp32_diff if your task allows for it"
        )
