"""QuantizeLinear, DequantizeLinear, and operators between them that only move or select codes."""

import numpy as np
import onnx
from onnx import TensorProto

from stages.core.graph.onnx_graph import attribute
from stages.export.dequantize.rewriter import Rewriter, Rule

__all__ = ["MOVES", "RULES"]

MOVES = {
    "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "ReduceMax", "ReduceMin",
    "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Operators that give codes of the same scale as they take."""
WITHOUT_VALUES = {"Shape", "Size", "ArgMax", "ArgMin"}
"""Operators that say of codes what they say of the real values: a size, or where the largest is."""


def quantize_linear(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A float tensor becomes codes: from here on they stand for it."""
    source, target = node.input[0], node.output[0]
    scale, zero_point = node.input[1], node.input[2] if len(node.input) > 2 else ""
    kind = rewriter.code_type(node, zero_point) if zero_point else attribute(node, "output_dtype", 0)
    real = rewriter.real(source)
    if source in rewriter.constants:  # a weight that is stored in float: its own values are the best there are
        rewriter.weights += 1
        rewriter.codes[target] = rewriter.codes_of(node, real, scale, zero_point)
        return
    if source in rewriter.codes or source in rewriter.accumulators:
        raise rewriter.refusal(node, "quantizes codes once more")
    rewriter.quantized(node, real, target, scale, zero_point, kind or TensorProto.UINT8)


def dequantize_linear(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """Codes become float: the float tensor that they stand for."""
    zero_point = node.input[2] if len(node.input) > 2 else ""
    known = rewriter.codes.get(node.input[0])
    if known is not None and known.symbol:  # of DynamicQuantizeLinear, as tf2onnx writes TFLite's dynamic range
        if (node.input[1], zero_point) != (known.symbol, rewriter.zero_points[known.symbol]):
            raise rewriter.refusal(node, f"reads {node.input[0]!r} with another scale than it was written with")
        rewriter.renamed[node.output[0]] = known.real
        return
    axis, block = attribute(node, "axis", 1), attribute(node, "block_size", 0)
    sums = rewriter.accumulators.get(node.input[0])
    real = (
        rewriter.operand(node, node.input[0], node.input[1], zero_point, axis, block)
        if sums is None
        else rewriter.product(node, sums, rewriter.scale(node, node.input[1]))
    )
    rewriter.renamed[node.output[0]] = real


def move(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """An operator that only moves or selects values: on codes it does so with the real values."""
    if node.input[0] in rewriter.constants:
        _read_table(rewriter, node)
    if node.input[0] not in rewriter.codes:
        rewriter.keep(node)
        return
    operands = list(node.input) if node.op_type == "Concat" else [node.input[0]]
    first = rewriter.codes[node.input[0]]
    others = [rewriter.codes.get(name) for name in operands]
    if not all(other is not None and other.same_parameters(first) for other in others):
        raise rewriter.refusal(node, "joins codes of unlike scales")
    if node.op_type == "Resize" and attribute(node, "mode", b"nearest") != b"nearest":
        raise rewriter.refusal(node, "interpolates integer codes")
    inputs = [rewriter.codes[name].real if name in operands else name for name in node.input]
    if node.op_type == "Pad" and len(inputs) > 1:
        inputs[2:3] = [_padding(rewriter, node)]
    for target in rewriter.add_all(node, inputs):
        rewriter.codes[target] = first.at(target)
        if first.real in rewriter.ranges:
            rewriter.ranges.setdefault(target, rewriter.ranges[first.real])


def _read_table(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """Read constant codes, such as a table that a Gather looks up, with the scale of what dequantizes the result."""
    moved = {node.output[0]}
    for reader in rewriter.model.graph.node:
        if not reader.input or reader.input[0] not in moved:
            continue
        if reader.op_type in MOVES:
            moved.update(reader.output)
        elif reader.op_type == "DequantizeLinear":
            scale, zero_point = reader.input[1], reader.input[2] if len(reader.input) > 2 else ""
            if rewriter.scale(reader, scale).size == 1:
                rewriter.operand(reader, node.input[0], scale, zero_point)
            return


def _padding(rewriter: Rewriter, node: onnx.NodeProto) -> str:
    """The real value of the code that a Pad fills in."""
    known = rewriter.codes[node.input[0]]
    if known.scale is None or known.zero_point is None or known.scale.size > 1:
        raise rewriter.refusal(node, "pads codes whose scale is not one constant")
    given = rewriter.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros((), np.int64)
    if given is None:
        raise rewriter.refusal(node, "pads with a computed code")
    less = given.astype(np.int64).reshape(()) - known.zero_point.reshape(())
    return rewriter.store(f"{node.output[0]}/padding", np.float32(less * known.scale.reshape(())))


def clip(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """A Clip of codes: narrower codes than their type, as of 7 bits, whose ends are its bounds."""
    known = rewriter.codes.get(node.input[0])
    if known is None:
        rewriter.keep(node)
        return
    bounds = [rewriter.constant(name) if name else None for name in node.input[1:3]]
    if known.scale is None or known.zero_point is None:
        raise rewriter.refusal(node, "clips codes of an unknown scale")
    rewriter.codes[node.output[0]] = known
    rewriter.narrow(known, *(None if bound is None else int(bound.reshape(())) for bound in (*bounds, None, None)[:2]))


def without_values(rewriter: Rewriter, node: onnx.NodeProto) -> None:
    """An operator that asks for a tensor's size or order, which codes and real values share."""
    known = rewriter.codes.get(node.input[0])
    if known is None:
        rewriter.keep(node)
        return
    rewriter.add_all(node, [known.real, *node.input[1:]])


RULES: dict[str, Rule] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "Clip": clip,
    **dict.fromkeys(MOVES, move),
    **dict.fromkeys(WITHOUT_VALUES, without_values),
}
