"""From the float network and its quantization parameters to the integer model."""

import onnx

from stages.core.config.schema import SocConfig
from stages.core.integer.network_params import NetworkParams
from stages.quantize.emit.tpu_mlir import LOWERINGS
from stages.quantize.operators import ONNX_OPERATORS
from stages.quantize.operators.builder import Codebook, IntegerModelBuilder
from stages.quantize.parameters.weight_scales import dequantized
from stages.quantize.quantizers.setup import QuantizerSetup

__all__ = ["lower"]


def lower(
    model: onnx.ModelProto, soc: SocConfig, setup: QuantizerSetup, params: NetworkParams, codes: Codebook
) -> tuple[onnx.ModelProto, list[str]]:
    """Write the integer model.

    A layer computes on codes if all its features have codes and its weight too; any other runs in float between
    Dequantize and Quantize.

    Args:
        model: the canonical float network.
        soc: for its requantization rule.
        setup: the layers, and which of them run in integers.
        params: scales and zero points.
        codes: node -> int32 codes of its weight.

    Returns:
        The model, and notes: layers whose sums may not fit a 32-bit accumulator.
    """
    to = IntegerModelBuilder(model, soc, params, codes)
    weights = {weight.node: weight for weight in params.weights}
    by_rule = LOWERINGS.get(soc.requantization, {})
    to.begin()
    for layer in setup.layers:
        if layer.name in setup.integer:
            operator = layer.first.op_type
            own = {} if to.leaves_in_float(layer.output) else by_rule
            lower_layer = own.get(operator, ONNX_OPERATORS[operator].lower)
            assert lower_layer is not None, f"{layer.first.op_type} has no lowering"
            lower_layer(to, layer)
            continue
        for node in layer.nodes:
            weight = weights.get(node.name)
            to.copy(node, dequantized(codes[node.name], weight.scales, weight.axis) if weight else None)
    return to.finish(), to.notes
