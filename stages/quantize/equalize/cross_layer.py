"""Cross-layer equalization: channel scales move from one layer to the next, the float function stays.

All channels of a feature share one scale, so a channel of small values gets few of the codes. Dividing a layer's output
channel by r and multiplying the next layer's weights for it by r changes nothing in float and gives the channel more of
them. What it costs: the columns of the next weight, which share a scale with the rest of their row, shrink where the
channel grows. Sources: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
2019 (across layers, through ReLUs); G. Xiao et al., "SmoothQuant", ICML 2023 (a feature's range against the weight's).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.graph.onnx_graph import Graph
from stages.core.integer.operators import WEIGHTED
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.equalize.channel_samples import channel_quantiles
from stages.quantize.equalize.channel_ties import Channels
from stages.quantize.equalize.factors import Consumer, FactorGroup, ScaledFeature
from stages.quantize.equalize.scaled_model import scaled_model
from stages.quantize.equalize.whole_weights import whole_weight_factors
from stages.quantize.partition.layers import CLAMP_TYPES

__all__ = ["Equalized", "equalize", "equalize_whole"]

Array = NDArray[np.float32]


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
    depends on the network and on both bit widths, so each group of tensors gets the one of least expected error of
    `factors.FEATURE_SHARES`, or stays, by a model of rounding: a depthwise layer, whose channels have scales of their
    own, lets the whole channel imbalance move; narrow weights let little. Neither may a channel fill the range with the
    values of a few pictures: others would saturate it. The model weighs that too, and chooses among
    `factors.RANGE_HEADROOMS`: little for narrow codes, more for wide ones.

    Factors are such that no tensor's range grows, and within 1/16..16; a channel that was always zero keeps 1.

    Args:
        model: the float network with shapes.
        statistics: by tensor; channels of tensors without any stay as they are.
        feature_bits: wanted bit width of features, 32 for float: they are balanced for it, not rounded.
        weight_bits: wanted bit width of weights.
    """
    channels = Channels(Graph(model))
    by_class = _choose_factors(channels, statistics, feature_bits, weight_bits)
    return _scaled(channels, {name: by_class[channels.of(name)].astype(np.float32) for name in channels.first})


def equalize_whole(
    model: onnx.ModelProto, statistics: Mapping[str, TensorStatistics], feeds: Iterable[Mapping[str, Array]]
) -> Equalized:
    """The same where one scale serves a whole weight, and a feature's threshold is the bound of the Clip before it.

    Args:
        model: the float network with shapes.
        statistics: by tensor.
        feeds: network inputs of a few pictures.
    """
    channels = Channels(Graph(model), through_clips=True)
    samples = channel_quantiles(model, [source for source, _ in channels.clips.values()], feeds)
    return _scaled(channels, whole_weight_factors(channels, statistics, samples))


def _scaled(channels: Channels, factors: dict[str, Array]) -> Equalized:
    """The network with those factors that are not 1."""
    factors = {name: factor for name, factor in factors.items() if np.any(factor != 1)}
    groups = {channels.groups[name] for name in factors}
    return Equalized(scaled_model(channels.graph, factors), factors, len(groups))


def _choose_factors(
    channels: Channels, statistics: Mapping[str, TensorStatistics], feature_bits: int, weight_bits: int
) -> NDArray[np.float64]:
    """Choose the factor of every class of channels."""
    graph, fixed = channels.graph, channels.fixed.copy()
    groups = {name: FactorGroup([], []) for name in channels.groups.values()}
    for name in channels.first:
        of_tensor, classes = statistics.get(name), channels.of(name)
        if of_tensor is None or len(of_tensor.channel_low) != len(classes):
            fixed[classes] = True
        elif not _is_fused(graph, name):
            groups[channels.groups[name]].features.append(ScaledFeature(classes, of_tensor))
    for node in graph.nodes:
        name = node.input[0] if node.op_type in WEIGHTED else ""
        if name in channels.first and name in statistics and not fixed[channels.of(name)].all():
            weight = np.asarray(graph.constant(node.input[1]))
            consumer = Consumer.of(channels.of(name), statistics[name], node, weight)
            groups[channels.groups[name]].consumers.append(consumer)
    factors = np.ones(len(fixed))
    for group in groups.values():
        factors = group.best(factors, fixed, feature_bits, weight_bits)
    return factors


def _is_fused(graph: Graph, name: str) -> bool:
    """Whether a tensor lies between an operator and the Relu or Clip that ends it."""
    consumers = graph.consumers.get(name, [])
    return len(consumers) == 1 and consumers[0].op_type in CLAMP_TYPES
