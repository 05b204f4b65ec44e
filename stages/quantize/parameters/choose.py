"""Choosing scales and zero points from statistics, and codes of weights to the nearest."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.config.schema import Config, FeatureZeroPoint, SocConfig, WeightScale
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.qparams import FeatureParams, RangeSource, WeightParams
from stages.core.integer.rules import broadcast_scales, nna_limits
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.parameters.alignment import aligned_scales
from stages.quantize.parameters.channel_scales import channel_scales, least_steps
from stages.quantize.parameters.ranges import feature_range
from stages.quantize.parameters.scales import affine, least_bias_scales, representable
from stages.quantize.parameters.weight_scales import squared_errors, weight_codes, weight_scales
from stages.quantize.partition.nodes import bias_of
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup, WeightQuantizer

__all__ = ["alignments", "choose_features", "choose_weights", "symmetric_features"]


def choose_features(
    setup: QuantizerSetup,
    graph: Graph,
    statistics: Mapping[str, TensorStatistics],
    config: Config,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> list[FeatureParams]:
    """Choose scale, or a scale a channel, and zero point of every feature from its statistics.

    `ranges` of some features take the place of what the method would choose for them.
    """
    symmetric = symmetric_features(config.soc)
    chosen: dict[str, FeatureParams] = {}
    producers = {layer.output: layer for layer in setup.layers}
    weights = {where.node: where for where in setup.weights}

    def finest(where: FeatureQuantizer) -> NDArray[np.float64] | float:
        """The smallest scales that make sense for a feature's channels."""
        node = producers[where.tensor].first
        if node.name not in weights:
            return 0.0
        weight, place = graph.constant(node.input[1]), weights[node.name]
        assert weight is not None
        taken = broadcast_scales(chosen[node.input[0]].scales, weight.shape[place.axis])
        return least_steps(weight, place.axis, place.bits, taken)

    def choose(where: FeatureQuantizer) -> FeatureParams:
        constant = graph.constant(where.tensor)
        if constant is not None:
            seen, method = (float(constant.min()), float(constant.max())), RangeSource.constant
        elif where.tensor in statistics:
            seen = statistics[where.tensor].low, statistics[where.tensor].high
            method = RangeSource(config.quant.feature_method.value)
        else:
            raise UserError(f"no statistics of tensor {where.tensor!r}: run `dvc repro calibrate`")
        scales: tuple[float, ...] = ()
        if where.source != where.tensor:
            scale, zero_point, method = chosen[where.source].scale, chosen[where.source].zero_point, RangeSource.shared
        else:
            ends = seen
            if where.range is not None:
                ends, method = where.range, RangeSource.node_bits
            elif ranges and where.tensor in ranges and not where.per_channel:
                ends = ranges[where.tensor]
            elif constant is None:
                quant = config.quant
                ends = feature_range(
                    statistics[where.tensor], quant.feature_method, where.bits, quant.percentile, symmetric
                )
            if where.per_channel:
                channels = statistics[where.tensor]
                seen_ends = channels.channel_low.clip(*ends), channels.channel_high.clip(*ends)
                each, zero_point = channel_scales(*seen_ends, where.bits, symmetric, finest(where))
                scale, scales = float(each.max()), tuple(each.tolist())
            else:
                found, zero_point = affine(*ends, where.bits, symmetric)
                scale = float(found)
        low, high = representable(scale, zero_point, where.bits)
        chosen[where.tensor] = FeatureParams(
            where.tensor, where.node, where.bits, scale, zero_point, low, high, *seen, method, scales
        )
        return chosen[where.tensor]

    return [choose(where) for where in track(setup.features, "ranges")]


def symmetric_features(soc: SocConfig) -> bool:
    """Whether the zero point of a SOC's features is bound, see `affine`."""
    return soc.feature_zero_point is FeatureZeroPoint.symmetric


def choose_weights(
    setup: QuantizerSetup, graph: Graph, features: Sequence[FeatureParams], config: Config
) -> tuple[list[WeightParams], dict[str, NDArray[np.int32]]]:
    """Quantize every weight; gives the codes by node."""
    by_tensor = {entry.tensor: entry for entry in features}
    nodes = {node.name: node for node in graph.nodes}
    params, codes = [], {}

    def choose(where: WeightQuantizer) -> None:
        node = nodes[where.node]
        weight, bias = graph.constant(where.tensor), bias_of(graph, node)
        assert weight is not None
        # one scale an output channel does not fit a grouped ConvTranspose, whose axis counts a group's channels
        grouped = node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1
        axis = where.axis if config.soc.weight_scale is WeightScale.per_channel and not grouped else None
        scales = weight_scales(weight, where.bits, axis, config.quant.weight_method)
        taken, made = by_tensor.get(node.input[0]), by_tensor.get(where.output)
        candidates = alignments(scales, axis, bias, taken, made, config.soc)
        errors = [squared_errors(weight, candidate, where.bits, axis) for candidate in candidates]
        scales = np.take_along_axis(np.stack(candidates), np.argmin(errors, axis=0)[None], axis=0)[0]
        codes[where.node] = weight_codes(weight, scales, where.bits, axis)
        chosen = tuple(float(scale) for scale in scales)
        params.append(WeightParams(where.tensor, where.node, where.bits, axis, chosen, config.quant.weight_method.name))

    for where in track(setup.weights, "weights"):
        choose(where)
    return params, codes


def alignments(
    scales: NDArray[np.float32],
    axis: int | None,
    bias: NDArray[np.float32] | None,
    taken: FeatureParams | None,
    made: FeatureParams | None,
    soc: SocConfig,
) -> list[NDArray[np.float32]]:
    """Move weight scales to where the SOC's integers do a layer justice.

    Args:
        scales: float32 [channels] or [1].
        axis: output-channel axis of the weight, None for one scale.
        bias: float32 [channels].
        taken: parameters of the layer's input; None if it is float.
        made: parameters of its output; None if it is float.
        soc: for its requantization rule.

    Returns:
        Candidates in the shape of `scales`: the bias fits the accumulator, the gain is one that the rule has.
    """
    real = np.zeros(1, dtype=np.float32) if bias is None else bias
    if taken is None:
        return [scales]
    taken_steps = broadcast_scales(taken.scales, len(scales))
    least = least_bias_scales(real, taken_steps)
    scales = np.maximum(scales, least if axis is not None else least.max())
    if made is None:
        return [scales]
    made_steps = broadcast_scales(made.scales, len(scales))
    limits = nna_limits(real, made_steps, made.bits)
    limits = limits if axis is not None else limits.min(keepdims=True)
    return aligned_scales(scales, taken_steps, made_steps, soc.requantization, limits)
