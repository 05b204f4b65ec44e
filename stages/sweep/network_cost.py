"""What a quantized network costs whatever the board: bit operations and bytes of weights."""

from stages.core.config.schema import FLOAT_BITS, Config
from stages.core.cost import bit_operations, size
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.quantize.partition.layer_work import layer_work
from stages.quantize.partition.layers import Layer, find_layers

__all__ = ["COST_UNITS", "network_cost"]

COST_UNITS = {"bit_operations": ("G bit ops", 1e9), "weight_bytes": ("MB weights", 1e6)}
"""Cost -> its unit on a chart, and how much of it that is."""


def network_cost(graph: Graph, config: Config, params: NetworkParams) -> dict[str, float]:
    """Add up what the layers cost at the bit widths that they got.

    A layer with either operand in float counts its SOC's floats' bits on both sides.

    Args:
        graph: the float network.
        config: the experiment.
        params: bit widths of features and weights.

    Returns:
        `COST_UNITS`' keys: bit operations of one picture (multiplications times the bits of both operands), bytes of
        weights as stored, without biases.
    """
    features = {feature.tensor: feature.bits for feature in params.features}
    weights = {weight.node: weight.bits for weight in params.weights}
    layers = find_layers(graph, config.soc)
    total = dict.fromkeys(COST_UNITS, 0.0)
    for layer, work in zip(layers, layer_work(graph, layers), strict=True):
        feature, other = _operand_bits(graph, layer, features, weights)
        total["bit_operations"] += bit_operations(work, feature, other, config.soc.float_bits)
        total["weight_bytes"] += size(work, other, config.soc.float_bits)
    return total


def _operand_bits(graph: Graph, layer: Layer, features: dict[str, int], weights: dict[str, int]) -> tuple[int, int]:
    """Bit widths of a layer's two operands: feature and weight, or two features."""
    bit_widths = [features.get(name, FLOAT_BITS) for name in layer.operands(graph)] or [FLOAT_BITS]
    weighted = layer.weighted(graph)
    other = weights.get(layer.first.name, FLOAT_BITS) if weighted else bit_widths[-1]
    return (FLOAT_BITS, FLOAT_BITS) if FLOAT_BITS in (bit_widths[0], other) else (bit_widths[0], other)
