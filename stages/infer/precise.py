"""Layers in float, computed in double and rounded once: what the board's reference runtime does, on any machine.

ONNX Runtime's own float32 kernels round as the processor's vectors happen to be long, so that a dump would be another
on another PC. A convolution has no kernel in double: one that stays in float is ONNX Runtime's, within a few units in
the last place.
"""

import onnx
from onnx import TensorProto, helper

from stages.core.integer.model import DOMAIN, code_tensors

__all__ = ["precise"]

FIRST_ONLY = {"Exp", "ReduceMean", "ReduceSum", "Sigmoid", "Softmax", "Tanh"}  # other inputs are no floats
ALL = {"Gemm", "MatMul"}


def precise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy an integer model so that its sums and functions in float32 are taken in double.

    Args:
        model: the integer model; the copy computes the same tensors, each under its name.
    """
    codes = code_tensors(model.graph.node)
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    for node in model.graph.node:
        wanted = node.domain != DOMAIN and node.op_type in FIRST_ONLY | ALL and node.input[0] not in codes
        found.graph.node.extend(_in_double(node) if wanted else [node])
    return found


def _in_double(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    before = []
    count = len(node.input) if node.op_type in ALL else 1
    for index, name in enumerate(node.input[:count]):
        if name:
            inner.input[index] = f"{node.name}/double/{index}"
            before.append(helper.make_node("Cast", [name], [inner.input[index]], to=TensorProto.DOUBLE))
    inner.output[0] = f"{node.name}/double"
    return [*before, inner, helper.make_node("Cast", [inner.output[0]], [node.output[0]], to=TensorProto.FLOAT)]
