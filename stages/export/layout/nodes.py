"""Changing the nodes and constants of a network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from stages.core.graph.onnx_graph import Graph, used_names

__all__ = ["add_constant", "replace_nodes", "unused_name"]


def unused_name(graph: Graph, name: str) -> str:
    """Give a name that no tensor has: this one, or it with a number."""
    taken = graph.producers.keys() | graph.constants.keys() | set(graph.inputs)
    count, unused = 1, name
    while unused in taken:
        count += 1
        unused = f"{name}_{count}"
    return unused


def add_constant(model: onnx.ModelProto, graph: Graph, name: str, value: NDArray[Any]) -> str:
    """Add an initializer; gives its name, which is `name` unless some tensor has that."""
    unused = unused_name(graph, name)
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), unused))
    return unused


def replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Give a model other nodes, and remove initializers that none of them reads."""
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    used = used_names(copies) | {info.name for info in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
