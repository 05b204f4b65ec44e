"""The one form that the rest of export works on, whatever ONNX the file is."""

from functools import cache

import onnx
from onnx import helper, inliner, version_converter
from onnx.shape_inference import InferenceError

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import used_names
from stages.core.graph.session import Runner
from stages.export.standard_form.constants import constant_values, initializer_inputs, to_initializers
from stages.export.standard_form.old_operators import OLDEST_OPSET, raised_to_opset_7

__all__ = ["newest_versions", "standard_form"]

NEW_IR = 8
"""The version of the file format that replaces those before `FREE_INITIALIZERS`."""
COMMON_OPSET, COMMON_IR = 21, 10
"""Versions that every ONNX Runtime runs that this project allows."""
FREE_INITIALIZERS = 4
"""From this version of the format on an initializer need not be an input."""


def standard_form(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Give a network without what only some files have.

    Functions are inlined. Nodes stand behind what they read. Constants are initializers, and these are no inputs. No
    two nodes have one name. Operators of before opset 7, which ONNX Runtime does not run, are those of opset 7; those
    of a newer opset than it runs are of the newest that it does. All of it is exact.

    Args:
        model: the source; not changed.
        name: what messages call it.

    Raises:
        UserError: for an operator of before opset 7, or of one that is too new, that has no such form; for a constant
            or an attribute that is damaged.
    """
    try:
        return _standard_form(model, name)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError, InferenceError) as error:
        raise UserError(f"{name} is damaged: {one_line(error)}: export or copy it again") from error


def _standard_form(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not any(opset.domain in ("", "ai.onnx") for opset in changed.opset_import):
        changed.opset_import.append(onnx.helper.make_opsetid("", 1))
    if changed.functions:
        changed = _inlined(changed, name)
    changed.ir_version = changed.ir_version if changed.ir_version >= FREE_INITIALIZERS else NEW_IR
    if changed.ir_version > COMMON_IR or _opset(changed) > COMMON_OPSET:
        changed = _lowered(changed, name)
    changed.graph.name = changed.graph.name or "network"
    _sort(changed)
    _rename(changed)
    _check_defined(changed, name)
    to_initializers(changed)
    initializer_inputs(changed)
    if _opset(changed) < OLDEST_OPSET:
        raised_to_opset_7(changed, constant_values(changed), name)
    return changed


def _lowered(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Convert a network to the newest versions that ONNX Runtime runs, where it is newer."""
    opset, ir_version = newest_versions()
    if _opset(model) > opset:
        try:
            model = version_converter.convert_version(model, opset)
        except Exception as error:  # the converter raises its own types
            raise UserError(
                f"{name} is of opset {_opset(model)}, this ONNX Runtime runs {opset} at most, and the network cannot "
                f"be converted: install a newer onnxruntime, or export it with an older opset"
            ) from error
    model.ir_version = min(model.ir_version, ir_version)
    return model


@cache
def newest_versions() -> tuple[int, int]:
    """The newest opset and version of the file format that ONNX Runtime runs."""
    opsets = range(onnx.defs.onnx_opset_version(), COMMON_OPSET, -1)
    formats = range(onnx.IR_VERSION, COMMON_IR, -1)
    opset = next((each for each in opsets if _runs(each, COMMON_IR)), COMMON_OPSET)
    return opset, next((each for each in formats if _runs(opset, each)), COMMON_IR)


def _runs(opset: int, ir_version: int) -> bool:
    infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", opset)]
    try:
        Runner(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version))
    except UserError:
        return False
    return True


def _inlined(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # the inliner raises its own types
        raise UserError(f"{name}: its functions cannot be inlined: {one_line(error)}") from error


def _sort(model: onnx.ModelProto) -> None:
    """Put every node behind those whose outputs it reads, where a file has them in another order."""
    nodes = list(model.graph.node)
    made = {name for node in nodes for name in node.output if name}
    waiting = [(node, used_names([node]) & made) for node in nodes]
    ready: set[str] = set()
    ordered: list[onnx.NodeProto] = []
    while waiting:
        late = []
        for node, needed in waiting:
            if needed <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                late.append((node, needed))
        if len(late) == len(waiting):
            return  # a circle, or a body that names a tensor of its own: ONNX Runtime judges
        waiting = late
    if any(after is not before for before, after in zip(nodes, ordered, strict=True)):
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
        del model.graph.node[:]
        model.graph.node.extend(copies)


def _rename(model: onnx.ModelProto) -> None:
    """Number the names that several nodes have, but for the first of them: ONNX Runtime refuses them."""
    names = {node.name for node in model.graph.node}
    seen: set[str] = set()
    counts: dict[str, int] = {}
    for node in model.graph.node:
        if node.name and node.name in seen:
            stem = node.name
            while node.name in names:
                counts[stem] = counts.get(stem, 1) + 1
                node.name = f"{stem}_{counts[stem]}"
            names.add(node.name)
        seen.add(node.name)


def _check_defined(model: onnx.ModelProto, name: str) -> None:
    """Refuse a node whose input is neither the network's nor a constant nor another node's output."""
    graph = model.graph
    known = {info.name for info in graph.input} | {constant.name for constant in graph.initializer}
    known |= {constant.values.name for constant in graph.sparse_initializer}
    known |= {output for node in graph.node for output in node.output}
    for node in graph.node:
        for tensor in node.input:
            if tensor and tensor not in known:
                what = f"node {node.name!r} ({node.op_type}) reads {tensor!r}"
                raise UserError(f"{name}: {what}, which nothing computes: export it again")


def _opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
