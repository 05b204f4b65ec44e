"""Which layers run in float, and why: the user's settings, the SOC's operators, the form of an operator."""

import math
from collections.abc import Mapping

import numpy as np
import onnx

from stages.core.base.errors import UserError, did_you_mean
from stages.core.config.schema import Head, QuantConfig, Requantization, SocConfig
from stages.core.graph.infinite import infinite_tensors
from stages.core.graph.onnx_graph import Graph, attribute
from stages.quantize.operators import why_float
from stages.quantize.partition.layer_graph import LayerGraph
from stages.quantize.partition.layers import Layer, head_layers, layers_until
from stages.quantize.partition.nodes import clamp_bounds, sliding_window

__all__ = ["float_reasons", "skipped_layers"]


MATRIX_RANK = 2
MOST_AVERAGED = 225


def skipped_layers(network: LayerGraph, quant: QuantConfig) -> dict[str, str]:
    """Map the layers that the user keeps in float to the setting that does.

    Raises:
        UserError: for a name or type in a skip list that the network lacks.
    """
    kinds = {kind for layer in network.layers for kind in _kinds(layer)}
    for key, names in (("skip_nodes", quant.skip_nodes), ("float_until", quant.float_until)):
        for name in names:
            if name not in network.by_node:
                hint = did_you_mean(name, list(network.by_node))
                raise UserError(f"quant.{key}: the network has no node {name!r}; {hint}")
    for kind in quant.skip_ops:
        if kind not in kinds:
            raise UserError(f"quant.skip_ops: the network has no {kind}; it has {', '.join(sorted(kinds))}")
    skipped = {}
    if quant.head is Head.float:
        skipped = dict.fromkeys(head_layers(network.graph, network.layers), "quant.head=float")
    skipped |= dict.fromkeys(layers_until(network.layers, quant.float_until), "quant.float_until")
    for layer in network.layers:
        if _kinds(layer) & set(quant.skip_ops):
            skipped[layer.name] = "quant.skip_ops"
        if set(layer.names) & set(quant.skip_nodes):
            skipped[layer.name] = "quant.skip_nodes"
    return skipped


def _kinds(layer: Layer) -> set[str]:
    return {layer.kind, *(node.op_type for node in layer.nodes)}


def float_reasons(network: LayerGraph, soc: SocConfig, skipped: Mapping[str, str]) -> dict[str, str]:
    """Map the layers that run in float to the reason.

    Args:
        network: its layers.
        soc: its table of operators.
        skipped: of `skipped_layers`.
    """
    graph, reasons, bit_widths = network.graph, {}, soc.bit_widths
    float_tensors, infinite = set(graph.float_tensors), infinite_tensors(graph)
    for layer in network.layers:
        group = bit_widths.get(layer.kind)
        if layer.output not in float_tensors:
            reasons[layer.name] = "it computes no float32 values"
        elif any(name not in graph.shapes for name in (layer.output, *_computed_operands(graph, layer))):
            reasons[layer.name] = "its size is not known before it runs"
        elif layer.name in skipped:
            reasons[layer.name] = skipped[layer.name]
        elif group is None or not group.feature_bits:
            reasons[layer.name] = f"the {soc.name} has no integer {layer.kind}"
        elif (limit := why_float(graph, layer) or _converter_limit(graph, layer, soc)) is not None:
            reasons[layer.name] = limit
        elif (constant := _not_finite(graph, layer)) is not None:
            reasons[layer.name] = f"its constant {constant} has values that are infinite or not numbers"
        elif (name := next((one for one in layer.operands(graph) if one in infinite), None)) is not None:
            reasons[layer.name] = f"{name} has infinite values, by a constant of the network"
    return reasons


def _converter_limit(graph: Graph, layer: Layer, soc: SocConfig) -> str | None:
    """Say why TPU-MLIR runs a layer in float that has an integer rule on other SOCs; None if it does not."""
    if not soc.follows_converter:
        return None
    node, kind = layer.first, layer.first.op_type
    limits = {
        "TPU-MLIR clamps to other bounds than a Relu's in float": (
            kind == "Clip" and clamp_bounds(graph, node)[0] != 0.0
        ),
        "TPU-MLIR joins and compares constants in float": (
            kind in ("Concat", "Max", "Min") and any(name in graph.constants for name in node.input)
        ),
        "TPU-MLIR compares two operands": kind in ("Max", "Min") and len(node.input) != 2,
        "TPU-MLIR interpolates in float": kind == "Resize" and attribute(node, "mode", b"nearest") == b"linear",
        "TPU-MLIR's average pools have no dilations": (
            kind == "AveragePool" and any(step != 1 for step in attribute(node, "dilations", ()))
        ),
        "what TPU-MLIR makes of an average pool whose padding is not counted is not known": (
            kind == "AveragePool" and _leaves_padding_out(graph, node)
        ),
        "what TPU-MLIR makes of a product of two features is not known": (
            kind == "MatMul" and node.input[1] not in graph.constants
        ),
        "what TPU-MLIR makes of a grouped ConvTranspose on this chip is not known": (
            kind == "ConvTranspose"
            and attribute(node, "group", 1) > 1
            and soc.requantization is Requantization.sophgo_cv18xx
        ),
    }
    if soc.requantization is Requantization.sophgo_bm1684:
        shape = graph.shapes.get(node.input[0], [])
        kernel = attribute(node, "kernel_shape", shape[2:]) if kind in ("AveragePool", "GlobalAveragePool") else ()
        limits |= {
            "TPU-MLIR multiplies one matrix in integers": kind == "MatMul" and len(shape) != MATRIX_RANK,
            "TPU-MLIR averages up to 225 values in integers": math.prod(kernel) > MOST_AVERAGED,
        }
    return next((reason for reason, holds in limits.items() if holds), None)


def _leaves_padding_out(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether an average pool's windows at the border average fewer values."""
    counted = attribute(node, "count_include_pad", 0)
    return not counted and any(sliding_window(graph, node, attribute(node, "kernel_shape"))["pads"])


def _not_finite(graph: Graph, layer: Layer) -> str | None:
    """The first constant operand that no code stands for; None if there is none."""
    constants = (name for name in layer.operands(graph) if name in graph.constants)
    return next((name for name in constants if not np.isfinite(np.asarray(graph.constant(name))).all()), None)


def _computed_operands(graph: Graph, layer: Layer) -> list[str]:
    return [name for name in layer.operands(graph) if name not in graph.constants]
