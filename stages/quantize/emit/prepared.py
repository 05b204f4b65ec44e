"""The network for the vendor's converter: float, with weights whose values have exact codes.

A converter that rounds to the nearest at the same scales gets the same codes, whatever method chose them here.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import captured_names, check_structure
from stages.core.integer.network_params import NetworkParams
from stages.quantize.parameters.weight_scales import dequantized

__all__ = ["prepared_model", "with_biases"]


def prepared_model(
    model: onnx.ModelProto, params: NetworkParams, codes: Mapping[str, NDArray[np.int32]]
) -> onnx.ModelProto:
    """Replace every quantized weight by its dequantized codes.

    Args:
        model: the canonical float network; not changed.
        params: which weights are quantized, at which scales.
        codes: node -> int32 codes of its weight.

    Returns:
        The same network with other weights, under their names. Where nodes share a weight and not all of them have the
        same codes and scales for it, each gets a weight of its own, `NODE/weight/dequantized`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    nodes = {node.name: node for node in result.graph.node}
    values = {weight.node: dequantized(codes[weight.node], weight.scales, weight.axis) for weight in params.weights}
    sharing: dict[str, list[str]] = {}
    for weight in params.weights:
        sharing.setdefault(weight.tensor, []).append(weight.node)
    stored = {tensor.name: tensor for tensor in result.graph.initializer}
    for tensor, names in sharing.items():
        same = all(np.array_equal(values[name], values[names[0]]) for name in names)
        if same and _uses(result, tensor) == len(names):
            stored[tensor].CopyFrom(numpy_helper.from_array(values[names[0]], tensor))
            continue
        for name in names:
            nodes[name].input[1] = f"{name}/weight/dequantized"
            result.graph.initializer.append(numpy_helper.from_array(values[name], nodes[name].input[1]))
        if _uses(result, tensor) == 0:
            result.graph.initializer.remove(stored[tensor])
    check_structure(result)
    return result


def with_biases(model: onnx.ModelProto, biases: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Copy a network with other biases.

    Args:
        model: the float network.
        biases: node (Conv, ConvTranspose or Gemm) -> float32 [channels]; stored as `NODE/bias/corrected`.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    replaced = set()
    for node in result.graph.node:
        if node.name in biases:
            replaced.update(node.input[2:])
            name = f"{node.name}/bias/corrected"
            result.graph.initializer.append(numpy_helper.from_array(biases[node.name].astype(np.float32), name))
            del node.input[2:]
            node.input.append(name)
    kept = [
        tensor for tensor in result.graph.initializer if tensor.name not in replaced or _uses(result, tensor.name) > 0
    ]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return result


def _uses(model: onnx.ModelProto, tensor: str) -> int:
    """How often the graph names a tensor: as an input of a node or its own, inside a node's body, or as an output."""
    consumed = [name for node in model.graph.node for name in (*node.input, *captured_names(node))]
    return [*consumed, *(info.name for info in (*model.graph.input, *model.graph.output))].count(tensor)
