"""The simulator: an integer model as plain ONNX that ONNX Runtime runs fast, with the reference's exact results."""

from collections.abc import Sequence

import onnx
from onnx import helper

from stages.core.graph.onnx_graph import used_names
from stages.core.integer.model import tensor_quant_params
from stages.core.integer.operators import DOMAIN, operator_of
from stages.core.integer.operators.moves import simulate_move
from stages.core.integer.writer import Writer

__all__ = ["simulator_model"]


def simulator_model(model: onnx.ModelProto, tensors: Sequence[str], codes: bool = False) -> onnx.ModelProto:
    """Write an integer model as standard ONNX.

    Args:
        model: the integer model.
        tensors: the outputs, in this order: tensors of the integer model, or the inner ones of fused layers (their
            values before rounding and clamping).
        codes: return codes (uint8 or uint16) instead of their real values.

    Returns:
        A model with the same inputs, and these outputs under the same names.
    """
    writer = Writer(model, tensor_quant_params(model.graph.node))
    for node in model.graph.node:
        if node.domain == DOMAIN:
            operator_of(node).simulate(writer, node)
        elif node.input and node.input[0] in writer.quant_params:
            simulate_move(writer, node)
        else:
            writer.nodes.append(node)
    for tensor in tensors:
        writer.write_output(tensor, codes)
    used = used_names(writer.nodes)
    graph = helper.make_graph(
        writer.nodes,
        model.graph.name,
        list(model.graph.input),
        [onnx.ValueInfoProto(name=name) for name in tensors],
        [tensor for name, tensor in writer.constants.items() if name in used],
    )
    opset = [each for each in model.opset_import if each.domain != DOMAIN]
    return helper.make_model(graph, opset_imports=opset, ir_version=model.ir_version)
