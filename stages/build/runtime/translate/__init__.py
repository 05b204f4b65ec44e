"""From the integer model to the runtime's program: every node becomes one operation, or a few.

Tensors of rank 4 lie in memory as NHWC, others as in the network. Where an operator needs its operand otherwise (a
matrix product of a picture's rows, a convolution along one axis), a movement precedes and follows it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import onnx

from stages.build.runtime.program import Program, UnsupportedError
from stages.build.runtime.translate import (
    boundary,
    elementwise,
    indexed,
    joined,
    moves,
    pools,
    recurrent,
    reductions,
    resize,
    weighted,
)
from stages.build.runtime.translate.translation import Translation
from stages.core.data.inputs import NetworkInput
from stages.core.integer.dumps import dump_names
from stages.core.integer.float_forms import basic_forms
from stages.core.integer.operators import DOMAIN, Operator, operator_of

__all__ = ["FLOAT_TRANSLATORS", "INTEGER_TRANSLATORS", "translate", "untranslatable"]

FAMILIES = (boundary, weighted, elementwise, indexed, joined, pools, recurrent, reductions, resize)
INTEGER_TRANSLATORS: dict[type[Operator], Callable[..., None]] = {
    record: function for family in FAMILIES for record, function in family.INTEGER_TRANSLATORS.items()
}
"""Record of the integer domain -> function that writes its operations."""
FLOAT_TRANSLATORS: dict[str, Callable[[Translation, onnx.NodeProto], None]] = {
    name: function for family in FAMILIES for name, function in family.FLOAT_TRANSLATORS.items()
}
"""ONNX operator in float -> function that writes its operations."""

NEVER = {
    "If": ": which of its branches runs is not known before",
    "Loop": ": its body runs as often as the input says",
    "Scan": ": its body is a network of its own",
    **dict.fromkeys(
        ("SequenceAt", "SequenceConstruct", "SequenceInsert", "SequenceMap", "SplitToSequence"),
        ": it has no memory for sequences of tensors",
    ),
}
"""Operators that a program whose memory is planned before cannot run, and why."""


def translate(model: onnx.ModelProto, inputs: Sequence[NetworkInput]) -> Program:
    """Write an integer model as a program.

    Args:
        model: the integer model, its tensors' shapes known.
        inputs: mean and normal of the network's inputs.

    Raises:
        UnsupportedError: naming a node that the runtime has no operation for.
    """
    basic = basic_forms(model)
    to = Translation(basic, inputs, dump_names(model))
    to.begin()
    for node in basic.graph.node:
        _translate_node(to, node)
    to.finish()
    return to.program


def untranslatable(model: onnx.ModelProto, inputs: Sequence[NetworkInput]) -> dict[str, str]:
    """Find all nodes that `translate` would refuse: it stops at the first.

    Args:
        model: the integer model, its tensors' shapes known.
        inputs: mean and normal of the network's inputs.

    Returns:
        Name of a node -> the refusal, in graph order; empty of a network that `translate` takes. A refusal of an input
        or an output stands under that tensor's name.
    """
    basic = basic_forms(model)
    to = Translation(basic, inputs, dump_names(model))
    refused: dict[str, str] = {}
    try:
        to.begin()
    except UnsupportedError as error:
        return {to.graph_inputs[0]: str(error)}
    for node in basic.graph.node:
        try:
            _translate_node(to, node)
        except UnsupportedError as error:
            refused[node.name] = str(error)
            _declare_results(to, node)
    try:
        to.finish()
    except UnsupportedError as error:
        if not refused:
            refused[model.graph.output[0].name] = str(error)
    return refused


def _declare_results(to: Translation, node: onnx.NodeProto) -> None:
    """Let the nodes behind a refused one have its outputs, those of known shape."""
    for name in filter(None, node.output):
        with suppress(UnsupportedError):
            to.result(name)


def _translate_node(to: Translation, node: onnx.NodeProto) -> None:
    to.enter(node)
    if node.domain == DOMAIN:
        operator = operator_of(node)
        INTEGER_TRANSLATORS[type(operator)](to, node, operator)
    elif moves.moves(to, node):
        moves.move(to, node)
    elif node.op_type in pools.MAX_POOLS:
        pools.max_pool(to, node)
    elif not (node.input and node.input[0] in to.quant_params) and node.op_type in FLOAT_TRANSLATORS:
        FLOAT_TRANSLATORS[node.op_type](to, node)
    else:
        raise to.unsupported(NEVER.get(node.op_type, ""))
