"""Cross-layer equalization: channel scales move from one layer to the next, the float function stays.

All channels of a feature share one scale, so a channel of small values gets few of the codes. Dividing a layer's output
channel by r and multiplying the next layer's weights for it by r changes nothing in float and gives the channel more of
them. What it costs: the columns of the next weight, which share a scale with the rest of their row, shrink where the
channel grows. Sources: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
2019 (across layers, through ReLUs); G. Xiao et al., "SmoothQuant", ICML 2023 (a feature's range against the weight's).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph import Graph, attribute, captured_names
from stages.core.statistics import TensorStatistics
from stages.quantize.channels import Channels, scaled_constants
from stages.quantize.layers import CLAMPS, WEIGHTED, bias_of

__all__ = ["Equalized", "equalize"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
LARGEST = 16.0  # a factor, and its inverse
SHARE = 0.75  # of the feature's spread that moves into a weight


@dataclass(frozen=True)
class Equalized:
    """A network with its channels scaled.

    Attributes:
        model: the scaled network: the same inputs, outputs, nodes and tensor names.
        factors: scaled tensor -> float32 [C], original = scaled * factor on axis 1; in graph order.
        groups: how many groups of tensors were scaled; tensors that share factors are one group.
    """

    model: onnx.ModelProto
    factors: dict[str, NDArray[np.float32]]
    groups: int


def equalize(model: onnx.ModelProto, statistics: Mapping[str, TensorStatistics]) -> Equalized:
    """Scale channels so that those of small values use more of their feature's codes.

    A feature costs error in proportion to its step, which the channel of the widest spread sets for all; a weight in
    proportion to its row's largest value. A channel's factor is therefore the larger, the larger the channel's spread
    and the smaller its columns in the weights that take it, both relative to the largest: the geometric mean of the two
    optima, as in both papers. Where only depthwise layers take it nothing is to be balanced, since each channel has a
    weight scale of its own: the whole spread moves. Factors are such that no tensor's range grows, and within 1/16..16;
    a channel that was always zero keeps 1.

    Args:
        model: the float network with shapes; statistics of it.
        statistics: by tensor; channels of tensors without any stay as they are.
    """
    channels = Channels(Graph(model))
    factors = _factors(channels, statistics)
    scaled = {name: factors[channels.of(name)].astype(np.float32) for name in channels.first}
    scaled = {name: factor for name, factor in scaled.items() if np.any(factor != 1)}
    return Equalized(_apply(channels.graph, scaled), scaled, len({channels.groups[name] for name in scaled}))


# --- choosing factors; arrays by class of channels ---


def _factors(channels: Channels, statistics: Mapping[str, TensorStatistics]) -> Array:
    """Choose the factor of every class."""
    spread, fixed = _spreads(channels, statistics)
    columns = _columns(channels)
    factors = np.ones(len(spread))
    for members in channels.members():
        live = members[~fixed[members] & (spread[members] > 0)]
        factors[live] = np.clip(_balanced(spread[live], columns[live]), 1 / LARGEST, LARGEST)
    return factors


def _balanced(spread: Array, columns: Array) -> Array:
    """Factors of a group's channels from their spread and columns, all float64 [C]; columns 0: nothing shares them."""
    if not columns.any():
        return spread
    shared = np.where(columns > 0, columns, 1.0)
    factors: Array = spread**SHARE / shared ** (1 - SHARE)
    return np.asarray(factors * (spread / factors).max())


def _spreads(channels: Channels, statistics: Mapping[str, TensorStatistics]) -> tuple[Array, Mask]:
    """Each channel's part of its tensors' ranges, 0..1, the largest of all tensors; and what must stay as it is.

    Below and above zero are taken apart: no side may grow. A tensor inside a fused layer has no codes, so no range.
    """
    spread, fixed = np.zeros(len(channels.classes)), channels.fixed.copy()
    for name in channels.first:
        entry, own = statistics.get(name), channels.of(name)
        if entry is None or len(entry.channel_low) != len(own):
            fixed[own] = True
        elif not _fused(channels.graph, name):
            for part, whole in ((entry.channel_high, entry.high), (-entry.channel_low, -entry.low)):
                if whole > 0:
                    np.maximum.at(spread, own, part / whole)
    return spread, fixed


