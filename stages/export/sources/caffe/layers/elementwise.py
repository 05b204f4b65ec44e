"""Arithmetic of several inputs, and reductions."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _eltwise(graph: GraphBuilder, layer: Layer) -> None:
    """Product, sum with coefficients, or maximum."""
    parameters = layer.message.message("eltwise_param")
    operation = parameters.choice("operation", ("SUM", "PROD", "MAX"))
    if parameters.text("operation").isdecimal():  # the numbers have another order than the default
        operation = ("PROD", "SUM", "MAX")[parameters.integer("operation", 1)]
    terms = list(layer.inputs)
    coefficients = parameters.numbers("coeff")
    if operation == "SUM" and coefficients:
        if len(coefficients) != len(terms):
            raise UserError(f"{layer.where} has {len(coefficients)} coefficients for {len(terms)} inputs")
        if coefficients == [1.0, -1.0]:
            graph.add("Sub", terms, layer.name, layer.outputs)
            return
        terms = [_times(graph, layer, term, factor) for term, factor in zip(terms, coefficients, strict=True)]
    op_type = {"SUM": "Add", "PROD": "Mul", "MAX": "Max"}[operation]
    value = terms[0]
    for position, term in enumerate(terms[1:], 2):
        last = position == len(terms)
        name = layer.name if last else f"{layer.name}/{op_type}_{position - 1}"
        value = graph.add(op_type, [value, term], name, layer.outputs if last else ())


def _times(graph: GraphBuilder, layer: Layer, term: str, factor: float) -> str:
    if factor == 1.0:
        return term
    constant = graph.constant(f"{layer.name}/coefficient", np.float32(factor))
    return graph.add("Mul", [term, constant], f"{layer.name}/Mul")


def _axpy(graph: GraphBuilder, layer: Layer) -> None:
    """A x + y, with a factor a channel: SENet's layer."""
    factor, value, added = layer.inputs
    shape = graph.shapes[factor]
    if len(shape) == 2:
        sizes = graph.constant(f"{layer.name}/shape", [*shape, 1, 1])
        factor = graph.add("Reshape", [factor, sizes], f"{layer.name}/Reshape")
    product = graph.add("Mul", [value, factor], f"{layer.name}/Mul")
    graph.add("Add", [product, added], layer.name, layer.outputs)


def _reduction(graph: GraphBuilder, layer: Layer) -> None:
    """Sum, sum of magnitudes, sum of squares or mean of all that lies behind an axis; times a coefficient."""
    parameters = layer.message.message("reduction_param")
    operation = parameters.choice("operation", ("SUM", "SUM", "ASUM", "SUMSQ", "MEAN"))
    rank = len(graph.shapes[layer.inputs[0]])
    axes = list(range(parameters.integer("axis", 0) % rank, rank))
    op_type = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}[operation]
    factor = parameters.number("coeff", 1.0)
    outputs = layer.outputs if factor == 1.0 else ()
    if op_type == "ReduceSum":
        inputs = [layer.inputs[0], graph.constant(f"{layer.name}/axes", axes)]
        reduced = graph.add(op_type, inputs, layer.name, outputs, keepdims=0)
    else:
        reduced = graph.add(op_type, layer.inputs, layer.name, outputs, axes=axes, keepdims=0)
    if factor != 1.0:
        constant = graph.constant(f"{layer.name}/coefficient", np.float32(factor))
        graph.add("Mul", [reduced, constant], f"{layer.name}/Mul", layer.outputs)


def _argmax(graph: GraphBuilder, layer: Layer) -> None:
    """Where the maximum of an axis is, as a float."""
    parameters = layer.message.message("argmax_param")
    if "axis" not in parameters or parameters.integer("top_k", 1) != 1 or parameters.flag("out_max_val", False):
        raise UserError(
            f"{layer.where} has no ONNX form here: end the network before it, model.outputs=[{layer.inputs[0]}]"
        )
    position = graph.add("ArgMax", layer.inputs, layer.name, axis=parameters.integer("axis", 1), keepdims=1)
    graph.add("Cast", [position], f"{layer.name}/Cast", layer.outputs, to=1)


CONVERTERS = {"argmax": _argmax, "axpy": _axpy, "eltwise": _eltwise, "reduction": _reduction}
