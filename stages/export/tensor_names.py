"""Names of tensors that leave those free that later stages give."""

from collections.abc import Collection

import onnx

from stages.core.graph.onnx_graph import captured_names

__all__ = ["free_derived_names", "unique_name"]


def free_derived_names(model: onnx.ModelProto) -> None:
    """Rename inner tensors that are called like a part of another tensor, `TENSOR/part`: quantize names its own so.

    Inputs and outputs of the network keep their names, and so does what the body of an If or a Loop reads.

    Args:
        model: changed.
    """
    graph = model.graph
    features = [name for node in graph.node for name in node.output if name]
    known = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer} | set(features)
    kept = {info.name for info in (*graph.input, *graph.output)}
    kept |= {name for node in graph.node for name in captured_names(node)}
    renamed: dict[str, str] = {}
    for name in [*(tensor.name for tensor in graph.initializer), *features]:
        stem, _, part = name.rpartition("/")
        if stem in known and name not in kept:
            renamed[name] = unique_name(f"{stem}_{part}", known)
            known.add(renamed[name])
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = renamed.get(name, name)
    for info in graph.value_info:
        info.name = renamed.get(info.name, info.name)


def unique_name(name: str, known: Collection[str]) -> str:
    """The name, or with a number if a tensor has it: files may call their tensors as constants are called here."""
    count, unique = 1, name
    while unique in known:
        count += 1
        unique = f"{name}_{count}"
    return unique
