"""ONNX operators in quantize: one record each, and the table of all of them.

A record holds all that differs from operator to operator: how a layer is lowered to the integer model, why it may have
to run in float, which channels it ties together, how PyTorch runs it. The operators of the integer domain are in
`stages.core.integer.operators`.
"""

from stages.core.graph.onnx_graph import Graph
from stages.quantize.operators import fixed_point, float_only, moves, pools, prelu, resize, tables, weighted
from stages.quantize.operators.onnx_operator import OnnxOperator
from stages.quantize.partition.layers import Layer

__all__ = ["ONNX_OPERATORS", "OnnxOperator", "why_float"]

ONNX_OPERATORS: dict[str, OnnxOperator] = {
    name: operator
    for family in (weighted, fixed_point, prelu, tables, pools, resize, moves, float_only)
    for name, operator in family.OPERATORS.items()
}
"""ONNX type -> record."""


def why_float(graph: Graph, layer: Layer) -> str | None:
    """Say why an operator, in the form it has here, cannot run in integers; None if it can."""
    operator = ONNX_OPERATORS.get(layer.first.op_type)
    if operator is None or operator.lower is None:
        return "it has no integer rule here"
    return operator.limits(graph, layer.first) if operator.limits else None
