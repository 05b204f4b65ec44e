"""PRelu."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import Graph
from stages.core.integer import rules
from stages.core.integer.operators.prelu import PRelu
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_unary
from stages.quantize.partition.layers import Layer

__all__ = ["OPERATORS"]


def _limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    return None if node.input[1] in graph.constants else "its slope is computed"


def _lower(to: IntegerModelBuilder, layer: Layer) -> None:
    node = layer.first
    slopes = to.graph.constant(node.input[1])
    assert slopes is not None
    effective_scale = to.qparams(node.input[0]).scale / to.qparams(layer.output).scale
    scaled = slopes.astype(np.float64) * effective_scale
    (positive, *_), shift = rules.fixed_point([effective_scale, float(np.abs(scaled).max())])
    negative = to.constant(f"{node.name}/slopes", np.rint(scaled * 2.0**shift).astype(np.int32))
    to.add(PRelu, [to.coded(node.input[0]), negative], layer, multipliers=[positive], shift=shift)


def _ties(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    return tie_unary(graph, node) if node.input[1] in graph.constants else None


OPERATORS = {
    "PRelu": OnnxOperator(
        _lower,
        _limits,
        _ties,
        torch=lambda call: call.torch.where(call[0] < 0, call[0] * call[1], call[0]),
    )
}
