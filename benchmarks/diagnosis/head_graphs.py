"""Detectors' graphs changed at their ends: what other exporters write, and what eight bits cannot hold."""

import onnx

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.head import Kind
from stages.core.heads.head_file import ExportedHead

__all__ = ["boxes_in_cells", "class_layers", "last_join", "scores_first"]


def scores_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let the Concat that ends a network join its inputs in reverse: scores before boxes, as UltraFace has them.

    Args:
        model: with one output, of a Concat; not changed.

    Raises:
        UserError: if no Concat ends it.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    joining = last_join(changed)
    joining.input[:] = list(joining.input)[::-1]
    return changed


def boxes_in_cells(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out the product with the strides at the end of a network: boxes in cells of their grid beside scores.

    Args:
        model: whose output a Concat joins, of boxes times strides first; not changed.

    Raises:
        UserError: if it ends otherwise.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    joining = last_join(changed)
    product = next((node for node in changed.graph.node if joining.input[0] in node.output), None)
    if product is None or product.op_type != "Mul":
        raise UserError(f"{joining.input[0]}, the boxes, are no product with strides")
    joining.input[0] = product.input[0]
    changed.graph.node.remove(product)
    return changed


def last_join(model: onnx.ModelProto) -> onnx.NodeProto:
    """The Concat that gives a network's only output.

    Raises:
        UserError: if another operator does.
    """
    (output,) = (info.name for info in model.graph.output)
    node: onnx.NodeProto = next(node for node in model.graph.node if output in node.output)
    if node.op_type != "Concat":
        raise UserError(f"output {output} is no Concat's")
    return node


def class_layers(graph: Graph, exported: ExportedHead | None) -> list[onnx.NodeProto]:
    """The layers that give the classes of each level of a head, the finest first.

    Raises:
        UserError: if no head was recognized.
    """
    if exported is None:
        raise UserError("export recognized no head")
    return [graph.producers[level.views[Kind.classes].tensor] for level in exported.head.levels]
