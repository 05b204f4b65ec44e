"""The canonical form of a network: cut, static, simplified, batch norms folded, every node named as in the source."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxslim
from onnx import TensorProto, helper, numpy_helper, version_converter

from stages.core.base.errors import UserError, did_you_mean, one_line
from stages.core.graph.onnx_graph import PICTURE_RANK, Graph, attribute, used_names

__all__ = ["Cut", "canonicalize", "find_cut", "fix_shapes", "graph_shapes"]

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # what ONNX Runtime has operators of
OLDEST_OPSET = 13  # per-channel DequantizeLinear


@dataclass(frozen=True)
class Cut:
    """Where a graph starts and ends.

    Attributes:
        inputs: tensors that are fed: the configured ones first, then what else the outputs need.
        outputs: tensors that are returned.
        configured: the tensor of each configured input, None where its name is left out.
    """

    inputs: list[str]
    outputs: list[str]
    configured: list[str | None]


def graph_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of the fed inputs in graph order; 0 for a size that is not static."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        for entry in model.graph.input
        if entry.name not in constants
    }


def fix_shapes(
    model: onnx.ModelProto, wanted: Mapping[str, Sequence[int] | None], cut_off: Collection[str] = ()
) -> onnx.ModelProto:
    """Give every input a static shape.

    Args:
        model: the source; not changed.
        wanted: input -> configured shape, or None to keep the graph's own: a dynamic batch becomes 1, another
            dynamic shape takes the last configured one (the vendor's rule).
        cut_off: inputs that the exported network will not have; they may be of another type than float.

    Raises:
        UserError: for a shape that contradicts the graph, a dynamic one that nothing fixes, or an input of integers.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    own_shapes = graph_shapes(model)
    last: Sequence[int] | None = None
    for entry in fixed.graph.input:
        if entry.name not in own_shapes:
            continue
        if entry.type.tensor_type.elem_type != TensorProto.FLOAT and entry.name not in cut_off:
            kind = TensorProto.DataType.Name(entry.type.tensor_type.elem_type).lower()
            raise UserError(
                f"input {entry.name!r} is {kind}, and inputs are float: cut the network at its first float tensor "
                "(model.inputs), or make a constant of it"
            )
        own = own_shapes[entry.name]
        shape = wanted.get(entry.name)
        last = shape or last
        if shape is None:
            shape = [1, *own[1:]] if own and own[0] == 0 else own
            if 0 in shape and last:
                shape = last
            if 0 in shape or not entry.type.tensor_type.HasField("shape"):
                shown = ",".join(str(size) if size else "?" for size in own)
                raise UserError(f"input {entry.name!r} has the dynamic shape [{shown}]: give model.inputs[].shape")
        if (own and len(shape) != len(own)) or any(a not in (0, b) for a, b in zip(own, shape, strict=True)):
            shown = ",".join(str(size) if size else "?" for size in own)
            raise UserError(f"input {entry.name!r} has shape [{shown}] in the network; the config says {list(shape)}")
        if len(shape) == 4 and shape[0] != 1:
            raise UserError(
                f"input {entry.name!r} has batch {shape[0]}: export the network with batch 1 or a dynamic one"
            )
        dims = entry.type.tensor_type.shape
        dims.ClearField("dim")
        for size in shape:
            dims.dim.add().dim_value = size
    del fixed.graph.value_info[:]
    for entry in fixed.graph.output:
        entry.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise UserError(f"the network's shapes cannot be inferred: {one_line(error)}") from error
    _declare_outputs(inferred, model)
    return inferred


def _declare_outputs(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Give outputs that inference knows no shape of, as behind a Loop, the source's."""
    declared = {info.name: info for info in source.graph.output}
    for info in model.graph.output:
        if not info.type.tensor_type.HasField("shape") and info.name in declared:
            info.CopyFrom(declared[info.name])


def find_cut(model: onnx.ModelProto, inputs: Iterable[str | None], outputs: Iterable[str]) -> Cut:
    """Resolve the configured names to tensors. A node's name stands for its first output.

    Args:
        model: the source.
        inputs: `model.inputs[].name`, None where left out.
        outputs: `model.outputs`; empty: the graph's own.

    Raises:
        UserError: for a name that the graph does not have.
    """
    own_inputs = list(graph_shapes(model))
    own_outputs = [entry.name for entry in model.graph.output]
    by_node = {node.name: node.output[0] for node in model.graph.node if node.name}
    tensors = {*own_inputs, *(name for node in model.graph.node for name in node.output)}

    def tensor(name: str, key: str, likely: list[str]) -> str:
        if name in tensors:
            return name
        if name in by_node:
            return str(by_node[name])
        hint = did_you_mean(name, [*likely, *by_node])
        raise UserError(f"{key}: the network has no tensor or node {name!r}; {hint}")

    configured = [tensor(name, "model.inputs[].name", own_inputs) if name else None for name in inputs]
    named = [name for name in configured if name]
    ends = list(dict.fromkeys(tensor(name, "model.outputs", own_outputs) for name in outputs)) or own_outputs
    fed = [name for name in ends if name in own_inputs or name in named]
    if fed:
        raise UserError(f"model.outputs: {fed[0]!r} is an input: there is no network in between")
    needed = _reachable_inputs(model, ends, set(named) | set(own_inputs))
    unused = [name for name in named if name not in needed]
    if unused:
        raise UserError(f"model.inputs[].name: {unused[0]!r} does not lead to the outputs {', '.join(ends)}")
    return Cut([*named, *(name for name in own_inputs if name in needed and name not in named)], ends, configured)


def _reachable_inputs(model: onnx.ModelProto, outputs: Sequence[str], stops: set[str]) -> set[str]:
    """Which of `stops` a walk back from the outputs meets first."""
    producers = {name: node for node in model.graph.node for name in node.output}
    met: set[str] = set()
    seen: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in stops:
            met.add(name)
        elif name in producers:
            pending.extend(used_names([producers[name]]))
    return met


def canonicalize(model: onnx.ModelProto, cut: Cut) -> onnx.ModelProto:
    """Cut, simplify and name.

    Args:
        model: the source with static shapes.
        cut: where to start and end.

    Returns:
        A model of opset 13 or later that ONNX's checker accepts, without documentation or metadata.

    Raises:
        UserError: if the network cannot be simplified.
    """
    names = {name: node.name for node in model.graph.node for name in node.output if node.name}
    for node in model.graph.node:
        if node.domain not in KNOWN_DOMAINS:
            raise UserError(f"operator {node.domain}.{node.op_type} ({node.name}) cannot be run: ONNX Runtime lacks it")
    try:
        simplified = onnxslim.slim(_extract(model, cut))
        if _opset(simplified) < OLDEST_OPSET:
            simplified = version_converter.convert_version(simplified, OLDEST_OPSET)
        _name_nodes(simplified, names)
        _rewrite_batch_norms(simplified)
        _strip(simplified)
        del simplified.graph.value_info[:]
        simplified = onnx.shape_inference.infer_shapes(simplified)
        shaped = [info for info in simplified.graph.value_info if info.type.tensor_type.HasField("shape")]
        del simplified.graph.value_info[:]
        simplified.graph.value_info.extend(shaped)  # the checker refuses what a Loop makes, which may have no shape
        _declare_outputs(simplified, model)
        onnx.checker.check_model(simplified, full_check=True)
    except Exception as error:  # onnxslim, the converter and the checker each raise their own types
        raise UserError(f"the network cannot be simplified: {one_line(error)}") from error
    return simplified


def _extract(model: onnx.ModelProto, cut: Cut) -> onnx.ModelProto:
    if cut.inputs == list(graph_shapes(model)) and cut.outputs == [entry.name for entry in model.graph.output]:
        return model
    infos = {info.name for info in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in cut.outputs if name not in infos
    )
    return onnx.utils.Extractor(whole).extract_model(cut.inputs, cut.outputs)


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _name_nodes(model: onnx.ModelProto, source_names: Mapping[str, str]) -> None:
    """Name each node as the source node that makes the same tensor; a nameless one by type and tensor."""
    taken: set[str] = set()
    for node in model.graph.node:
        name = source_names.get(node.output[0]) or node.name or f"{node.op_type}_{node.output[0]}"
        count, unique = 1, name
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        node.name = unique


def _rewrite_batch_norms(model: onnx.ModelProto) -> None:
    """Write a batch norm that could not be folded into a convolution as what it is: a depthwise 1x1 convolution."""
    shapes = Graph(model).shapes
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    replaced: set[str] = set()
    for node in model.graph.node:
        rank = len(shapes.get(node.input[0], [])) if node.input else 0
        if (
            node.op_type != "BatchNormalization"
            or rank < PICTURE_RANK - 1
            or any(name not in constants for name in node.input[1:])
        ):
            continue
        scale, shift, mean, variance = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + attribute(node, "epsilon", 1e-5))
        weight = factor.astype(np.float32).reshape(-1, 1, *[1] * (rank - 2))
        bias = (shift - mean * factor).astype(np.float32)
        replaced.update(node.input[1:])
        names = [f"{node.name}/scale", f"{node.name}/shift"]
        model.graph.initializer.extend(map(numpy_helper.from_array, (weight, bias), names))
        depthwise = helper.make_node(
            "Conv", [node.input[0], *names], list(node.output)[:1], name=node.name, group=len(weight)
        )
        node.CopyFrom(depthwise)
    replaced -= {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in replaced]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _strip(model: onnx.ModelProto) -> None:
    """Remove what is not the network: it may hold paths and changes from run to run."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    for part in (*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
