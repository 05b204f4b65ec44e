"""Layers in float as a few basic operators: what the board's runtime computes, and what the PC computes beside it.

ONNX has some two hundred operators, and most are others put together: `basic_forms` writes those as the others. The
board's runtime needs the basic ones alone, and both sides round at the same places: their dumps are equal.
"""

import onnx

from stages.core.graph.onnx_graph import captured_names
from stages.core.integer.float_forms import (
    constants,
    convolutions,
    functions,
    normalizations,
    pools,
    products,
    quantization,
    reductions,
    sampling,
)
from stages.core.integer.float_forms.convolutions import transposed_as_conv
from stages.core.integer.float_forms.rewriter import Rewriter, Rule
from stages.core.integer.model import DOMAIN, tensor_quant_params

__all__ = ["RULES", "Rewriter", "basic_forms", "transposed_as_conv"]

RULES: dict[str, Rule] = {
    name: rule
    for module in (
        constants,
        convolutions,
        functions,
        normalizations,
        pools,
        products,
        quantization,
        reductions,
        sampling,
    )
    for name, rule in module.RULES.items()
}
"""ONNX operator -> how it is written with others. A rule that leaves a node as it is adds the node itself."""


def basic_forms(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy an integer model with its layers in float written as basic operators.

    Args:
        model: the integer model; nodes on codes stay as they are.

    Returns:
        A model with every tensor of `model` but constants, each under its name, and with further tensors between them.
    """
    rewriter, outputs = Rewriter(model), {info.name for info in model.graph.output}
    captured = {name for node in model.graph.node for name in captured_names(node)}
    codes = tensor_quant_params(model.graph.node)
    for node in model.graph.node:
        rewriter.enter(node)
        in_float = node.domain != DOMAIN and not (node.input and node.input[0] in codes)
        if not in_float or captured_names(node):
            rewriter.keep(node)
        elif not constants.fold(rewriter, node, keep=captured | outputs):
            RULES.get(node.op_type, Rewriter.keep)(rewriter, node)
    rewritten = rewriter.finish()
    return basic_forms(rewritten) if rewriter.again else rewritten
