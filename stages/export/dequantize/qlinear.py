"""Operators on codes with constant scales (ONNX Runtime's QOperator form): each is the float operator of its name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.dequantize.codes import dequantize
from stages.export.dequantize.rewriter import Rewriter, Rule

__all__ = ["RULES"]

ELEMENTWISE = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
ONE_INPUT = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
OWN_ATTRIBUTES = ("channels_last", "opset")
"""Attributes that the float operators do not have."""


@dataclass(frozen=True)
class _Operand:
    """Codes and their parameters, as neighbours in a node's inputs."""

    name: str
    scale: str
    zero_point: str


def _operand(node: onnx.NodeProto, first: int) -> _Operand:
    given = (*node.input[first : first + 3], "", "", "")
    return _Operand(*given[:3])


def _read(rewriter: Rewriter, node: onnx.NodeProto, operand: _Operand, axis: int = 1) -> str:
    return rewriter.operand(node, operand.name, operand.scale, operand.zero_point, axis)


def _write(rewriter: Rewriter, node: onnx.NodeProto, kind: str, inputs: Sequence[str], parameters: int) -> None:
    """Write the float operator; `parameters` is where the scale and zero point of the output are."""
    if attribute(node, "channels_last", 0):
        raise rewriter.refusal(node, "keeps its channels last")
    target = node.output[0]
    rewriter.add(kind, inputs, target, node, without=OWN_ATTRIBUTES)
    scale, zero_point = (*node.input[parameters : parameters + 2], "", "")[:2]
    if scale:
        rewriter.quantized(node, target, target, scale, zero_point, rewriter.code_type(node, zero_point))


def convolution(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QLinearConv and QLinearConvTranspose: inputs x, w and y with their parameters, then the bias in int32."""
    transposed = node.op_type == "QLinearConvTranspose"
    weight = _operand(node, 3)
    inputs = [_read(rewriter, node, _operand(node, 0)), _read(rewriter, node, weight, axis=1 if transposed else 0)]
    if len(node.input) > 8 and node.input[8]:
        inputs.append(_bias(rewriter, node, node.input[8], [node.input[1], weight.scale]))
    _write(rewriter, node, "ConvTranspose" if transposed else "Conv", inputs, parameters=6)


def _bias(rewriter: Rewriter, node: onnx.NodeProto, name: str, scales: Sequence[str], factor: float = 1.0) -> str:
    """The float bias: int32 codes at the product of the operands' scales."""
    codes = rewriter.scale(node, name)
    left, right = (rewriter.scale(node, scale).astype(np.float64) for scale in scales)
    values = dequantize(codes, factor * left.reshape(-1) * right.reshape(-1), None, axis=codes.ndim - 1)
    return rewriter.store(f"{node.output[0]}/bias", values)


def matmul(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QLinearMatMul: inputs a, b and y with their parameters."""
    rank = len(rewriter.constants[node.input[3]].dims) if node.input[3] in rewriter.constants else 2
    inputs = [_read(rewriter, node, _operand(node, 0)), _read(rewriter, node, _operand(node, 3), axis=rank - 1)]
    _write(rewriter, node, "MatMul", inputs, parameters=6)


def gemm(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QGemm: inputs A, B with their parameters, C in int32, and the output's parameters unless it is float."""
    alpha = attribute(node, "alpha", 1.0)
    axis = 0 if attribute(node, "transB", 0) else 1
    inputs = [_read(rewriter, node, _operand(node, 0)), _read(rewriter, node, _operand(node, 3), axis)]
    if len(node.input) > 6 and node.input[6]:
        inputs.append(_bias(rewriter, node, node.input[6], [node.input[1], node.input[4]], alpha))
    _write(rewriter, node, "Gemm", inputs, parameters=7)


def elementwise(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QLinearAdd and QLinearMul: inputs A, B and C with their parameters."""
    inputs = [_read(rewriter, node, _operand(node, first)) for first in (0, 3)]
    _write(rewriter, node, ELEMENTWISE[node.op_type], inputs, parameters=6)


def one_input(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """Operators of one input with its parameters, then those of the output."""
    _write(rewriter, node, ONE_INPUT[node.op_type], [_read(rewriter, node, _operand(node, 0))], parameters=3)


def concat(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QLinearConcat: the output's parameters, then each input with its own."""
    inputs = [_read(rewriter, node, _operand(node, first)) for first in range(2, len(node.input), 3)]
    _write(rewriter, node, "Concat", inputs, parameters=0)


def where(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """QLinearWhere: the condition, x and y with their parameters, then the output's."""
    inputs = [rewriter.real(node.input[0]), *(_read(rewriter, node, _operand(node, first)) for first in (1, 4))]
    _write(rewriter, node, "Where", inputs, parameters=7)


RULES: dict[str, Rule] = {
    "QLinearConv": convolution,
    "QLinearConvTranspose": convolution,
    "QLinearMatMul": matmul,
    "QGemm": gemm,
    "QLinearConcat": concat,
    "QLinearWhere": where,
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(ONE_INPUT, one_input),
}
