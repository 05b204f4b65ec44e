"""Layers that compute a function of each element."""

import math

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.caffe.network import Converter, Layer
from stages.export.sources.graph_builder import GraphBuilder

__all__ = ["CONVERTERS"]


def _function(op_type: str) -> Converter:
    def convert(graph: GraphBuilder, layer: Layer) -> None:
        graph.add(op_type, layer.inputs, layer.name, layer.outputs)

    return convert


def _relu(graph: GraphBuilder, layer: Layer) -> None:
    slope = layer.message.message("relu_param").number("negative_slope", 0.0)
    if slope:
        graph.add("LeakyRelu", layer.inputs, layer.name, layer.outputs, alpha=slope)
    else:
        graph.add("Relu", layer.inputs, layer.name, layer.outputs)


def _prelu(graph: GraphBuilder, layer: Layer) -> None:
    """One slope a channel, or one for all."""
    slope = layer.need_blobs(1)[0].ravel()
    shape = graph.shapes[layer.inputs[0]]
    if slope.size not in (1, shape[1]):
        raise UserError(f"{layer.where} has {slope.size} slopes for {shape[1]} channels")
    ranked = slope.reshape(-1, *[1] * (len(shape) - 2))
    inputs = [layer.inputs[0], graph.constant(f"{layer.name}/slope", ranked)]
    graph.add("PRelu", inputs, layer.name, layer.outputs)


def _elu(graph: GraphBuilder, layer: Layer) -> None:
    alpha = layer.message.message("elu_param").number("alpha", 1.0)
    graph.add("Elu", layer.inputs, layer.name, layer.outputs, alpha=alpha)


def _relu6(graph: GraphBuilder, layer: Layer) -> None:
    _limit(graph, layer, 0.0, 6.0)


def _clip(graph: GraphBuilder, layer: Layer) -> None:
    parameters = layer.message.message("clip_param")
    _limit(graph, layer, parameters.number("min", -math.inf), parameters.number("max", math.inf))


def _limit(graph: GraphBuilder, layer: Layer, low: float, high: float) -> None:
    limits = [
        graph.constant(f"{layer.name}/{name}", np.float32(value)) for name, value in (("min", low), ("max", high))
    ]
    graph.add("Clip", [*layer.inputs, *limits], layer.name, layer.outputs)


def _threshold(graph: GraphBuilder, layer: Layer) -> None:
    """1 above the threshold, else 0."""
    bound = graph.constant(
        f"{layer.name}/threshold", np.float32(layer.message.message("threshold_param").number("threshold", 0.0))
    )
    above = graph.add("Greater", [*layer.inputs, bound], f"{layer.name}/Greater")
    graph.add("Cast", [above], layer.name, layer.outputs, to=1)


def _power(graph: GraphBuilder, layer: Layer) -> None:
    """(shift + scale x) ^ power."""
    parameters = layer.message.message("power_param")
    power = parameters.number("power", 1.0)
    affine = _affine(graph, layer, parameters.number("scale", 1.0), parameters.number("shift", 0.0), power == 1.0)
    if power != 1.0:
        graph.add("Pow", [affine, graph.constant(f"{layer.name}/power", np.float32(power))], layer.name, layer.outputs)


def _exp(graph: GraphBuilder, layer: Layer) -> None:
    """Base ^ (shift + scale x), which is e ^ (log(base) (shift + scale x))."""
    parameters = layer.message.message("exp_param")
    base = parameters.number("base", -1.0)
    factor = math.log(base) if base > 0 else 1.0
    scale, shift = (factor * parameters.number(key, default) for key, default in (("scale", 1.0), ("shift", 0.0)))
    graph.add("Exp", [_affine(graph, layer, scale, shift, False)], layer.name, layer.outputs)


def _log(graph: GraphBuilder, layer: Layer) -> None:
    """Logarithm of shift + scale x to a base."""
    parameters = layer.message.message("log_param")
    base = parameters.number("base", -1.0)
    affine = _affine(graph, layer, parameters.number("scale", 1.0), parameters.number("shift", 0.0), False)
    if base <= 0:
        graph.add("Log", [affine], layer.name, layer.outputs)
        return
    natural = graph.add("Log", [affine], layer.name)
    factor = graph.constant(f"{layer.name}/factor", np.float32(1.0 / math.log(base)))
    graph.add("Mul", [natural, factor], f"{layer.name}/Mul", layer.outputs)


def _affine(graph: GraphBuilder, layer: Layer, scale: float, shift: float, last: bool) -> str:
    """Scale x + shift; where this is the whole layer, it has the layer's output."""
    value = layer.inputs[0]
    steps = [("Mul", "scale", scale)] if scale != 1.0 or (last and not shift) else []
    steps += [("Add", "shift", shift)] if shift else []
    for op_type, name, number in steps:
        ends = last and op_type == steps[-1][0]
        inputs = [value, graph.constant(f"{layer.name}/{name}", np.float32(number))]
        node = layer.name if ends else f"{layer.name}/{op_type}"
        value = graph.add(op_type, inputs, node, layer.outputs if ends else ())
    return value


def _swish(graph: GraphBuilder, layer: Layer) -> None:
    """X times the logistic function of beta x."""
    beta = layer.message.message("swish_param").number("beta", 1.0)
    value = layer.inputs[0]
    if beta != 1.0:
        factor = graph.constant(f"{layer.name}/beta", np.float32(beta))
        value = graph.add("Mul", [value, factor], f"{layer.name}/scale")
    gate = graph.add("Sigmoid", [value], f"{layer.name}/Sigmoid")
    graph.add("Mul", [layer.inputs[0], gate], layer.name, layer.outputs)


def _softmax(graph: GraphBuilder, layer: Layer) -> None:
    axis = layer.message.message("softmax_param").integer("axis", 1)
    graph.add("Softmax", layer.inputs, layer.name, layer.outputs, axis=axis)


CONVERTERS = {
    "absval": _function("Abs"),
    "bnll": _function("Softplus"),
    "clip": _clip,
    "elu": _elu,
    "exp": _exp,
    "log": _log,
    "power": _power,
    "prelu": _prelu,
    "relu": _relu,
    "relu6": _relu6,
    "sigmoid": _function("Sigmoid"),
    "softmax": _softmax,
    "swish": _swish,
    "tanh": _function("Tanh"),
    "threshold": _threshold,
}
