"""The one form that the rest of export works on, whatever ONNX the file is."""

import onnx
from onnx import inliner

from stages.core.base.errors import UserError, one_line
from stages.core.graph.onnx_graph import used_names
from stages.export.standard_form.constants import constant_values, initializer_inputs, to_initializers
from stages.export.standard_form.old_operators import OLDEST_OPSET, raised_to_opset_7

__all__ = ["standard_form"]

NEW_IR = 8
"""The version of the file format that replaces those before `FREE_INITIALIZERS`."""
FREE_INITIALIZERS = 4
"""From this version of the format on an initializer need not be an input."""


def standard_form(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Give a network without what only some files have.

    Functions are inlined. Nodes stand behind what they read. Constants are initializers, and these are no inputs. No two nodes have one name. Operators of
    before opset 7, which ONNX Runtime does not run, are those of opset 7. All of it is exact.

    Args:
        model: the source; not changed.
        name: what messages call it.

    Raises:
        UserError: for an operator of before opset 7 that has no such form.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not any(opset.domain in ("", "ai.onnx") for opset in changed.opset_import):
        changed.opset_import.append(onnx.helper.make_opsetid("", 1))
    if changed.functions:
        changed = _inlined(changed, name)
    changed.ir_version = changed.ir_version if changed.ir_version >= FREE_INITIALIZERS else NEW_IR
    changed.graph.name = changed.graph.name or "network"
    _sort(changed)
    _rename(changed)
    to_initializers(changed)
    initializer_inputs(changed)
    if _opset(changed) < OLDEST_OPSET:
        raised_to_opset_7(changed, constant_values(changed), name)
    return changed


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
    for node in model.graph.node:
        if node.name and node.name in seen:
            stem, count = node.name, 2
            while node.name in names:
                node.name = f"{stem}_{count}"
                count += 1
            names.add(node.name)
        seen.add(node.name)


def _opset(model: onnx.ModelProto) -> int:
    return next(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
