"""Choosing scales and zero points from statistics, and codes of weights to the nearest."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.core.base.console import track
from stages.core.base.errors import UserError
from stages.core.base.threads import in_order
from stages.core.config.schema import FLOAT_BITS, Config, FeatureZeroPoint, Requantization, SocConfig, WeightScale
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.network_params import FeatureParams, RangeSource, WeightParams
from stages.core.integer.rules import broadcast_scales, nna_limits
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.quantize.parameters.alignment import MOST_CODE, aligned_scales, least_scale_of_short_biases
from stages.quantize.parameters.channel_scales import channel_scales, least_channel_scales
from stages.quantize.parameters.converter_ranges import converter_ranges
from stages.quantize.parameters.ranges import feature_range
from stages.quantize.parameters.scales import SMALLEST_NORMAL, affine, least_bias_scales, representable
from stages.quantize.parameters.weight_scales import squared_errors, weight_codes, weight_qmax, weight_scales
from stages.quantize.partition.nodes import bias_of
from stages.quantize.quantizers.setup import FeatureQuantizer, QuantizerSetup, WeightQuantizer

__all__ = [
    "alignments",
    "choose_features",
    "choose_weights",
    "kept_codes",
    "most_code",
    "soc_affine",
    "symmetric_features",
]

Range = tuple[float, float]


def choose_features(
    setup: QuantizerSetup,
    graph: Graph,
    statistics: Mapping[str, TensorStatistics],
    config: Config,
    ranges: Mapping[str, Range] | None = None,
) -> list[FeatureParams]:
    """Choose scale, or a scale a channel, and zero point of every feature from its statistics.

    `ranges` of some features replace what the method would choose for them.

    Raises:
        UserError: if a feature has no statistics.
    """
    chooser = _FeatureChooser(setup, graph, statistics, config, ranges or {})
    for quantizer in track(setup.features, "ranges"):
        chooser.choose(quantizer)
    params = list(chooser.params.values())
    if config.soc.follows_converter:
        params = converter_ranges(params, graph, setup.layers, setup.integer, config.soc.requantization)
    return params


def symmetric_features(soc: SocConfig) -> bool:
    """Whether the zero point of a SOC's features is bound, see `affine`."""
    return soc.feature_zero_point is not FeatureZeroPoint.affine


def soc_affine(ends: Range, bits: int, soc: SocConfig) -> tuple[np.float32, int]:
    """Scale and zero point for a range where the SOC's may lie, see `affine`.

    Of a range symmetric about 0 two zero points are as good: the open T41 runtime reads pictures at the middle one.
    """
    scale, zero_point = affine(min(ends[0], _least_low(soc)), ends[1], bits, symmetric_features(soc))
    if soc.requantization is Requantization.nna_open and -ends[0] == ends[1] > 0.0:
        zero_point = 2 ** (bits - 1)
    return scale, zero_point


def _least_low(soc: SocConfig) -> float:
    """What the lower end of a range is at most: just below zero where all features are signed, see `affine`."""
    return -SMALLEST_NORMAL if soc.feature_zero_point is FeatureZeroPoint.signed else 0.0


class _FeatureChooser:
    """Chooses features in graph order: some depend on the features before."""

    def __init__(
        self,
        setup: QuantizerSetup,
        graph: Graph,
        statistics: Mapping[str, TensorStatistics],
        config: Config,
        ranges: Mapping[str, Range],
    ) -> None:
        self._graph, self._statistics, self._quant, self._ranges = graph, statistics, config.quant, ranges
        self._symmetric = symmetric_features(config.soc)
        self._soc = config.soc
        self._producers = {layer.output: layer for layer in setup.layers}
        self._weights = {weight.node: weight for weight in setup.weights}
        self.params: dict[str, FeatureParams] = {}

    def choose(self, quantizer: FeatureQuantizer) -> None:
        """Choose one feature's parameters."""
        tensor, bits = quantizer.tensor, quantizer.bits
        seen = self._seen_range(tensor)
        scales: tuple[float, ...] = ()
        if quantizer.source != tensor:
            source = self.params[quantizer.source]
            scale, zero_point, method = source.scale, source.zero_point, RangeSource.shared
        else:
            ends, method = self._range(quantizer, seen)
            if quantizer.per_channel:
                by_channel, zero_point = self._channel_scales(quantizer, ends)
                scale, scales = float(by_channel.max()), tuple(by_channel.tolist())
            else:
                per_tensor, zero_point = soc_affine(ends, bits, self._soc)
                scale = float(per_tensor)
        low, high = representable(scale, zero_point, bits)
        self.params[tensor] = FeatureParams(
            tensor, quantizer.node, bits, scale, zero_point, low, high, *seen, method, scales, quantizer.float_consumers
        )

    def _seen_range(self, tensor: str) -> Range:
        """The smallest and the largest value during calibration, or of a constant."""
        constant = self._graph.constant(tensor)
        if constant is not None:
            return float(constant.min()), float(constant.max())
        if tensor not in self._statistics:
            raise UserError(f"no statistics of tensor {tensor!r}: run `dvc repro calibrate`")
        return self._statistics[tensor].low, self._statistics[tensor].high

    def _range(self, quantizer: FeatureQuantizer, seen: Range) -> tuple[Range, RangeSource]:
        """The range that the codes cover, and the method that chose it."""
        tensor, quant = quantizer.tensor, self._quant
        constant = tensor in self._graph.constants
        method = RangeSource.constant if constant else RangeSource(quant.feature_method.value)
        if quantizer.range is not None:
            return quantizer.range, RangeSource.node_bits
        if tensor in self._ranges and not quantizer.per_channel:
            return self._ranges[tensor], method
        if constant:
            return seen, method
        statistics = self._statistics[tensor]
        statistics = replace(statistics, low=min(statistics.low, _least_low(self._soc)))
        ends = feature_range(statistics, quant.feature_method, quantizer.bits, quant.percentile, self._symmetric)
        return ends, method

    def _channel_scales(self, quantizer: FeatureQuantizer, ends: Range) -> tuple[NDArray[np.float32], int]:
        """The scale of each channel within the tensor's range, and their zero point."""
        statistics = self._statistics[quantizer.tensor]
        low, high = statistics.channel_low.clip(*ends), statistics.channel_high.clip(*ends)
        return channel_scales(low, high, quantizer.bits, self._symmetric, self._least_scales(quantizer.tensor))

    def _least_scales(self, tensor: str) -> NDArray[np.float64] | float:
        """The smallest scales that make sense for a feature's channels."""
        node = self._producers[tensor].first
        if node.name not in self._weights:
            return 0.0
        weight, quantizer = self._graph.constant(node.input[1]), self._weights[node.name]
        assert weight is not None
        x_scales = broadcast_scales(self.params[node.input[0]].scales, weight.shape[quantizer.axis])
        return least_channel_scales(weight, quantizer.axis, quantizer.bits, x_scales)


