"""Operators of several features: Add, Sub, Mul, Div, Max, Min, Concat."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import onnx

from stages.core.config.schema import Requantization
from stages.core.graph.onnx_graph import Graph, attribute
from stages.core.integer import rules
from stages.core.integer.exact_rounding import EXACT_BITS, TIED_BITS, exact_rescaling, exact_sum
from stages.core.integer.operators.fixed_point import Add, Concat, Max, Min, Mul, Multiplied
from stages.core.integer.quant_params import QuantParams
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_channels
from stages.quantize.operators.torch_call import TorchCall
from stages.quantize.partition.layers import Layer

__all__ = ["OPERATORS", "add_fixed_point"]


def add_fixed_point(
    to: IntegerModelBuilder,
    layer: Layer,
    record: type[Multiplied],
    operands: Sequence[str],
    effective_scales: Sequence[float],
    bits: int = rules.FIXED_BITS,
    **attributes: Any,
) -> None:
    """Add an operator that multiplies by fixed-point effective scales.

    Args:
        to: the integer model.
        layer: the layer.
        record: the operator.
        operands: the layer's features.
        effective_scales: one an operand, or one for all.
        bits: of the largest multiplier.
        attributes: the operator's own.
    """
    multipliers, shift = rules.fixed_point(list(effective_scales), bits)
    to.add(record, [to.coded(name) for name in operands], layer, multipliers=multipliers, shift=shift, **attributes)


def _effective_scales(to: IntegerModelBuilder, layer: Layer) -> list[float]:
    """Each operand's scale in the output's; 0 for one that was always zero, whose scale says nothing."""
    output = to.qparams(layer.output)
    return [0.0 if to.always_zero(name) else to.qparams(name).scale / output.scale for name in layer.first.input]


def _exact_operands(to: IntegerModelBuilder, layer: Layer) -> list[QuantParams] | None:
    """The operands' quantization parameters where the SOC rounds as real arithmetic does, else None."""
    operands = [to.qparams(name) for name in layer.first.input]
    small = all(each.bits == EXACT_BITS for each in (*operands, to.qparams(layer.output)))
    return operands if to.soc.requantization is Requantization.nna_open and small else None


def _lower_add(to: IntegerModelBuilder, layer: Layer) -> None:
    operands = _exact_operands(to, layer)
    exact = exact_sum(operands[0], operands[1], to.qparams(layer.output)) if operands else None
    if exact is not None:
        _add_exact(to, layer, Add, exact)
        return
    left, right = _effective_scales(to, layer)
    add_fixed_point(to, layer, Add, layer.first.input, [left, right])


def _lower_sub(to: IntegerModelBuilder, layer: Layer) -> None:
    left, right = _effective_scales(to, layer)
    add_fixed_point(to, layer, Add, layer.first.input, [left, -right])


def _lower_mul(to: IntegerModelBuilder, layer: Layer) -> None:
    left, right = (to.qparams(name).scale for name in layer.first.input)
    add_fixed_point(to, layer, Mul, layer.first.input, [left * right / to.qparams(layer.output).scale])


def _lower_max(to: IntegerModelBuilder, layer: Layer) -> None:
    add_fixed_point(to, layer, Max, layer.first.input, _effective_scales(to, layer))


def _lower_min(to: IntegerModelBuilder, layer: Layer) -> None:
    add_fixed_point(to, layer, Min, layer.first.input, _effective_scales(to, layer))


def _lower_concat(to: IntegerModelBuilder, layer: Layer) -> None:
    axis = attribute(layer.first, "axis")
    operands = _exact_operands(to, layer)
    exact = exact_rescaling(operands, to.qparams(layer.output)) if operands else None
    if exact is not None:
        _add_exact(to, layer, Concat, exact, axis=axis)
        return
    bits = TIED_BITS if operands else rules.FIXED_BITS
    add_fixed_point(to, layer, Concat, layer.first.input, _effective_scales(to, layer), bits, axis=axis)


def _add_exact(
    to: IntegerModelBuilder, layer: Layer, record: type[Multiplied], exact: tuple[list[int], int], **attributes: Any
) -> None:
    """Add an operator whose multipliers were tried on all codes."""
    multipliers, shift = exact
    operands = [to.coded(name) for name in layer.first.input]
    to.add(record, operands, layer, multipliers=multipliers, shift=shift, **attributes)


def _tie_operands(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Every computed operand; a constant one is divided by the factors, for which it must not widen the channels."""
    rank = len(graph.shapes[node.output[0]])
    ties: list[Tie] = []
    for name in node.input:
        if name in graph.constants:
            if len(graph.constants[name].dims) > rank:
                return None
        elif len(graph.shapes.get(name, ())) != rank or (tie := tie_channels(graph, name, node.output[0])) is None:
            return None
        else:
            ties += tie
    return ties


def _tie_times_constant(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    features = [name for name in node.input if name not in graph.constants]
    if len(features) != 1 or (node.op_type == "Div" and features != [node.input[0]]):
        return None
    widened = len(graph.shapes[features[0]]) != len(graph.shapes[node.output[0]])
    return None if widened else tie_channels(graph, features[0], node.output[0])


def _tie_joined(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Operands of a Concat: along the channels each has its own, along another axis all share them."""
    rank = len(graph.shapes[node.output[0]])
    ties: list[Tie] = []
    start = 0
    for name in node.input:
        if name in graph.constants or len(graph.shapes.get(name, ())) != rank:
            return None
        channels = np.arange(graph.shapes[name][1])
        ties.append((name, channels, node.output[0], start + channels))
        start += len(channels) if attribute(node, "axis", 0) % rank == 1 else 0
    return ties


def _torch_concat(call: TorchCall) -> Any:
    return call.torch.cat([call.batched(i) for i in range(len(call))], call.get("axis"))


def _torch_max(call: TorchCall) -> Any:
    return reduce(call.torch.maximum, [call[i] for i in range(len(call))])


def _torch_min(call: TorchCall) -> Any:
    return reduce(call.torch.minimum, [call[i] for i in range(len(call))])


OPERATORS = {
    "Add": OnnxOperator(_lower_add, None, _tie_operands, True, lambda call: call[0] + call[1]),
    "Sub": OnnxOperator(_lower_sub, None, _tie_operands, True, lambda call: call[0] - call[1]),
    "Max": OnnxOperator(_lower_max, None, _tie_operands, True, _torch_max),
    "Min": OnnxOperator(_lower_min, None, _tie_operands, True, _torch_min),
    "Mul": OnnxOperator(_lower_mul, ties=_tie_times_constant, torch=lambda call: call[0] * call[1]),
    "Div": OnnxOperator(ties=_tie_times_constant, torch=lambda call: call[0] / call[1]),
    "Concat": OnnxOperator(_lower_concat, ties=_tie_joined, torch=_torch_concat),
}
