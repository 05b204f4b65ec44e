"""Cutting a network at the configured inputs and outputs."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from stages.core.base.errors import UserError, did_you_mean
from stages.core.graph.onnx_graph import used_names
from stages.export.shapes import graph_shapes

__all__ = ["Cut", "extract", "find_cut", "without_outputs"]


@dataclass(frozen=True)
class Cut:
    """Where a graph starts and ends.

    Attributes:
        inputs: tensors that are fed: the configured ones first, then what else the outputs need.
        outputs: tensors that are returned.
        configured: the tensor of each configured input, None where its name is left out.
        left_out: outputs of the graph that no layer computes: inputs passed on, and constants.
    """

    inputs: list[str]
    outputs: list[str]
    configured: list[str | None]
    left_out: list[str] = field(default_factory=list)


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
    own_outputs = [info.name for info in model.graph.output]
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
    ends = list(dict.fromkeys(tensor(name, "model.outputs", own_outputs) for name in outputs))
    stops = set(named) | set(own_inputs)
    left_out = [] if ends else [name for name in own_outputs if name in stops or not _reachable(model, [name], stops)]
    ends = ends or [name for name in own_outputs if name not in left_out]
    fed = [name for name in ends if name in stops]
    if fed:
        raise UserError(f"model.outputs: {fed[0]!r} is an input: there is no network in between")
    if not ends:
        raise UserError(
            f"the network's outputs, {', '.join(own_outputs)}, are inputs or constants: nothing computes them"
        )
    needed = _reachable(model, ends, stops)
    unused = [name for name in named if name not in needed]
    if unused:
        raise UserError(f"model.inputs[].name: {unused[0]!r} does not lead to the outputs {', '.join(ends)}")
    fed_names = [*named, *(name for name in own_inputs if name in needed and name not in named)]
    return Cut(fed_names, ends, configured, left_out)


def _reachable(model: onnx.ModelProto, outputs: Sequence[str], stops: set[str]) -> set[str]:
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
        elif name in producers and not _is_size_of(producers[name], stops):
            pending.extend(used_names([producers[name]]))
    return met


def _is_size_of(node: onnx.NodeProto, inputs: set[str]) -> bool:
    """Whether a node gives sizes of an input, which are constants."""
    return node.op_type in ("Shape", "Size") and node.input[0] in inputs


def without_outputs(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Copy a network without some of its outputs."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [info for info in model.graph.output if info.name not in names]
    del changed.graph.output[:]
    changed.graph.output.extend(kept)
    return changed


def extract(model: onnx.ModelProto, cut: Cut) -> onnx.ModelProto:
    """Give a copy of the part of a model between the ends of a cut."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if cut.inputs == list(graph_shapes(model)) and cut.outputs == [info.name for info in model.graph.output]:
        return whole
    infos = {info.name for info in (*model.graph.value_info, *model.graph.input, *model.graph.output)}
    whole.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in cut.outputs if name not in infos
    )
    return onnx.utils.Extractor(whole).extract_model(cut.inputs, cut.outputs)
