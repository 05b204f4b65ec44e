"""What a network's tensors need, told from their shapes before anything is allocated."""

import math

import onnx

from stages.core.base.errors import UserError
from stages.core.base.memory import machine_bytes
from stages.core.graph.onnx_graph import WEIGHTED, Graph, used_names

__all__ = ["check_memory", "peak_bytes"]

ELEMENT_BYTES = 4


def peak_bytes(model: onnx.ModelProto) -> tuple[int, str]:
    """The most that live tensors of static shape take at once, 4 bytes an element.

    Returns:
        The bytes, and the largest tensor.
    """
    graph = Graph(model)
    sizes = {name: ELEMENT_BYTES * math.prod(shape) for name, shape in graph.shapes.items()}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in used_names([node])}
    live = sum(sizes.get(name, 0) for name in graph.inputs)
    peak = live
    for index, node in enumerate(graph.nodes):
        live += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, live)
        done = {*node.input, *node.output} - graph.constants.keys()
        live -= sum(sizes.get(name, 0) for name in done if last_use.get(name, -1) <= index)
    return peak, max(sizes, key=lambda name: sizes[name], default="")


def check_memory(model: onnx.ModelProto) -> None:
    """Refuse a network with an empty weight, or whose tensors this machine has no memory for.

    Raises:
        UserError: naming the tensor and the figure.
    """
    graph = Graph(model)
    for node in graph.nodes:
        for name in node.input if node.op_type in WEIGHTED else ():
            if name in graph.constants and 0 in graph.constants[name].dims:
                shape = list(graph.constants[name].dims)
                raise UserError(
                    f"weight {name!r} of node {node.name!r} ({node.op_type}) is empty: its shape is {shape}"
                )
    peak, where = peak_bytes(model)
    memory = machine_bytes()
    if peak > memory:
        raise UserError(
            f"the network needs {peak / 2**30:.3g} GiB at tensor {where!r} {graph.shapes.get(where, [])}, and this "
            f"machine has {memory / 2**30:.3g}: give a smaller shape in model.inputs"
        )
