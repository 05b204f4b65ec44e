"""Removing Transposes that undo each other, with layers between them computed in the other layout.

Networks from TensorFlow change from NHWC to NCHW and back around whole parts. Such a part, a region, is everything
that a Transpose leads to through operators that work in any layout. It is rewritten if fewer Transposes are left.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.core.graph.onnx_graph import Graph, attribute
from stages.export.layout.flattened import reorder_weight
from stages.export.layout.nodes import add_constant, replace_nodes, unused_name
from stages.export.layout.regions import AXIS, ELEMENTWISE, Region, axes_of, data_inputs, region_of

__all__ = ["without_transposes"]


def without_transposes(model: onnx.ModelProto) -> None:
    """Remove Transposes that undo each other, in place; outputs keep their names, values and layouts.

    Args:
        model: with static shapes.
    """
    while _one_less(model):  # ends: each round leaves fewer
        del model.graph.value_info[:]


def _one_less(model: onnx.ModelProto) -> bool:
    """Remove at least one Transpose; False if none can be."""
    graph = Graph(model)
    nodes = graph.nodes
    starts = [index for index, node in enumerate(nodes) if node.op_type == "Transpose"]
    index_of = {node.output[0]: index for index, node in enumerate(nodes)}
    regions = (region_of(graph, nodes, index_of, start) for start in starts)
    region = next((region for region in regions if region.pays), None)
    if region is not None:
        _Rewriter(model, graph, region).rewrite()
        return True
    return any(reorder_weight(model, graph, nodes[start]) for start in starts)


class _Rewriter:
    """Computes a region in the layout before its Transpose."""

    def __init__(self, model: onnx.ModelProto, graph: Graph, region: Region) -> None:
        self._model, self._graph, self._region, self._nodes = model, graph, region, graph.nodes
        self._inverse = [int(axis) for axis in np.argsort(region.perm)]
        self._before = self._names_before()
        self._after = {
            self._nodes[index].output[0]: self._before[self._nodes[index].input[0]] for index in region.undone
        }
        self._entering = {name: unused_name(graph, f"{name}/entering") for name in sorted(region.entering)}
        self._written: list[onnx.NodeProto] = []
        self._transposed: set[str] = set()

    def _names_before(self) -> dict[str, str]:
        """Names of the region's tensors in the layout before the Transpose."""
        region, nodes = self._region, self._nodes
        before = {nodes[head].output[0]: nodes[head].input[0] for head in region.heads}
        inner = [name for name in region.tensors if name not in before]
        for name in inner:
            before[name] = unused_name(self._graph, f"{name}/transposed") if name in region.leaving else name
        for index in sorted(region.undone):  # an output of the network has the name of the Transpose that ends there
            tensor, output = nodes[index].input[0], nodes[index].output[0]
            if output in self._graph.outputs and tensor in inner and before[tensor] not in self._graph.outputs:
                before[tensor] = output
        return before

    def rewrite(self) -> None:
        """Write all nodes anew."""
        for index, source in enumerate(self._nodes):
            node = onnx.NodeProto()
            node.CopyFrom(source)
            if index in self._region.heads:
                self._leave(source)
            elif index in self._region.undone:
                self._alias(source)
            elif index in self._region.nodes:
                self._write_inside(node)
                self._leave(source)
            else:
                own = self._before if index in self._region.ends else self._after
                for position, name in enumerate(node.input):
                    node.input[position] = own.get(name, name)
                if index in self._region.ends:
                    self._end(node)
                self._written.append(node)
        replace_nodes(self._model, self._written)

    def _leave(self, source: onnx.NodeProto) -> None:
        """Add a Transpose where an output is needed in the layout after it too."""
        for name in source.output:
            if name in self._region.leaving:
                made = f"{source.name or name}/Transpose"
                self._written.append(
                    helper.make_node("Transpose", [self._before[name]], [name], name=made, perm=self._region.perm)
                )

    def _alias(self, source: onnx.NodeProto) -> None:
        """Keep the name of a Transpose that is gone where it is known outside of the nodes."""
        output = source.output[0]
        known = output in self._graph.captured or output in self._graph.outputs
        if known and self._after[output] != output:
            self._written.append(helper.make_node("Identity", [self._after[output]], [output], name=source.name))

    def _write_inside(self, node: onnx.NodeProto) -> None:
        """Write a node of the region, with Transposes for operands that come from elsewhere."""
        for name in node.input:
            if name in self._entering and name not in self._transposed:
                self._transposed.add(name)
                target = self._entering[name]
                self._written.append(helper.make_node("Transpose", [name], [target], name=target, perm=self._inverse))
        self._permute(node)
        for position, name in enumerate(node.input):
            node.input[position] = (self._before | self._entering).get(name, name)
        for position, name in enumerate(node.output):
            node.output[position] = self._before[name]
        self._written.append(node)

    def _end(self, node: onnx.NodeProto) -> None:
        """Change a node that ends the region: its axes, or into a Reshape to the sizes that it gives."""
        if node.op_type == "ReduceMean":
            self._set_axes(node)
            return
        sizes = np.array(self._graph.shapes[node.output[0]], np.int64)
        to = add_constant(self._model, self._graph, f"{node.output[0]}/sizes", sizes)
        node.CopyFrom(helper.make_node("Reshape", [node.input[0], to], list(node.output), name=node.name))

    def _permute(self, node: onnx.NodeProto) -> None:
        """Change a node's axes and constants from the layout after the Transpose to the one before it."""
        perm, rank = self._region.perm, len(self._region.perm)
        if node.op_type in ELEMENTWISE | {"Concat"}:
            for position, name in enumerate(data_inputs(node)):
                value = self._graph.constant(name)
                if value is not None and (value.size > 1 or node.op_type == "Concat"):
                    shape = [1] * (rank - value.ndim) + list(value.shape)
                    self._set_constant(node, position, value.reshape(shape).transpose(self._inverse))
        if node.op_type in AXIS:
            default = 0 if node.op_type in ("Split", "ArgMax") else -1
            _set(node, "axis", int(perm[attribute(node, "axis", default) % rank]))
        if node.op_type == "Pad":
            pads = self._graph.constant(node.input[1])
            assert pads is not None
            self._set_constant(node, 1, pads.reshape(2, rank)[:, self._inverse].reshape(-1))
        if node.op_type == "ReduceMean":
            self._set_axes(node)

    def _set_axes(self, node: onnx.NodeProto) -> None:
        """Change the axes of a ReduceMean."""
        perm = self._region.perm
        axes = sorted(int(perm[axis % len(perm)]) for axis in axes_of(self._graph, node) or [])
        if attribute(node, "axes") is not None:
            _set(node, "axes", axes)
        else:
            self._set_constant(node, 1, np.array(axes, np.int64))

    def _set_constant(self, node: onnx.NodeProto, position: int, value: NDArray[Any]) -> None:
        node.input[position] = add_constant(self._model, self._graph, f"{node.output[0]}/{position}", value)


def _set(node: onnx.NodeProto, name: str, value: int | Sequence[int]) -> None:
    """Set an attribute."""
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
