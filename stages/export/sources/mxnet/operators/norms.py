"""Normalization."""

import numpy as np

from stages.core.base.errors import UserError
from stages.export.sources.graph_builder import GraphBuilder
from stages.export.sources.mxnet.symbol import Operator

__all__ = ["CONVERTERS"]


def _batch_norm(graph: GraphBuilder, operator: Operator) -> None:
    """Gamma is 1 unless `fix_gamma` is switched off, whatever the file has."""
    attributes = operator.attributes
    if attributes.integer("axis", 1) != 1:
        raise UserError(f"{operator.where} has channels on axis {attributes.value('axis')}, not 1")
    value, gamma, beta, *states = operator.inputs
    mean, variance = states or (f"{operator.name}_moving_mean", f"{operator.name}_moving_var")
    if attributes.flag("fix_gamma", True):
        gamma = graph.constant(f"{operator.name}/gamma", np.ones(graph.shapes[gamma], np.float32))
    epsilon = attributes.number("eps", 1e-3)
    inputs = [value, gamma, beta, mean, variance]
    graph.add("BatchNormalization", inputs, operator.name, [operator.name], epsilon=epsilon)


def _instance_norm(graph: GraphBuilder, operator: Operator) -> None:
    epsilon = operator.attributes.number("eps", 1e-3)
    graph.add("InstanceNormalization", operator.inputs, operator.name, [operator.name], epsilon=epsilon)


def _layer_norm(graph: GraphBuilder, operator: Operator) -> None:
    attributes = operator.attributes
    axis, rank = attributes.integer("axis", -1), len(graph.shapes[operator.inputs[0]])
    if axis % rank != rank - 1:
        raise UserError(f"{operator.where} normalizes axis {axis}, which is not the last")
    epsilon = attributes.number("eps", 1e-5)
    graph.add("LayerNormalization", operator.inputs, operator.name, [operator.name], axis=-1, epsilon=epsilon)


def _l2_normalization(graph: GraphBuilder, operator: Operator) -> None:
    """By the root of the sum of squares over all but the batch, over the channels, or over the pixels."""
    value, name = operator.inputs[0], operator.name
    rank = len(graph.shapes[value])
    mode = operator.attributes.text("mode", "instance")
    axes = {"instance": range(1, rank), "channel": range(1, 2), "spatial": range(2, rank)}[mode]
    square = graph.add("Mul", [value, value], f"{name}/square")
    total = graph.add("ReduceSum", [square, graph.constant(f"{name}/axes", list(axes))], f"{name}/sum", keepdims=1)
    epsilon = graph.constant(f"{name}/epsilon", np.float32(operator.attributes.number("eps", 1e-10)))
    norm = graph.add("Sqrt", [graph.add("Add", [total, epsilon], f"{name}/Add")], f"{name}/norm")
    graph.add("Div", [value, norm], name, [name])


def _lrn(graph: GraphBuilder, operator: Operator) -> None:
    attributes = operator.attributes
    graph.add(
        "LRN",
        operator.inputs,
        operator.name,
        [operator.name],
        size=attributes.integer("nsize", 5),
        alpha=attributes.number("alpha", 1e-4),
        beta=attributes.number("beta", 0.75),
        bias=attributes.number("knorm", 2.0),
    )


CONVERTERS = {
    "BatchNorm": _batch_norm,
    "BatchNorm_v1": _batch_norm,
    "InstanceNorm": _instance_norm,
    "L2Normalization": _l2_normalization,
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
    "SyncBatchNorm": _batch_norm,
    "_contrib_SyncBatchNorm": _batch_norm,
}
