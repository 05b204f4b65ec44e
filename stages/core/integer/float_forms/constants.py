"""Nodes whose outputs are known before anything is fed."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import helper

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Array, Rewriter, Rule
from stages.core.integer.reference import run_onnx_node

__all__ = ["RULES", "fold"]

DRAWN = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}


def fold(to: Rewriter, node: onnx.NodeProto, keep: Collection[str]) -> bool:
    """Replace a node whose outputs are known; gives whether that was done.

    Args:
        to: the rewritten model.
        node: the node.
        keep: tensors that have to stay the outputs of nodes, or constants under their own name.
    """
    if node.op_type == "Constant":
        for name, value in zip(node.output, run_onnx_node(node, [], to.opset_import), strict=True):
            to.name_constant(name, np.asarray(value))
        return True
    values = _values(to, node)
    if values is None or not all(isinstance(value, np.ndarray) and value.size for value in values):
        return False
    for index, (name, value) in enumerate(zip(node.output, values, strict=True)):
        stored = to.constant(value)
        to.op("Identity", stored, y=name)
        if name not in keep or index:
            to.renamed[name] = stored
    return True


def _values(to: Rewriter, node: onnx.NodeProto) -> list[Array] | None:
    if node.op_type in ("Shape", "Size"):
        shape = to.shape(node.input[0])
        if shape is None:
            return None
        part = slice(attribute(node, "start", 0), attribute(node, "end"))
        return [np.array(shape[part] if node.op_type == "Shape" else int(np.prod(shape)), np.int64)]
    given = [to.value(node, index) for index in range(len(node.input))]
    if (
        node.op_type in DRAWN
        or not given
        or any(value is None and name for value, name in zip(given, node.input, strict=True))
    ):
        return None
    bare = helper.make_node(node.op_type, list(node.input), [name or "unused" for name in node.output])
    bare.domain = node.domain
    bare.attribute.extend(node.attribute)
    return [np.asarray(value) for value in run_onnx_node(bare, given, to.opset_import)]


RULES: dict[str, Rule] = {}
