"""Which features may have a scale for each channel, so that every integer stays exact."""

from collections.abc import Collection

import numpy as np

from stages.core.config.schema import FeatureScale, Requantization, SocConfig, WeightScale
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.operators import BY_KIND
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer
from stages.quantize.partition.nodes import clamp_bounds

__all__ = ["may_have_channel_scales", "requantizes_per_channel"]


def requantizes_per_channel(soc: SocConfig) -> bool:
    """Whether the SOC requantizes each channel of a weighted layer by its own effective scale, and can be told so."""
    per_channel = soc.weight_scale is WeightScale.per_channel and soc.feature_scale is FeatureScale.per_channel
    return per_channel and soc.requantization is not Requantization.shift


def may_have_channel_scales(network: LayerGraph, tensor: str, integer: Collection[str]) -> bool:
    """Whether each channel of a feature may have its own scale, on a SOC that requantizes per channel.

    Its consumers have to keep channels apart: a depthwise convolution takes their scales into its effective scales, a
    table becomes one table a channel. An operator that sums channels up, or moves them, could not. Its producer needs
    an effective scale or a table for each channel too.

    Args:
        network: its layers.
        tensor: the feature.
        integer: names of the layers that run in integers.
    """
    graph, producer = network.graph, network.producers.get(tensor)
    if producer is None or producer.name not in integer:
        return False
    if tensor in graph.outputs or len(graph.shapes[tensor]) < 3:
        return False
    consumers = [network.by_node[node.name] for node in graph.consumers.get(tensor, [])]
    apart = all(consumer.name in integer and _takes_channel_scales(consumer) for consumer in consumers)
    return bool(consumers) and apart and _gives_channel_scales(graph, producer)


def _takes_channel_scales(layer: Layer) -> bool:
    """Whether a layer keeps channels apart, so that its input may have a scale a channel."""
    return layer.kind in BY_KIND and layer.kind in BY_KIND[layer.kind].per_channel_kinds


def _gives_channel_scales(graph: Graph, layer: Layer) -> bool:
    """Whether a layer has an effective scale or a table a channel, and clamps them all at one code.

    A fused activation must begin at 0, the zero point in every channel. It may end anywhere: the largest code of no
    channel lies beyond, since no channel's range does. Any other bound would be another code in each channel.
    """
    record = BY_KIND.get(layer.kind)
    if record is None or not record.per_channel_output:
        return False
    if not record.weighted:
        return True
    grouped = layer.first.op_type == "ConvTranspose" and attribute(layer.first, "group", 1) > 1  # one weight scale
    bounds = clamp_bounds(graph, layer.nodes[-1]) if len(layer.nodes) > 1 else (0.0, np.inf)
    return not grouped and bounds[0] == 0.0 <= bounds[1]
