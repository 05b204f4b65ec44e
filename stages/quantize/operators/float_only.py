"""Operators that always run in float but can be scaled, or learned with."""

from stages.quantize.operators.onnx_operator import OnnxOperator, tie_unary

__all__ = ["OPERATORS"]

OPERATORS = {
    "Dropout": OnnxOperator(ties=tie_unary),
    "Softmax": OnnxOperator(torch=lambda call: call[0].softmax(call.get("axis", -1))),
}
