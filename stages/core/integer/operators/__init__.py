"""The operators of the integer domain: one record each, and the one table from ONNX's operators to them."""

from itertools import chain

import onnx

from stages.core.integer.operators import average_pool, boundary, fixed_point, prelu, resize, table, weighted
from stages.core.integer.operators.moves import HOMOGENEOUS_MOVES, MOVES, VIEWS
from stages.core.integer.operators.record import DOMAIN, CodesOperator, Operands, Operator

__all__ = [
    "BOUNDARIES",
    "BY_KIND",
    "BY_ONNX_TYPE",
    "DOMAIN",
    "HOMOGENEOUS",
    "KEEPS_CODES",
    "MOVES",
    "OPERATORS",
    "VIEWS",
    "WEIGHTED",
    "CodesOperator",
    "Operands",
    "Operator",
    "operator_of",
]

BOUNDARIES: dict[str, type[Operator]] = {record.op_type(): record for record in boundary.OPERATORS}
"""Operators at which codes begin and end; they are no layers."""
LAYERS: dict[str, type[Operator]] = {
    record.op_type(): record
    for family in (weighted, fixed_point, average_pool, table, prelu, resize)
    for record in family.OPERATORS
}
OPERATORS: dict[str, type[Operator]] = BOUNDARIES | LAYERS
"""Type of a node of the integer domain -> its record."""
BY_ONNX_TYPE: dict[str, type[Operator]] = dict(
    chain.from_iterable(((name, record) for name in record.onnx_types) for record in LAYERS.values())
)
"""ONNX operator -> the record that it is lowered to."""
BY_KIND: dict[str, type[Operator]] = dict(
    chain.from_iterable(((name, record) for name in record.listed_as()) for record in LAYERS.values())
)
"""Name in a SOC's list of operators -> record."""
WEIGHTED = frozenset(name for name, record in BY_ONNX_TYPE.items() if record.weighted)
"""ONNX operators that multiply a feature by a weight, their second input."""
HOMOGENEOUS = HOMOGENEOUS_MOVES.union(*(record.homogeneous for record in LAYERS.values()))
"""ONNX operators that let factors of equalization through, or take them into their weights."""
KEEPS_CODES = MOVES | {name for name, record in BY_ONNX_TYPE.items() if record.keeps_codes}
"""ONNX operators whose output has its input's quantization parameters: codes moved, picked or interpolated."""


def operator_of(node: onnx.NodeProto) -> Operator:
    """Read the record of a node of the integer domain.

    Raises:
        ValueError: for a type or an attribute that the domain does not have.
    """
    if node.op_type not in OPERATORS:
        raise ValueError(f"{node.name}: {node.op_type} is no operator of the domain {DOMAIN}")
    return OPERATORS[node.op_type].from_node(node)
