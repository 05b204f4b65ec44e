"""Arithmetic of two tensors, and of a tensor and a number."""

import numpy as np

from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Converter, Operator

__all__ = ["CONVERTERS"]

PAIRS = {
    "Add": ("elemwise_add", "broadcast_add", "broadcast_plus", "_plus", "_Plus", "_add", "_grad_add"),
    "Sub": ("elemwise_sub", "broadcast_sub", "broadcast_minus", "_minus", "_Minus", "_sub"),
    "Mul": ("elemwise_mul", "broadcast_mul", "_mul", "_Mul"),
    "Div": ("elemwise_div", "broadcast_div", "_div", "_Div"),
    "Max": ("broadcast_maximum", "_maximum", "_Maximum"),
    "Min": ("broadcast_minimum", "_minimum", "_Minimum"),
    "Pow": ("broadcast_power", "_power", "_Power"),
}
NUMBERS = {
    "Add": ("_plus_scalar", "_PlusScalar"),
    "Sub": ("_minus_scalar", "_MinusScalar"),
    "Mul": ("_mul_scalar", "_MulScalar"),
    "Div": ("_div_scalar", "_DivScalar"),
    "Max": ("_maximum_scalar", "_MaximumScalar"),
    "Min": ("_minimum_scalar", "_MinimumScalar"),
    "Pow": ("_power_scalar", "_PowerScalar"),
}
REVERSED = {
    "Sub": ("_rminus_scalar", "_RMinusScalar"),
    "Div": ("_rdiv_scalar", "_RDivScalar"),
    "Pow": ("_rpower_scalar", "_RPowerScalar"),
}
"""Those with the number first."""


def _pair(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, operator: Operator) -> None:
        graph.add(op_type, operator.inputs, operator.name, [operator.name])

    return convert


def _number(op_type: str, *, first: bool) -> Converter:
    def convert(graph: GraphBuilder, operator: Operator) -> None:
        number = graph.constant(f"{operator.name}/scalar", np.float32(operator.attributes.number("scalar", 1.0)))
        inputs = [number, operator.inputs[0]] if first else [operator.inputs[0], number]
        graph.add(op_type, inputs, operator.name, [operator.name])

    return convert


def _sum(graph: GraphBuilder, operator: Operator) -> None:
    """Of any number of tensors."""
    value = operator.inputs[0]
    for position, term in enumerate(operator.inputs[1:], 2):
        last = position == len(operator.inputs)
        name = operator.name if last else f"{operator.name}/Add_{position - 1}"
        value = graph.add("Add", [value, term], name, [operator.name] if last else ())


CONVERTERS: dict[str, Converter] = {
    **{kind: _pair(op_type) for op_type, kinds in PAIRS.items() for kind in kinds},
    **{kind: _number(op_type, first=False) for op_type, kinds in NUMBERS.items() for kind in kinds},
    **{kind: _number(op_type, first=True) for op_type, kinds in REVERSED.items() for kind in kinds},
    **dict.fromkeys(("ElementWiseSum", "add_n"), _sum),
}
