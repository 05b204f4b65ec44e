"""Layers of the integer model, told by the tensors of the float network that they compute."""

from collections.abc import Iterable

import onnx

from stages.core.graph.onnx_graph import Graph, output_name
from stages.core.integer.model import DOMAIN, inner_tensors, tensor_quant_params
from stages.core.integer.network_params import NetworkParams
from stages.core.integer.operators.boundary import QUANTIZERS

__all__ = ["computed_in_integers", "enclosing_layers", "layer_tensors", "node_names", "unquantized_values"]

AT_BORDERS = {*QUANTIZERS, "Dequantize", "Constant"}  # integer nodes that are no layer


def node_names(graph: Graph) -> dict[str, str]:
    """Every float tensor that a network computes -> the name of its node in tables, in graph order."""
    return {name: output_name(graph.producers[name], name) for name in graph.float_tensors if name in graph.producers}


def computed_in_integers(integer: onnx.ModelProto) -> set[str]:
    """Tensors that layers in integers compute, those inside fused layers too."""
    quant_params = tensor_quant_params(integer.graph.node)
    tensors = inner_tensors(integer.graph.node)
    for node in integer.graph.node:
        own = node.domain == DOMAIN
        layer = own and node.op_type not in AT_BORDERS
        result = own and node.op_type in QUANTIZERS and node.input[0] in tensors  # one that leaves the layer in float
        moved = not own and node.input and node.input[0] in quant_params
        if layer or result or moved:
            tensors.update(node.output)
    return tensors


def unquantized_values(integer: onnx.ModelProto) -> dict[str, str]:
    """Tensors whose codes are quantized from what a layer in float computes -> the name of these values."""
    fed = {info.name for info in integer.graph.input}
    nodes = (node for node in integer.graph.node if node.domain == DOMAIN and node.op_type in QUANTIZERS)
    return {node.output[0]: node.input[0] for node in nodes if node.input[0] not in fed}


def layer_tensors(tensors: Iterable[str], integer: onnx.ModelProto, params: NetworkParams) -> list[str]:
    """Those tensors that are outputs of layers: not inside a fused layer, and not codes passed on as they are."""
    shared = {feature.tensor for feature in params.features if feature.method.is_shared}
    left_out = shared | inner_tensors(integer.graph.node)
    return [name for name in tensors if name not in left_out]


def enclosing_layers(integer: onnx.ModelProto) -> dict[str, str]:
    """Tensors inside fused layers -> the layer's output."""
    return {name: node.output[0] for node in integer.graph.node for name in inner_tensors([node])}
