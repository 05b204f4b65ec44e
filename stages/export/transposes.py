"""Removing Transposes that undo each other, with layers between them computed in the other layout.

Networks from TensorFlow change from NHWC to NCHW and back around whole parts. Such a part, a region, is everything
that a Transpose leads to through operators that work in any layout. It is rewritten if fewer Transposes are left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute

__all__ = ["without_transposes"]

ELEMENTWISE = {
    "Abs", "Add", "Ceil", "Clip", "Cos", "Div", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh",
}  # fmt: skip
AXIS = {"ArgMax", "Concat", "LogSoftmax", "Softmax", "Split"}
"""Operators with an attribute `axis`, that give a tensor of the same rank."""
RESHAPES = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
AXES_OPSET = 13
"""From this opset on Softmax works along its axis alone."""
MAX_ROUNDS = 1000


@dataclass
class _Region:
    """What one Transpose leads to in operators that work in any layout.

    Attributes:
        perm: of the Transpose.
        tensors: tensors that keep the layout before the Transpose, if the region is rewritten.
        nodes: indices of the operators inside.
        heads: indices of the Transposes that lead into the region, all with `perm`.
        undone: indices of the Transposes that end it, and are no longer needed.
        ends: indices of operators that read it and give the same output in either layout, such as a mean over pixels.
        entering: other computed operands, which need a Transpose.
        leaving: tensors that are also needed in the layout after the Transpose.
    """

    perm: list[int]
    tensors: list[str] = field(default_factory=list)
    nodes: set[int] = field(default_factory=set)
    heads: set[int] = field(default_factory=set)
    undone: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    entering: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)

    @property
    def pays(self) -> bool:
        """Whether rewriting it leaves fewer Transposes."""
        return len(self.heads) + len(self.undone) > len(self.entering) + len(self.leaving)


def without_transposes(model: onnx.ModelProto) -> None:
    """Remove Transposes that undo each other, in place; outputs keep their names, values and layouts.

    Args:
        model: with static shapes.
    """
    for _ in range(MAX_ROUNDS):
        graph = Graph(model)
        nodes = graph.nodes
        starts = [index for index, node in enumerate(nodes) if node.op_type == "Transpose"]
        regions = (_region(graph, nodes, start) for start in starts)
        region = next((region for region in regions if region.pays), None)
        if region is not None:
            _rewrite(model, graph, region)
        elif not any(_into_weight(model, graph, nodes[start]) for start in starts):
            return
        del model.graph.value_info[:]


def _region(graph: Graph, nodes: Sequence[onnx.NodeProto], start: int) -> _Region:
    """Follow a Transpose through operators that work in any layout."""
    perm = _perm(graph, nodes[start])
    region = _Region(perm)
    index_of = {node.output[0]: index for index, node in enumerate(nodes)}
    if not perm or nodes[start].input[0] in graph.constants:
        return region
    inverse = list(np.argsort(perm))
    region.heads.add(start)
    pending = [nodes[start].output[0]]
    while pending:
        tensor = pending.pop()
        if tensor in region.tensors:
            continue
        region.tensors.append(tensor)
        if tensor in graph.outputs or tensor in graph.captured:
            region.leaving.add(tensor)
        for node in graph.consumers.get(tensor, []):
            if node.op_type == "Transpose" and _perm(graph, node) == inverse:
                region.undone.add(index_of[node.output[0]])
            elif _ends(graph, node, perm):
                region.ends.add(index_of[node.output[0]])
            elif _movable(graph, node, len(perm)):
                region.nodes.add(index_of[node.output[0]])
                pending.extend(node.output)
                pending.extend(_operands(graph, node, nodes, index_of, region))
            else:
                region.leaving.add(tensor)
    region.entering -= set(region.tensors)
    return region


def _operands(
    graph: Graph, node: onnx.NodeProto, nodes: Sequence[onnx.NodeProto], index_of: Mapping[str, int], region: _Region
) -> list[str]:
    """Note the other operands of a node of a region; gives those that a Transpose like its own makes."""
    same = []
    for name in _data_inputs(node):
        if not name or name in graph.constants or name in region.tensors:
            continue
        producer = index_of.get(name)
        alike = producer is not None and nodes[producer].op_type == "Transpose"
        if alike and producer is not None and _perm(graph, nodes[producer]) == region.perm:
            region.heads.add(producer)
            same.append(name)
        else:
            region.entering.add(name)
    return same


def _perm(graph: Graph, node: onnx.NodeProto) -> list[int]:
    """A Transpose's permutation; empty where it is not known."""
    rank = len(graph.shapes.get(node.input[0], []))
    return list(attribute(node, "perm", range(rank)[::-1]))


