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
from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute, captured_names
from stages.core.integer.operators import WEIGHTED
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.equalize.channel_ties import Channels, Indices, scaled_constants
from stages.quantize.partition.layers import CLAMP_TYPES
from stages.quantize.partition.nodes import bias_of

__all__ = ["Equalized", "equalize"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
MAX_FACTOR = 16.0  # a factor, and its inverse
RANGE_HEADROOMS = (1.0, 1.5, 2.0, 3.0)  # how far beyond what was seen of a channel its range is to reach
FEATURE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the feature's optimum in a factor, the rest is the weights'


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


def equalize(
    model: onnx.ModelProto,
    statistics: Mapping[str, TensorStatistics],
    feature_bits: int = 8,
    weight_bits: int = 8,
) -> Equalized:
    """Scale channels so that those of small values use more of their feature's codes.

    Two optima pull at a channel's factor: features want it as large as the channel's part of the range, weights as
    large as the inverse of the channel's part of the rows that share a scale. Their weighted geometric mean is the
    papers' choice, equal weights in Nagel's, a share `alpha` of the feature's in SmoothQuant's. Which share is best
    depends on the network and on both widths, so each group of tensors takes the one of least expected error of those
    in `FEATURE_SHARES`, or stays, by a model of rounding: a depthwise layer, whose channels have scales of their own, lets the
    whole spread move; narrow weights let little. Neither may a channel fill the range with what a few pictures showed
    of it: others would saturate it. The model weighs that too, and chooses among `RANGE_HEADROOMS`: little for narrow codes,
    more for wide ones.

    Factors are such that no tensor's range grows, and within 1/16..16; a channel that was always zero keeps 1.

    Args:
        model: the float network with shapes.
        statistics: by tensor; channels of tensors without any stay as they are.
        feature_bits: wanted width of features, 32 for float: they are balanced for it, not rounded.
        weight_bits: that of weights.
    """
    channels = Channels(Graph(model))
    factors = _factors(channels, statistics, feature_bits, weight_bits)
    scaled = {name: factors[channels.of(name)].astype(np.float32) for name in channels.first}
    scaled = {name: factor for name, factor in scaled.items() if np.any(factor != 1)}
    return Equalized(_apply(channels.graph, scaled), scaled, len({channels.groups[name] for name in scaled}))


# --- choosing factors; arrays by class of channels ---


def _factors(
    channels: Channels, statistics: Mapping[str, TensorStatistics], feature_bits: int, weight_bits: int
) -> Array:
    """Choose the factor of every class."""
    graph, fixed = channels.graph, channels.fixed.copy()
    groups = {name: _Group([], []) for name in channels.groups.values()}
    for name in channels.first:
        entry, own = statistics.get(name), channels.of(name)
        if entry is None or len(entry.channel_low) != len(own):
            fixed[own] = True
        elif not _fused(graph, name):
            groups[channels.groups[name]].features.append(_Feature(own, entry))
    for node in graph.nodes:
        name = node.input[0] if node.op_type in WEIGHTED else ""
        if name in channels.first and name in statistics and not fixed[channels.of(name)].all():
            weight = np.asarray(graph.constant(node.input[1]))
            groups[channels.groups[name]].consumers.append(_taker(channels.of(name), statistics[name], node, weight))
    factors = np.ones(len(fixed))
    for group in groups.values():
        factors = group.best(factors, fixed, feature_bits, weight_bits)
    return factors


@dataclass(frozen=True)
class _Feature:
    """A tensor with codes: the class of each channel, and its statistics."""

    own: Indices
    entry: TensorStatistics

    def spread(self, headroom: float) -> Array:
        """Each channel's part of the range, 0..1, below and above zero taken apart so that no side may grow: [C].

        A channel that is to keep `headroom` times what was seen of it has so much larger a part, at most all.
        """
        entry = self.entry
        above, below = (np.maximum(part, 0.0) for part in (entry.channel_high, -entry.channel_low))
        sides: list[Array] = [
            np.minimum(headroom * part / part.max(), 1.0) for part in (above, below) if part.max() > 0
        ]
        return np.asarray(np.max([np.zeros(len(self.own)), *sides], axis=0))

    def rounding(self, factors: Array, bits: int) -> Array:
        """Power of the error in each channel, in its old units: [C].

        Rounding gives a twelfth of the step's square, or less: never more than the value itself. Beyond the range lie
        values that calibration did not see. With an exponential tail, of n values the largest is near ln(n) times the
        tail's mean excess, one in n**h lies beyond h times the largest, and the excess' mean square is 2 * its mean**2.
        """
        own, count = factors[self.own], max(self.entry.histogram.sum() / len(self.own), 3.0)
        span, unseen = 0.0, np.zeros(len(own))
        for side in (self.entry.channel_high, -self.entry.channel_low):
            part = np.maximum(side.astype(np.float64), 0.0)
            end = float((part / own).max())
            room = np.divide(end * own, part, out=np.full(len(own), np.inf), where=part > 0)
            unseen += 2 * (part / np.log(count)) ** 2 * count**-room
            span += end
        return np.asarray(np.minimum((span * own / 2.0**bits) ** 2 / 12, _power(self.entry)) + unseen)


@dataclass(frozen=True)
class _Taker:
    """A weighted layer that takes a scaled tensor; `groups` are the convolution's.

    Attributes:
        own: class of each input channel.
        largest: [groups, outputs, inputs], largest magnitude of each kernel.
        squares: [groups, outputs, inputs], sum of squares of each kernel.
        kernel: values of a kernel.
        power: [groups, inputs], mean square of each input channel, estimated.
    """

    own: Indices
    largest: Array
    squares: Array
    kernel: int
    power: Array

    @property
    def made(self) -> float:
        """Power of the output, were the inputs independent."""
        return float(np.einsum("goi,gi->", self.squares, self.power))

    def columns(self) -> Array:
        """The largest part, 0..1, that each channel has of a row: [inputs of all groups]."""
        rows = self.largest.max(axis=2, keepdims=True)
        parts = np.divide(self.largest, rows, out=np.zeros_like(self.largest), where=rows > 0)
        return np.asarray(parts.max(axis=1)).reshape(-1)

    def rounding(self, factors: Array, bits: int) -> float:
        """Power at the output that rounding the weights makes."""
        own = factors[self.own].reshape(self.power.shape)[:, np.newaxis]
        step = (self.largest * own).max(axis=2, keepdims=True) / 2.0 ** (bits - 1)
        error = np.minimum(self.kernel * (step / own) ** 2 / 12, self.squares)
        return float(np.einsum("goi,gi->", error, self.power))


@dataclass(frozen=True)
class _Group:
    """Tensors that share factors, and who takes them."""

    features: list[_Feature]
    consumers: list[_Taker]

    def best(self, factors: Array, fixed: Mask, feature_bits: int, weight_bits: int) -> Array:
        """Give the factors with those of this group chosen; of equally good ones the first, as they are before all."""
        columns, sensitivity = np.zeros((2, len(fixed)))
        consumers = [consumer for consumer in self.consumers if consumer.made > 0]
        for consumer in consumers:
            np.maximum.at(columns, consumer.own, consumer.columns())
            np.add.at(sensitivity, consumer.own, consumer.squares.sum(axis=1).reshape(-1) / consumer.made)

        def cost(candidate: Array) -> float:
            """Expected power of the error in what the consumers make, relative to its own.

            A step is one for all channels of a feature, or of a weight's row, in the new units.
            """
            features = sum(
                float(sensitivity[entry.own] @ entry.rounding(candidate, feature_bits)) for entry in self.features
            )
            return features + sum(consumer.rounding(candidate, weight_bits) / consumer.made for consumer in consumers)

        found, least = factors, cost(factors)
        for headroom, share in product(RANGE_HEADROOMS, FEATURE_SHARES):
            spread = np.zeros(len(fixed))
            for feature in self.features:
                np.maximum.at(spread, feature.own, feature.spread(headroom))
            live = np.flatnonzero((spread > 0) & (columns > 0) & ~fixed)
            if not live.size:
                break
            candidate = factors.copy()
            balanced = spread[live] ** share / columns[live] ** (1 - share)
            balanced *= (spread[live] / balanced).max()
            candidate[live] = np.clip(balanced, 1 / MAX_FACTOR, MAX_FACTOR)
            if (expected := cost(candidate)) < least:
                found, least = candidate, expected
        return found


def _taker(own: Indices, entry: TensorStatistics, node: onnx.NodeProto, weight: NDArray[np.float32]) -> _Taker:
    """Describe a weighted layer."""
    rows = _by_input(node, weight).astype(np.float64)
    return _Taker(
        own,
        np.abs(rows).max(axis=3),
        (rows**2).sum(axis=3),
        rows.shape[3],
        _power(entry).reshape(rows.shape[0], rows.shape[2]),
    )


def _power(entry: TensorStatistics) -> Array:
    """Estimate the mean square of each channel, float64 [C], from its mean and ends.

    The standard deviation is taken as an eighth of the range, as of a bell, but no more than the mean's distance from
    the nearer end, as of the exponential distribution that a Relu leaves.
    """
    low, high, mean = (part.astype(np.float64) for part in (entry.channel_low, entry.channel_high, entry.channel_mean))
    deviation = np.minimum(np.minimum(high - mean, mean - low), (high - low) / 8)
    return np.asarray(mean**2 + deviation**2)


def _fused(graph: Graph, name: str) -> bool:
    """Whether a tensor lies between an operator and the Relu or Clip that ends it."""
    consumers = graph.consumers.get(name, [])
    return len(consumers) == 1 and consumers[0].op_type in CLAMP_TYPES


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
