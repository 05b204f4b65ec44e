"""Ranges for a network that no picture has passed: what signs and pixels alone tell.

Quantization parameters need a range for every tensor. No verdict of a scan may follow from how large these ranges are;
whether a tensor can be negative is known from the operators, and it decides where zero points lie.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from stages.core.data.inputs import NetworkInput
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.partition.nodes import clamp_bounds

__all__ = ["assumed_ranges", "assumed_statistics"]

NOT_NEGATIVE = {"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt", "Softplus", "ReduceL2"}
"""Operators whose results are never negative."""
KEEPS_SIGN = {
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Add", "Mul", "Max", "Min", "Concat", "Resize",
    "ReduceMean", "ReduceSum", "ReduceMax", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split",
    "Identity", "Dropout", "LRN", "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Pad",
}  # fmt: skip
"""Operators whose results are not negative where none of their operands is."""
LARGEST_PIXEL = 255.0
GOLDEN = 0.6180339887498949
"""Multiples of it have no simple ratios, so that no two tensors' scales are alike by accident."""


def assumed_ranges(graph: Graph, inputs: Sequence[NetworkInput]) -> dict[str, tuple[float, float]]:
    """Assume a range for each float tensor.

    Args:
        graph: the float network.
        inputs: its inputs; those that take pictures hold pixels of 0 to 255.

    Returns:
        Tensor -> least and greatest value: about 0 .. 1 where it cannot be negative, else about -1 .. 1.
    """
    ranges = {each.name: _input_range(each) for each in inputs}
    for index, name in enumerate(graph.float_tensors):
        if name in ranges:
            continue
        high = 1.0 + (index * GOLDEN) % 1.0
        producer = graph.producers.get(name)
        ranges[name] = (0.0, high) if producer is not None and _not_negative(graph, producer, ranges) else (-high, high)
    return ranges


def assumed_statistics(ranges: Mapping[str, tuple[float, float]]) -> dict[str, TensorStatistics]:
    """Put ranges into the form that calibration gives; without histograms or channels."""
    channels, means = np.zeros(0, np.float32), np.zeros(0, np.float64)
    return {
        name: TensorStatistics(low, high, np.zeros(0, np.int64), 0, 0, channels, channels, means)
        for name, (low, high) in ranges.items()
    }


def _input_range(network_input: NetworkInput) -> tuple[float, float]:
    """From black to white for a picture, as the network gets it; else -1 .. 1."""
    if not network_input.takes_picture:
        return -1.0, 1.0
    mean, normal = np.array(network_input.mean), np.array(network_input.normal)
    ends = np.stack([-mean / normal, (LARGEST_PIXEL - mean) / normal])
    return float(ends.min()), float(ends.max())


def _not_negative(graph: Graph, node: onnx.NodeProto, ranges: Mapping[str, tuple[float, float]]) -> bool:
    """Whether a node's result cannot be negative, given the ranges of tensors before it."""
    if node.op_type in NOT_NEGATIVE:
        return True
    if node.op_type == "Clip":
        return all(name in graph.constants for name in node.input[1:] if name) and clamp_bounds(graph, node)[0] >= 0.0
    if node.op_type not in KEEPS_SIGN or attribute(node, "mode", b"") == b"cubic":
        return False
    values = [name for name in node.input if name in ranges or _is_float(graph, name)]
    return bool(values) and all(_low(graph, name, ranges) >= 0.0 for name in values)


def _is_float(graph: Graph, name: str) -> bool:
    return name in graph.constants and graph.constants[name].data_type == onnx.TensorProto.FLOAT


def _low(graph: Graph, name: str, ranges: Mapping[str, tuple[float, float]]) -> float:
    constant = graph.constant(name)
    return ranges[name][0] if constant is None else float(constant.min(initial=0.0))