def _data_inputs(node: onnx.NodeProto) -> list[str]:
    """The inputs of a node that have the layout of its output."""
    several = node.op_type in ELEMENTWISE - {"Clip"} or node.op_type == "Concat"
    return list(node.input) if several else list(node.input[:1])


def _movable(graph: Graph, node: onnx.NodeProto, rank: int) -> bool:
    """Whether a node can work in another layout."""
    for name in _data_inputs(node):
        constant = name in graph.constants
        shape = list(graph.constants[name].dims) if constant else graph.shapes.get(name)
        if shape is None or (name in graph.captured and not constant):
            return False
        if (len(shape) != rank and not constant) or len(shape) > rank:
            return False
    opset = max((each.version for each in graph.model.opset_import if each.domain in ("", "ai.onnx")), default=0)
    if node.op_type in ELEMENTWISE:
        return node.op_type != "Clip" or all(name in graph.constants for name in node.input[1:] if name)
    if node.op_type in AXIS:
        return opset >= AXES_OPSET and bool(attribute(node, "keepdims", 1))
    if node.op_type == "Pad":
        return len(node.input) in (2, 3) and node.input[1] in graph.constants
    if node.op_type == "ReduceMean":
        return attribute(node, "keepdims", 1) == 1 and _axes(graph, node) is not None
    return False


def _ends(graph: Graph, node: onnx.NodeProto, perm: Sequence[int]) -> bool:
    """Whether a node gives the same output in either layout, with its axes changed or as a Reshape."""
    shape, output = graph.shapes.get(node.input[0]), graph.shapes.get(node.output[0])
    if shape is None or output is None or len(shape) != len(perm):
        return False
    if node.op_type == "ReduceMean" and attribute(node, "keepdims", 1) == 0:
        axes = _axes(graph, node)
        if axes is None:
            return False
        left = [perm[axis] for axis in range(len(perm)) if axis not in {each % len(perm) for each in axes}]
        return left == sorted(left)
    if node.op_type in RESHAPES:
        large = [perm[axis] for axis, size in enumerate(shape) if size != 1]
        return large == sorted(large)
    return False


def _axes(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    """The axes of a ReduceMean; None where they are computed or left out."""
    axes = attribute(node, "axes")
    given = graph.constant(node.input[1]) if axes is None and len(node.input) > 1 else None
    return list(axes) if axes is not None else None if given is None else [int(axis) for axis in given]


def _rewrite(model: onnx.ModelProto, graph: Graph, region: _Region) -> None:
    """Compute a region in the layout before its Transpose."""
    nodes = graph.nodes
    inverse = [int(axis) for axis in np.argsort(region.perm)]
    before = {nodes[head].output[0]: nodes[head].input[0] for head in region.heads}
    inner = [name for name in region.tensors if name not in before]
    before |= {name: f"{name}/transposed" if name in region.leaving else name for name in inner}
    for index in sorted(region.undone):  # an output of the network has the name of the Transpose that ends there
        tensor, output = nodes[index].input[0], nodes[index].output[0]
        if output in graph.outputs and tensor in inner and before[tensor] not in graph.outputs:
            before[tensor] = output
    after = {nodes[index].output[0]: before[nodes[index].input[0]] for index in region.undone}
    entering = {name: f"{name}/entering" for name in sorted(region.entering)}
    written: list[onnx.NodeProto] = []
    made: set[str] = set()

    def leave(name: str) -> None:
        if name in region.leaving and name not in made:
            made.add(name)
            stem = graph.producers[name].name or name
            written.append(
                helper.make_node("Transpose", [before[name]], [name], name=f"{stem}/Transpose", perm=region.perm)
            )

    for index, source in enumerate(nodes):
        node = onnx.NodeProto()
        node.CopyFrom(source)
        if index in region.heads:
            leave(node.output[0])
            continue
        if index in region.undone:
            output = node.output[0]
            if output in graph.captured or (output in graph.outputs and after[output] != output):
                written.append(helper.make_node("Identity", [after[output]], [output], name=node.name))
            continue
        inside = index in region.nodes
        for position, name in enumerate(node.input):
            if inside and name in entering and name not in made:
                made.add(name)
                written.append(
                    helper.make_node("Transpose", [name], [entering[name]], name=f"{name}/entering", perm=inverse)
                )
            own = {**before, **entering} if inside else before if index in region.ends else {}
            node.input[position] = own.get(name, after.get(name, name))
        if index in region.ends:
            _end(model, graph, node, source, region.perm)
        if inside:
            _permute(model, graph, node, region.perm)
            for position, name in enumerate(node.output):
                node.output[position] = before[name]
        written.append(node)
        for name in source.output if inside else ():
            leave(name)
    _replace_nodes(model, written)


def _end(
    model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, source: onnx.NodeProto, perm: Sequence[int]
) -> None:
    """Change a node that ends a region: its axes, or into a Reshape to the sizes that it gives."""
    if source.op_type == "ReduceMean":
        _set_axes(model, graph, node, perm)
        return
    sizes = numpy_helper.from_array(np.array(graph.shapes[source.output[0]], np.int64), f"{source.output[0]}/sizes")
    model.graph.initializer.append(sizes)
    reshape = helper.make_node("Reshape", [node.input[0], sizes.name], list(source.output), name=source.name)
    node.CopyFrom(reshape)


def _set_axes(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, perm: Sequence[int]) -> None:
    """Change the axes of a ReduceMean."""
    axes = sorted(int(perm[axis % len(perm)]) for axis in _axes(graph, node) or [])
    if attribute(node, "axes") is not None:
        _set(node, "axes", axes)
    else:
        name = f"{node.output[0]}/axes"
        model.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), name))
        node.input[1] = name


