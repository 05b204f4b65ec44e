"""QuantizeLinear and DequantizeLinear that a network has kept: quotients that are rounded, and products."""

from collections.abc import Sequence

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.core.integer.float_forms.rewriter import Array, Rewriter, Rule

__all__ = ["RULES"]

BYTES: dict[int, tuple[int, int]] = {onnx.TensorProto.UINT8: (0, 255), onnx.TensorProto.INT8: (-128, 127)}
"""Types of integers that the runtime has, and the numbers that they hold."""


def _along(to: Rewriter, node: onnx.NodeProto, index: int, shape: Sequence[int]) -> Array | None:
    """A scale or zero point as float32, shaped so that it broadcasts; None where it is computed or one a block."""
    value = to.value(node, index)
    if value is None or attribute(node, "block_size", 0):
        return None
    if value.size == 1:
        return value.astype(np.float32).reshape(())
    axis = attribute(node, "axis", 1) % len(shape)
    return value.astype(np.float32).reshape([-1 if axis == other else 1 for other in range(len(shape))])


def _quantize(to: Rewriter, node: onnx.NodeProto) -> None:
    shape, kind = to.shape(node.input[0]), to.element(node.output[0])
    if shape is None or kind not in BYTES or not to.is_float(node.input[0]):
        to.keep(node)
        return
    scale = _along(to, node, 1, shape)
    zero_point = _along(to, node, 2, shape) if to.has(node, 2) else np.zeros((), np.float32)
    if scale is None or zero_point is None:
        to.keep(node)
        return
    rounded = to.op("Add", to.op("Round", to.op("Div", node.input[0], scale)), zero_point)
    clipped = to.op("Clip", rounded, *(np.float32(end) for end in BYTES[kind]))
    to.op("Cast", clipped, y=node.output[0], to=kind)


def _dequantize(to: Rewriter, node: onnx.NodeProto) -> None:
    shape = to.shape(node.input[0])
    scale = None if shape is None else _along(to, node, 1, shape)
    zero_point = _along(to, node, 2, shape or []) if to.has(node, 2) else np.zeros((), np.float32)
    if scale is None or zero_point is None or to.element(node.input[0]) not in (*BYTES, onnx.TensorProto.INT32):
        to.keep(node)
        return
    number = to.op("Sub", to.op("Cast", node.input[0], to=onnx.TensorProto.FLOAT), zero_point)
    to.op("Mul", number, scale, y=node.output[0])


RULES: dict[str, Rule] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
