"""Layers in float, computed in double and rounded once: what the board's reference runtime does, on any machine.

ONNX Runtime's own float32 kernels round as the processor's vectors happen to be long, so that a dump would be another
on another PC. It has no convolution in double: one becomes a sum of matrix products, a product for each of its taps.
"""

from itertools import product
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer.model import DOMAIN, tensor_quant_params
from stages.quantize.partition.nodes import sliding_window

__all__ = ["precise"]

FIRST_ONLY = {"Exp", "ReduceMean", "ReduceSum", "Sigmoid", "Softmax", "Tanh"}  # other inputs are no floats
ALL = {"Gemm", "MatMul"}


def precise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy an integer model so that its sums and functions in float32 are taken in double.

    Args:
        model: the integer model; the copy computes the same tensors, each under its name.
    """
    codes, graph = tensor_quant_params(model.graph.node), Graph(model)
    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.node[:]
    for node in model.graph.node:
        in_float = node.domain != DOMAIN and node.input and node.input[0] not in codes
        if in_float and node.op_type in FIRST_ONLY | ALL:
            found.graph.node.extend(_in_double(node))
        elif in_float and node.op_type == "Conv" and node.input[1] in graph.constants:
            found.graph.node.extend(_conv_in_double(node, graph, found.graph))
        else:
            found.graph.node.append(node)
    return found


def _in_double(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    before = []
    count = len(node.input) if node.op_type in ALL else 1
    for index, name in enumerate(node.input[:count]):
        if name:
            inner.input[index] = f"{node.name}/double/{index}"
            before.append(helper.make_node("Cast", [name], [inner.input[index]], to=TensorProto.DOUBLE))
    inner.output[0] = f"{node.name}/double"
    return [*before, inner, helper.make_node("Cast", [inner.output[0]], [node.output[0]], to=TensorProto.FLOAT)]


def _conv_in_double(node: onnx.NodeProto, graph: Graph, target: onnx.GraphProto) -> list[onnx.NodeProto]:
    """A convolution as a sum over its taps of [channels out, channels in] x [channels in, pixels], group by group."""
    nodes: list[onnx.NodeProto] = []

    def constant(value: NDArray[Any]) -> str:
        name = f"{node.name}/double/constant{len(target.initializer)}"
        target.initializer.append(numpy_helper.from_array(value, name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{node.name}/double/{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    weight = numpy_helper.to_array(graph.constants[node.input[1]]).astype(np.float64)
    slides, group = sliding_window(graph, node, weight.shape[2:]), attribute(node, "group", 1)
    taken, made = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    rank = len(taken) - 2
    pads = [0, 0, *slides["pads"][:rank], 0, 0, *slides["pads"][rank:]]
    padded = add("Pad", add("Cast", node.input[0], to=TensorProto.DOUBLE), constant(np.array(pads, np.int64)))
    columns = constant(np.array([taken[0], group, taken[1] // group, -1], np.int64))
    axes = constant(np.arange(2, 2 + rank))
    steps = constant(np.array(slides["strides"], np.int64))
    total = ""
    taps = np.moveaxis(weight.reshape(*weight.shape[:2], -1), -1, 0)
    for index, tap in enumerate(product(*map(range, weight.shape[2:]))):
        first = np.array(tap, np.int64) * slides["dilations"]
        last = first + (np.array(made[2:], np.int64) - 1) * slides["strides"] + 1
        met = add("Reshape", add("Slice", padded, constant(first), constant(last), axes, steps), columns)
        matrix = taps[index].reshape(1, group, made[1] // group, taken[1] // group)
        part = add("MatMul", constant(np.ascontiguousarray(matrix)), met)
        total = add("Add", total, part) if total else part
    total = add("Reshape", total, constant(np.array(made, np.int64)))
    if len(node.input) > 2 and node.input[2]:
        bias = numpy_helper.to_array(graph.constants[node.input[2]]).astype(np.float64)
        total = add("Add", total, constant(bias.reshape(-1, *[1] * rank)))
    nodes.append(helper.make_node("Cast", [total], [node.output[0]], to=TensorProto.FLOAT))
    return nodes
