import pytest

from stages.core.config.schema import Config, QuantConfig
from stages.core.graph.onnx_graph import Graph
from stages.core.integer.network_params import NetworkParams
from stages.sweep.network_cost import network_cost
from tests.networks import quantized_network, soc_config, tiny_classifier

# by hand: stem 8*8*8 outputs of 3*3*3, depthwise 8*8*8 of 3*3, project 8*8*8 of 8, fc 3 of 8
MACS = {"stem": 512 * 27, "depthwise": 512 * 9, "project": 512 * 8, "fc": 24}
WEIGHTS = {"stem": 216, "depthwise": 72, "project": 64, "fc": 24}


def cost(params):
    config = Config(soc=soc_config("t40"), quant=QuantConfig("q"))
    return network_cost(Graph(tiny_classifier()), config, params)


def quantized(**quant):
    import numpy as np

    picture = {"images": np.random.default_rng(0).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}
    return quantized_network(tiny_classifier(), [picture], soc_config("t40"), **quant).params


@pytest.mark.parametrize(("features", "weights"), [(8, 8), (4, 8), (8, 4), (4, 4)])
def test_multiplications_times_both_bit_widths(features, weights):
    costs = cost(quantized(feature_bits=features, weight_bits=weights))
    assert costs["bit_operations"] == sum(MACS.values()) * features * weights
    assert costs["weight_bytes"] == sum(WEIGHTS.values()) * weights / 8


def test_in_float_both_sides_count_32_bits():
    costs = cost(NetworkParams([], []))
    assert costs == {"bit_operations": sum(MACS.values()) * 32 * 32, "weight_bytes": sum(WEIGHTS.values()) * 4.0}


def test_a_layer_in_float_costs_as_such():
    costs = cost(quantized(skip_nodes=["project"]))
    assert costs["bit_operations"] == sum(MACS.values()) * 64 + MACS["project"] * (32 * 32 - 64)
    assert costs["weight_bytes"] == sum(WEIGHTS.values()) + 3 * WEIGHTS["project"]
