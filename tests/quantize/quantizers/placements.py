"""A SOC and the placement of quantizers on a small network, for the tests of settings."""

import pytest

from stages.core.base.errors import UserError
from stages.core.config.schema import OperatorGroup, QuantConfig, SimulatedBitWidths, SocConfig
from stages.core.graph.onnx_graph import Graph
from stages.quantize.quantizers.placement import place_quantizers
from tests.networks import tiny_classifier

TENSORS = ["images", "r1", "r2", "c3", "sum", "pooled", "flat"]
WEIGHTS = ["stem", "depthwise", "project", "fc"]
SIMULATED = SimulatedBitWidths([14, 16], [16])


def soc(simulated=None, **operators):
    """A SOC like the T40: the first operators are wide, Gemm narrow."""
    wide = ("Conv", "DepthwiseConv", "Relu", "Clip", "Add", "Sigmoid", "Concat", "Mul", "MaxPool", "GlobalAveragePool")
    known = (
        {kind: ([4, 8, 10, 12], [4, 8]) for kind in (*wide, "Silu", "Flatten")} | {"Gemm": ([4, 8], [8])} | operators
    )
    return SocConfig(
        name="S1",
        float_outputs=True,
        fused_activations=["Relu", "Clip"],
        operators={kind: OperatorGroup([kind], *bit_widths) for kind, bit_widths in known.items()},
        simulated=simulated or SimulatedBitWidths(),
    )


def placed(by_node=None, chip=None, graph=None, **quant):
    return place_quantizers(graph or Graph(tiny_classifier()), chip or soc(), QuantConfig("q", **quant), by_node)


def bits(setup):
    return {feature.tensor: feature.bits for feature in setup.features}


def weight_bits(setup):
    return {weight.node: weight.bits for weight in setup.weights}


def refusal(*arguments, **quant):
    with pytest.raises(UserError) as caught:
        placed(*arguments, **quant)
    assert "\n" not in str(caught.value)
    return str(caught.value)