def choose_weights(
    setup: QuantizerSetup, graph: Graph, features: Sequence[FeatureParams], config: Config
) -> tuple[list[WeightParams], dict[str, NDArray[np.int32]]]:
    """Choose the scales of every weight, and round it to the nearest codes.

    Returns:
        Parameters in graph order, and node -> int32 codes of its weight.
    """
    by_tensor = {feature.tensor: feature for feature in features}
    nodes = {node.name: node for node in graph.nodes}

    def choose(quantizer: WeightQuantizer) -> tuple[WeightParams, NDArray[np.int32]]:
        node, bits = nodes[quantizer.node], quantizer.bits
        weight, bias = graph.constant(quantizer.tensor), bias_of(graph, node)
        assert weight is not None
        # one scale an output channel does not fit a grouped ConvTranspose, whose axis counts a group's channels
        grouped = node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1
        one_scale = config.soc.follows_converter and node.op_type in ("Gemm", "MatMul")
        per_channel = config.soc.weight_scale is WeightScale.per_channel and not grouped and not one_scale
        axis = quantizer.axis if per_channel else None
        scales = weight_scales(weight, bits, axis, config.quant.weight_method)
        x, y = by_tensor.get(node.input[0]), by_tensor.get(quantizer.output)
        candidates = alignments(scales, axis, bias, x, y, config.soc)
        scales = candidates[0]
        if len(candidates) > 1:
            errors = [squared_errors(weight, candidate, bits, axis) for candidate in candidates]
            scales = np.take_along_axis(np.stack(candidates), np.argmin(errors, axis=0)[None], axis=0)[0]
        codes = kept_codes(weight_codes(weight, scales, bits, axis), config.soc)
        chosen, method = tuple(float(scale) for scale in scales), config.quant.weight_method.name
        return WeightParams(quantizer.tensor, node.name, bits, axis, chosen, method), codes

    chosen = list(track(in_order(choose, setup.weights), "weights", len(setup.weights)))
    return [params for params, _ in chosen], {params.node: codes for params, codes in chosen}


def kept_codes(codes: NDArray[np.int32], soc: SocConfig) -> NDArray[np.int32]:
    """Codes of a weight as the SOC's converter keeps them: on BM1684 one of 127 would cost the whole layer a shift."""
    most = most_code(FLOAT_BITS, soc)
    return np.clip(codes, -most, most)


def most_code(bits: int, soc: SocConfig) -> int:
    """The largest of a weight's codes that the SOC's converter keeps, see `kept_codes`."""
    limited = soc.requantization is Requantization.sophgo_bm1684
    return min(weight_qmax(bits), MOST_CODE) if limited else weight_qmax(bits)


def alignments(
    scales: NDArray[np.float32],
    axis: int | None,
    bias: NDArray[np.float32] | None,
    x: FeatureParams | None,
    y: FeatureParams | None,
    soc: SocConfig,
) -> list[NDArray[np.float32]]:
    """Move weight scales to where the SOC's integers express a layer's requantization exactly.

    Args:
        scales: float32 [channels] or [1].
        axis: output-channel axis of the weight, None for one scale.
        bias: float32 [channels].
        x: parameters of the layer's input; None if it is float.
        y: parameters of its output; None if it has no codes.
        soc: for its requantization rule.

    Returns:
        Candidates in the shape of `scales`: the bias fits the accumulator, the rule has the effective scale.
    """
    real_bias = np.zeros(1, dtype=np.float32) if bias is None else bias
    if x is None:
        return [scales]
    x_scales = broadcast_scales(x.scales, len(scales))
    if soc.requantization is Requantization.sophgo_bm1684:
        least = least_scale_of_short_biases(real_bias, x_scales)
    else:
        least = least_bias_scales(real_bias, x_scales)
    scales = np.maximum(scales, least if axis is not None else least.max())
    if y is None or y.float_consumers:  # nothing is requantized: the layer returns float
        return [scales]
    y_scales = broadcast_scales(y.scales, len(scales))
    limits = nna_limits(real_bias, y_scales, y.bits)
    limits = limits if axis is not None else limits.min(keepdims=True)
    return aligned_scales(scales, x_scales, y_scales, soc.requantization, limits)
