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

FIRST_INPUT_OPERATORS = {"Exp", "ReduceMean", "ReduceSum", "Sigmoid", "Softmax", "Tanh"}  # other inputs are no floats
ALL_INPUTS_OPERATORS = {"Gemm", "MatMul"}


def precise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy an integer model so that its sums and functions in float32 are taken in double.

    Args:
        model: the integer model; the copy computes the same tensors, each under its name.
    """
    qparams, graph = tensor_quant_params(model.graph.node), Graph(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    for node in model.graph.node:
        in_float = node.domain != DOMAIN and node.input and node.input[0] not in qparams
        if in_float and node.op_type in FIRST_INPUT_OPERATORS | ALL_INPUTS_OPERATORS:
            copy.graph.node.extend(_in_double(node))
        elif in_float and node.op_type == "Conv" and node.input[1] in graph.constants:
            copy.graph.node.extend(_conv_in_double(node, graph, copy.graph))
        else:
            copy.graph.node.append(node)
    return copy


def _in_double(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    before = []
    count = len(node.input) if node.op_type in ALL_INPUTS_OPERATORS else 1
    for index, name in enumerate(node.input[:count]):
        if name:
            inner.input[index] = f"{node.name}/double/{index}"
            before.append(helper.make_node("Cast", [name], [inner.input[index]], to=TensorProto.DOUBLE))
    inner.output[0] = f"{node.name}/double"
    nodes = _sigmoid(inner) if node.op_type == "Sigmoid" else [inner]
    return [*before, *nodes, helper.make_node("Cast", [inner.output[0]], [node.output[0]], to=TensorProto.FLOAT)]


def _sigmoid(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """1 / (1 + exp(-x)): ONNX Runtime's Sigmoid is 0 below -20, in double too."""
    names = [f"{node.name}/double/{part}" for part in ("negated", "power", "one", "sum")]
    negated, power, one, total = names
    return [
        helper.make_node("Neg", [node.input[0]], [negated]),
        helper.make_node("Exp", [negated], [power]),
        helper.make_node("Constant", [], [one], value=numpy_helper.from_array(np.array(1.0))),
        helper.make_node("Add", [power, one], [total]),
        helper.make_node("Reciprocal", [total], [node.output[0]]),
    ]


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
    inputs, outputs = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    rank = len(inputs) - 2
    pads = [0, 0, *slides["pads"][:rank], 0, 0, *slides["pads"][rank:]]
    padded = add("Pad", add("Cast", node.input[0], to=TensorProto.DOUBLE), constant(np.array(pads, np.int64)))
    columns = constant(np.array([inputs[0], group, inputs[1] // group, -1], np.int64))
    axes = constant(np.arange(2, 2 + rank))
    steps = constant(np.array(slides["strides"], np.int64))
    total = ""
    taps = np.moveaxis(weight.reshape(*weight.shape[:2], -1), -1, 0)
    for index, tap in enumerate(product(*map(range, weight.shape[2:]))):
        first = np.array(tap, np.int64) * slides["dilations"]
        last = first + (np.array(outputs[2:], np.int64) - 1) * slides["strides"] + 1
        pixels = add("Reshape", add("Slice", padded, constant(first), constant(last), axes, steps), columns)
        matrix = taps[index].reshape(1, group, outputs[1] // group, inputs[1] // group)
        product_of_tap = add("MatMul", constant(np.ascontiguousarray(matrix)), pixels)
        total = add("Add", total, product_of_tap) if total else product_of_tap
    total = add("Reshape", total, constant(np.array(outputs, np.int64)))
    if len(node.input) > 2 and node.input[2]:
        bias = numpy_helper.to_array(graph.constants[node.input[2]]).astype(np.float64)
        total = add("Add", total, constant(bias.reshape(-1, *[1] * rank)))
    nodes.append(helper.make_node("Cast", [total], [node.output[0]], to=TensorProto.FLOAT))
    return nodes
