"""Reads out/export, out/calibrate, quant, soc; writes out/quantize: quantized.onnx, qparams.json, node-bits file."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.core.artifacts import output_folder, save_model, write_json
from stages.core.command import run_stage
from stages.core.config import Config, FeatureZeroPoint, WeightScale
from stages.core.console import output, track
from stages.core.errors import UserError
from stages.core.graph import Graph, attribute, load_model
from stages.core.paths import FLOAT_MODEL, NODE_BITS, NOTES, QPARAMS, QUANTIZE, QUANTIZED_MODEL, STATISTICS
from stages.core.qparams import FeatureParams, QuantParams, WeightParams, save_qparams
from stages.core.statistics import TensorStatistics, load_statistics
from stages.quantize.placement import FeaturePlace, Placement, place
from stages.quantize.qdq import bias_of, insert_quantizers
from stages.quantize.ranges import feature_range
from stages.quantize.scales import affine, least_bias_scales, representable, weight_codes


def quantize(config: Config) -> None:
    model = load_model(FLOAT_MODEL)
    graph = Graph(model)
    placement = place(graph, config.soc, config.quant)
    features = choose_features(placement, load_statistics(STATISTICS), config)
    weights, codes = choose_weights(placement, graph, features, config)
    params = QuantParams(features, weights)
    quantized = insert_quantizers(model, params, codes)
    with output_folder(QUANTIZE) as folder:
        save_model(folder / QUANTIZED_MODEL.name, quantized)
        save_qparams(folder / QPARAMS.name, params, config)
        write_json(folder / NODE_BITS.name, node_bits(features))
        write_json(folder / NOTES.name, placement.notes)
    for line in placement.notes:
        output.print(f"note: {line}")
    output.print(
        f"quantized for the {config.soc.name}: {_widths('features', features)} ({config.quant.feature_method.name}), "
        f"{_widths('weights', weights)} ({config.quant.weight_method.name})"
    )


def _widths(what: str, entries: Sequence[FeatureParams | WeightParams]) -> str:
    counts = sorted(Counter(entry.bits for entry in entries).items())
    return ", ".join(f"{count} {what} at {bits} bits" for bits, count in counts) or f"no {what}"


def choose_features(
    placement: Placement, statistics: Mapping[str, TensorStatistics], config: Config
) -> list[FeatureParams]:
    """Choose scale and zero point of every feature from its statistics."""
    symmetric = config.soc.feature_zero_point is FeatureZeroPoint.symmetric
    ranges: dict[str, tuple[float, float]] = {}

    def choose(where: FeaturePlace) -> FeatureParams:
        if where.source not in statistics:
            raise UserError(f"no statistics of tensor {where.source!r}: run `dvc repro calibrate`")
        seen = statistics[where.source]
        if where.source not in ranges:
            ranges[where.source] = feature_range(seen, config.quant.feature_method, where.bits)
        scale, zero_point = affine(*ranges[where.source], where.bits, symmetric)
        low, high = representable(float(scale), zero_point, where.bits)
        return FeatureParams(
            tensor=where.tensor,
            node=where.node,
            bits=where.bits,
            scale=float(scale),
            zero_point=zero_point,
            low=low,
            high=high,
            seen_low=seen.low,
            seen_high=seen.high,
            method=config.quant.feature_method.name if where.source == where.tensor else "shared",
        )

    return [choose(where) for where in track(placement.features, "ranges")]


def choose_weights(
    placement: Placement, graph: Graph, features: Sequence[FeatureParams], config: Config
) -> tuple[list[WeightParams], dict[str, NDArray[np.int32]]]:
    """Quantize every weight; gives the codes by node."""
    per_channel = config.soc.weight_scale is WeightScale.per_channel
    feature_scales = {entry.tensor: entry.scale for entry in features}
    nodes = {node.name: node for node in graph.nodes}
    params, codes = [], {}
    for where in placement.weights:
        node = nodes[where.node]
        axis = where.axis if per_channel and _one_scale_fits_groups(node) else None
        weight, bias = graph.constant(where.tensor), bias_of(graph, node)
        assert weight is not None
        fed = feature_scales.get(node.input[0])
        least = least_bias_scales(bias, fed) if bias is not None and fed else None
        codes[where.node], scales = weight_codes(weight, where.bits, axis, least)
        chosen = tuple(float(scale) for scale in scales)
        params.append(WeightParams(where.tensor, where.node, where.bits, axis, chosen, config.quant.weight_method.name))
    return params, codes


def _one_scale_fits_groups(node: onnx.NodeProto) -> bool:
    """Whether the weight's channel axis counts output channels: not so for a grouped ConvTranspose."""
    return not (node.op_type == "ConvTranspose" and attribute(node, "group", 1) > 1)


def node_bits(features: list[FeatureParams]) -> dict[str, dict[str, float | int]]:
    """The vendor's mixed-width file: node -> width and range."""
    return {entry.node: {"QUANT_FEATURE_BIT": entry.bits, "MIN": entry.low, "MAX": entry.high} for entry in features}


if __name__ == "__main__":
    run_stage(quantize, __doc__ or "")
