"""Detectors' graphs changed at their ends: what other exporters write, and what eight bits cannot hold."""

import onnx

from stages.core.base.errors import UserError
from stages.core.graph.onnx_graph import Graph
from stages.core.heads.head import Kind
from stages.core.heads.head_file import ExportedHead

__all__ = ["class_layers", "scores_first"]


def scores_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let the Concat that ends a network join its inputs in reverse: scores before boxes, as UltraFace has them.

    Args:
        model: with one output, of a Concat; not changed.

    Raises:
        UserError: if no Concat ends it.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (output,) = (info.name for info in changed.graph.output)
    joining = next(node for node in changed.graph.node if output in node.output)
    if joining.op_type != "Concat":
        raise UserError(f"output {output} is no Concat's")
    joining.input[:] = list(joining.input)[::-1]
    return changed


def class_layers(graph: Graph, exported: ExportedHead | None) -> list[onnx.NodeProto]:
    """The layers that give the classes of each level of a head, the finest first.

    Raises:
        UserError: if no head was recognized.
    """
    if exported is None:
        raise UserError("export recognized no head")
    return [graph.producers[level.views[Kind.classes].tensor] for level in exported.head.levels]