def _columns(channels: Channels) -> Array:
    """The largest part, 0..1, that each channel's weights have of a row they share a scale with; 0 where none do."""
    columns = np.zeros(len(channels.classes))
    for node in channels.graph.nodes:
        if node.op_type in WEIGHTED and node.input[0] in channels.first and node.input[1] in channels.graph.constants:
            rows = np.abs(_by_input(node, np.asarray(channels.graph.constant(node.input[1]))))
            own = channels.of(node.input[0])
            if rows.shape[2] > 1 and rows.shape[0] * rows.shape[2] == len(own):
                largest = rows.max(axis=(2, 3), keepdims=True)
                parts = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
                np.maximum.at(columns, own, parts.max(axis=(1, 3)).reshape(-1))
    return columns


def _fused(graph: Graph, name: str) -> bool:
    """Whether a tensor lies between an operator and the Relu or Clip that ends it."""
    consumers = graph.consumers.get(name, [])
    return len(consumers) == 1 and consumers[0].op_type in CLAMPS


# --- the scaled network ---


def _apply(graph: Graph, factors: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Divide what makes a scaled tensor by its factors, multiply what takes it by them."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    uses = Counter(name for node in graph.nodes for name in (*node.input, *captured_names(node)))
    taken = {entry.name for entry in model.graph.initializer} | set(graph.producers) | set(graph.inputs)
    constants = {entry.name: entry for entry in model.graph.initializer}

    def write(node: onnx.NodeProto, index: int, values: Array, like: NDArray[np.float32]) -> None:
        """Give a node a constant of other values: the old one's place if it is the only user, else one of its own."""
        name = node.input[index]
        if uses[name] > 1:
            uses[name] -= 1
            name = f"{name}/{node.name}"
            while name in taken:
                name += "_"
            taken.add(name)
            node.input[index] = name
            constants[name] = model.graph.initializer.add()
        constants[name].CopyFrom(numpy_helper.from_array(values.astype(like.dtype), name))

    for node in model.graph.node:
        made = factors.get(node.output[0])
        if node.op_type in WEIGHTED:
            into = factors.get(node.input[0])
            if into is None and made is None:
                continue
            weight, bias = graph.constant(node.input[1]), bias_of(graph, node)
            assert weight is not None
            write(node, 1, _scaled_weight(node, weight, into, made), weight)
            if bias is not None and made is not None:
                write(node, 2, bias / made.astype(np.float64), bias)
        elif made is not None:
            for index, name in enumerate(list(node.input)):
                if name in scaled_constants(graph, node):
                    value = np.asarray(graph.constant(name))
                    rank = len(graph.shapes[node.output[0]])
                    write(node, index, value / made.reshape(-1, *[1] * (rank - 2)).astype(np.float64), value)
    return model


def _by_input(node: onnx.NodeProto, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Show a weight as [groups, outputs of a group, inputs of a group, kernel]: a view where NumPy can give one."""
    group = attribute(node, "group", 1) if node.op_type in ("Conv", "ConvTranspose") else 1
    parted = weight.reshape(group, weight.shape[0] // group, weight.shape[1], -1)
    return parted if _outputs_first(node) else parted.swapaxes(1, 2)


def _outputs_first(node: onnx.NodeProto) -> bool:
    """Whether a weight's first axis counts output channels, not input channels."""
    return node.op_type == "Conv" or (node.op_type == "Gemm" and bool(attribute(node, "transB", 0)))


def _scaled_weight(
    node: onnx.NodeProto,
    weight: NDArray[np.float32],
    into: NDArray[np.float32] | None,
    made: NDArray[np.float32] | None,
) -> Array:
    """The weight with input channels multiplied by `into` and output channels divided by `made`."""
    scaled = _by_input(node, weight).astype(np.float64)
    groups, outputs, inputs, _ = scaled.shape
    if into is not None:
        scaled = scaled * into.reshape(groups, 1, inputs, 1)
    if made is not None:
        scaled = scaled / made.reshape(groups, outputs, 1, 1)
    return (scaled if _outputs_first(node) else scaled.swapaxes(1, 2)).reshape(weight.shape)