def _into_weight(model: onnx.ModelProto, graph: Graph, transpose: onnx.NodeProto) -> bool:
    """Reorder the weight of a matrix product instead of its input, where a Transpose is flattened in between."""
    perm, source = _perm(graph, transpose), transpose.input[0]
    flat = _only_consumer(graph, transpose.output[0], {"Reshape", "Flatten"})
    product = None if flat is None else _only_consumer(graph, flat.output[0], {"MatMul", "Gemm"})
    if flat is None or product is None or source not in graph.shapes or perm[:1] != [0]:
        return False
    sizes, weight = graph.shapes[source], graph.constant(product.input[1])
    rows = int(np.prod(sizes[1:]))
    fits = product.input[0] == flat.output[0] and not attribute(product, "transA", 0)
    if not fits or weight is None or weight.ndim != 2 or graph.shapes.get(flat.output[0]) != [sizes[0], rows]:
        return False
    order = np.arange(rows).reshape(sizes[1:]).transpose([axis - 1 for axis in perm[1:]]).ravel()
    axis = 1 if attribute(product, "transB", 0) else 0
    name, to = f"{product.output[0]}/reordered", f"{flat.output[0]}/sizes"
    reordered = np.ascontiguousarray(weight.take(np.argsort(order), axis))
    model.graph.initializer.append(numpy_helper.from_array(reordered, name))
    model.graph.initializer.append(numpy_helper.from_array(np.array([sizes[0], rows], np.int64), to))
    product.input[1] = name
    flat.CopyFrom(helper.make_node("Reshape", [source, to], list(flat.output), name=flat.name))
    _replace_nodes(model, [node for node in graph.nodes if node.output[0] != transpose.output[0]])
    return True


def _only_consumer(graph: Graph, tensor: str, kinds: set[str]) -> onnx.NodeProto | None:
    """The only node that reads a tensor, if it is one of these operators."""
    consumers = graph.consumers.get(tensor, [])
    if len(consumers) != 1 or tensor in graph.outputs or tensor in graph.captured:
        return None
    return consumers[0] if consumers[0].op_type in kinds else None


def _replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    used = {name for node in copies for name in node.input} | {info.name for info in model.graph.output}
    bodies = Graph(model).captured
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used | bodies]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _permute(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto, perm: Sequence[int]) -> None:
    """Change a node's axes and constants from the layout after a Transpose to the one before it."""
    inverse, rank = np.argsort(perm), len(perm)

    def constant(position: int, value: np.ndarray) -> None:
        name = f"{node.output[0]}/{position}"
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        node.input[position] = name

    if node.op_type in ELEMENTWISE | {"Concat"}:
        for position, name in enumerate(_data_inputs(node)):
            value = graph.constant(name)
            if value is not None and (value.size > 1 or node.op_type == "Concat"):
                constant(position, value.reshape([1] * (rank - value.ndim) + list(value.shape)).transpose(inverse))
    if node.op_type in AXIS:
        default = 0 if node.op_type in ("Split", "ArgMax") else -1
        _set(node, "axis", int(perm[attribute(node, "axis", default) % rank]))
    if node.op_type == "Pad":
        pads = graph.constant(node.input[1])
        assert pads is not None
        constant(1, pads.reshape(2, rank)[:, inverse].reshape(-1))
    if node.op_type == "ReduceMean":
        _set_axes(model, graph, node, perm)


def _set(node: onnx.NodeProto, name: str, value: int | list[int]) -> None:
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(helper.make_attribute(name, value))
