"""The ranges of features, and which layers stay in float, as TPU-MLIR's tables have them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from stages.core.config.schema import FeatureZeroPoint, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import FeatureParams, NetworkParams
from stages.core.integer.thresholds import threshold
from stages.core.statistics.tensor_statistics import TensorStatistics
from stages.core.tpu_mlir.names import layer_name

__all__ = ["float_nodes", "table_ranges"]

SMALLEST_THRESHOLD = 1e-6
"""Rows have seven decimals; for a feature that is always zero any threshold does."""

Row = tuple[float, float, float]


def table_ranges(
    graph: Graph,
    params: NetworkParams,
    statistics: Mapping[str, TensorStatistics],
    integer: onnx.ModelProto,
    soc: SocConfig,
) -> dict[str, Any]:
    """Gather what `stages/core/tpu_mlir/tables.py` makes the two tables of.

    A tensor that has no codes here (within a fused layer, or in float) has the range that was seen: the compiler may
    keep apart what is one layer here.

    Args:
        graph: the exported network.
        params: the quantized features.
        statistics: of all its tensors.
        integer: the integer model: what it keeps in float.
        soc: the chip.
    """
    by_tensor = {feature.tensor: feature for feature in params.features}
    signed = soc.feature_zero_point is FeatureZeroPoint.signed
    rows: dict[str, Row] = {}
    for tensor in graph.float_tensors:
        if tensor in by_tensor:
            rows[layer_name(graph, tensor)] = _row(by_tensor[tensor])
        elif tensor in statistics:
            rows[layer_name(graph, tensor)] = _seen_row(statistics[tensor], params.factors.get(tensor), signed)
    methods = sorted({feature.method.value for feature in params.features if feature.method.by_method})
    floats = float_nodes(graph, params, integer)
    types = {layer_name(graph, node.output[0]): soc.float_types[0] for node in graph.nodes if node.name in floats}
    named = {layer_name(graph, name): [name, node.name] for node in graph.nodes for name in node.output}
    return {
        "tensors": rows,
        "types": types,
        "chip_types": soc.float_types,
        "method": f"socquant {' '.join(methods)}",
        "layers": named,
    }


def float_nodes(graph: Graph, params: NetworkParams, integer: onnx.ModelProto) -> set[str]:
    """Names of the nodes that the integer model computes in float.

    They are copied into it. So are those that only move codes: their output is a quantized feature itself.
    """
    coded = {feature.tensor for feature in params.features}
    copied = {node.name for node in integer.graph.node if node.domain == "" and not coded.intersection(node.output)}
    return copied & {node.name for node in graph.nodes}


def _row(feature: FeatureParams) -> Row:
    """Threshold, min and max: the number from which the integer model's arithmetic follows, too."""
    number = threshold(feature.scale, feature.zero_point, feature.bits)
    return number, -number if feature.zero_point else 0.0, number


def _seen_row(statistics: TensorStatistics, factors: tuple[float, ...] | None, signed: bool) -> Row:
    low, high = statistics.low, statistics.high
    if factors is not None:  # the tensor is scaled: original = scaled * factor
        by_channel = np.asarray(factors, dtype=np.float64)
        low = float((statistics.channel_low / by_channel).min())
        high = float((statistics.channel_high / by_channel).max())
    number = max(-low, high, SMALLEST_THRESHOLD)
    return number, -number if signed or low < 0.0 else 0.0, number
