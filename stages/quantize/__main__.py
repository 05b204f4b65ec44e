"""Reads out/export, out/calibrate, quant, soc; writes out/quantize: integer and QDQ network, parameters, node bits."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.core.artifacts import output_folder, save_model, write_json
from stages.core.command import run_stage
from stages.core.config import Config, FeatureZeroPoint, WeightScale
from stages.core.console import output, track
from stages.core.errors import UserError
from stages.core.graph import Graph, attribute, load_model, output_name
from stages.core.integer.rules import nna_limits
from stages.core.paths import (
    FLOAT_MODEL,
    INTEGER_MODEL,
    NODE_BITS,
    NOTES,
    QPARAMS,
    QUANTIZE,
    QUANTIZED_MODEL,
    STATISTICS,
)
from stages.core.qparams import CONSTANT, SHARED, FeatureParams, QuantParams, WeightParams, save_qparams
from stages.core.statistics import TensorStatistics, load_statistics
from stages.quantize.alignment import aligned_scales
from stages.quantize.channel_scales import channel_scales, least_steps
from stages.quantize.layers import bias_of
from stages.quantize.lower import lower
from stages.quantize.node_bits import load_node_bits, node_bits
from stages.quantize.placement import FeaturePlace, Placement, WeightPlace, place
from stages.quantize.qdq import insert_quantizers
from stages.quantize.ranges import feature_range
from stages.quantize.scales import affine, least_bias_scales, representable, spread
from stages.quantize.weights import squared_errors, weight_codes, weight_scales


def quantize(config: Config) -> None:
    model = load_model(FLOAT_MODEL)
    graph = Graph(model)
    names = [output_name(node, tensor) for node in graph.nodes for tensor in node.output]
    by_node = load_node_bits(config.quant.node_bits, [*graph.inputs, *names], config.quant.node_ranges)
    placement = place(graph, config.soc, config.quant, by_node)
    features = choose_features(placement, graph, load_statistics(STATISTICS), config)
    weights, codes = choose_weights(placement, graph, features, config)
    params = QuantParams(features, weights, placement.skipped)
    integer, wide = lower(model, config.soc, placement, params, codes)
    notes = placement.notes + wide
    with output_folder(QUANTIZE) as folder:
        save_model(folder / QUANTIZED_MODEL.name, insert_quantizers(model, params, codes))
        save_model(folder / INTEGER_MODEL.name, integer)
        save_qparams(folder / QPARAMS.name, params, config)
        write_json(folder / NODE_BITS.name, node_bits(params, config.quant.weight_bits, _symmetric(config), by_node))
        write_json(folder / NOTES.name, notes)
    for line in notes:
        output.print(f"note: {line}")
    output.print(
        f"quantized for the {config.soc.name}: {_widths('features', features)} ({config.quant.feature_method.name}), "
        f"{_widths('weights', weights)} ({config.quant.weight_method.name})"
    )


def _widths(what: str, entries: Sequence[FeatureParams | WeightParams]) -> str:
    counts = sorted(Counter(entry.bits for entry in entries).items())
    return ", ".join(f"{count} {what} at {bits} bits" for bits, count in counts) or f"no {what}"


def choose_features(
    placement: Placement, graph: Graph, statistics: Mapping[str, TensorStatistics], config: Config
) -> list[FeatureParams]:
    """Choose scale, or a scale a channel, and zero point of every feature from its statistics."""
    symmetric = _symmetric(config)
    chosen: dict[str, FeatureParams] = {}
    makers = {layer.output: layer for layer in placement.layers}
    weights = {where.node: where for where in placement.weights}

    def finest(where: FeaturePlace) -> NDArray[np.float64] | float:
        """The smallest scales that make sense for a feature's channels."""
        node = makers[where.tensor].first
        if node.name not in weights:
            return 0.0
        weight, place = graph.constant(node.input[1]), weights[node.name]
        assert weight is not None
        taken = spread(chosen[node.input[0]].scales, weight.shape[place.axis])
        return least_steps(weight, place.axis, place.bits, taken)

    def choose(where: FeaturePlace) -> FeatureParams:
        constant = graph.constant(where.tensor)
        if constant is not None:
            seen, method = (float(constant.min()), float(constant.max())), CONSTANT
        elif where.tensor in statistics:
            seen = statistics[where.tensor].low, statistics[where.tensor].high
            method = config.quant.feature_method.name
        else:
            raise UserError(f"no statistics of tensor {where.tensor!r}: run `dvc repro calibrate`")
        scales: tuple[float, ...] = ()
        if where.source != where.tensor:
            scale, zero_point, method = chosen[where.source].scale, chosen[where.source].zero_point, SHARED
        else:
            ends = seen
            if where.range is not None:
                ends, method = where.range, "node_bits"
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

    return [choose(where) for where in track(placement.features, "ranges")]


def _symmetric(config: Config) -> bool:
    return config.soc.feature_zero_point is FeatureZeroPoint.symmetric


def choose_weights(
    placement: Placement, graph: Graph, features: Sequence[FeatureParams], config: Config
) -> tuple[list[WeightParams], dict[str, NDArray[np.int32]]]:
    """Quantize every weight; gives the codes by node."""
    by_tensor = {entry.tensor: entry for entry in features}
    nodes = {node.name: node for node in graph.nodes}
    params, codes = [], {}

    def choose(where: WeightPlace) -> None:
        node = nodes[where.node]
        weight, bias = graph.constant(where.tensor), bias_of(graph, node)
        assert weight is not None
        # one scale an output channel does not fit a grouped ConvTranspose, whose axis counts a group's channels
        grouped = node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1
        axis = where.axis if config.soc.weight_scale is WeightScale.per_channel and not grouped else None
        scales = weight_scales(weight, where.bits, axis, config.quant.weight_method)
        taken, made = by_tensor.get(node.input[0]), by_tensor.get(where.output)
        bias = np.zeros(1, dtype=np.float32) if bias is None else bias
        if taken:
            taken_steps = spread(taken.scales, len(scales))
            least = least_bias_scales(bias, taken_steps)
            scales = np.maximum(scales, least if axis is not None else least.max())
        if taken and made:
            made_steps = spread(made.scales, len(scales))
            limits = nna_limits(bias, made_steps, made.bits)
            limits = limits if axis is not None else limits.min(keepdims=True)
            candidates = aligned_scales(scales, taken_steps, made_steps, config.soc.requantization, limits)
            errors = [squared_errors(weight, candidate, where.bits, axis) for candidate in candidates]
            scales = np.take_along_axis(np.stack(candidates), np.argmin(errors, axis=0)[None], axis=0)[0]
        codes[where.node] = weight_codes(weight, scales, where.bits, axis)
        chosen = tuple(float(scale) for scale in scales)
        params.append(WeightParams(where.tensor, where.node, where.bits, axis, chosen, config.quant.weight_method.name))

    for where in track(placement.weights, "weights"):
        choose(where)
    return params, codes


if __name__ == "__main__":
    run_stage(quantize, __doc__ or "")
