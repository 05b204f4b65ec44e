"""Products with constants, in the form of a feature times a weight matrix; transposed convolutions with pads."""

import numpy as np
import onnx

from stages.core.graph.onnx_graph import attribute
from stages.export.rewrites.match import Match

__all__ = ["conv_transpose", "gemm", "mat_mul"]


def mat_mul(match: Match) -> list[onnx.NodeProto] | None:
    """Write a weight with axes of size 1 in front as a matrix, and a weight on the left as one on the right."""
    left, right = match.node.input
    weight, x = match.constant(right), match.shape(left)
    if weight is not None and x is not None and match.is_float(left):
        matrix = weight.ndim > 2 and len(x) >= weight.ndim and weight.size == np.prod(weight.shape[-2:])
        if not matrix:
            return None
        return match.finish("MatMul", [left, match.value("matrix", weight.reshape(weight.shape[-2:]))])
    weight, x = match.constant(left), match.shape(right)
    if weight is None or x is None or weight.ndim != 2 or len(x) < 2 or not match.is_float(right):
        return None
    perm = [*range(len(x) - 2), len(x) - 1, len(x) - 2]
    turned = match.add("Transpose", [right], "turned", perm=perm)
    product = match.add("MatMul", [turned, match.value("transposed", weight.T)], "product")
    return match.finish("Transpose", [product], perm=perm)


def gemm(match: Match) -> list[onnx.NodeProto] | None:
    """Write a Gemm without transposing its input, with its factors in weight and bias; a computed bias is added."""
    node = match.node
    weight = match.constant(node.input[1])
    bias_name = match.input(2)
    bias = match.constant(bias_name)
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    transposed = attribute(node, "transA", 0)
    computed_bias = bool(bias_name) and bias is None
    if weight is None or not match.is_float(node.input[0]):
        return None
    if alpha == 1 and not transposed and not computed_bias and (bias is None or beta == 1):
        return None
    x = match.add("Transpose", [node.input[0]], "turned", perm=[1, 0]) if transposed else node.input[0]
    inputs = [x, match.value("weight", weight * alpha) if alpha != 1 else node.input[1]]
    if bias is not None:
        inputs.append(match.value("bias", bias * beta) if beta != 1 else bias_name)
    turned = {"transB": 1} if attribute(node, "transB", 0) else {}
    if not computed_bias:
        return match.finish("Gemm", inputs, **turned)
    product = match.add("Gemm", inputs, "product", **turned)
    if beta != 1:
        bias_name = match.add("Mul", [bias_name, match.value("beta", float(beta))], "bias")
    return match.finish("Add", [product, bias_name])


def conv_transpose(match: Match) -> list[onnx.NodeProto] | None:
    """Write out the pads of a transposed convolution that follow from the shape of its output."""
    node = match.node
    automatic = attribute(node, "auto_pad", b"NOTSET")
    before, after, weight = match.shape(node.input[0]), match.shape(node.output[0]), match.shape(node.input[1])
    if before is None or after is None or weight is None:
        return None
    if attribute(node, "output_shape") is None and automatic in (b"NOTSET", b"VALID"):
        return None
    rank = len(weight) - 2
    kept = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    strides, dilations, added = (
        list(kept.get(name, [default] * rank))
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    totals = [
        strides[i] * (before[2 + i] - 1) + added[i] + (weight[2 + i] - 1) * dilations[i] + 1 - after[2 + i]
        for i in range(rank)
    ]
    if min(totals) < 0:
        return None
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    pads = [*small, *large] if automatic == b"SAME_UPPER" else [*large, *small]
    for name in ("auto_pad", "output_shape", "pads"):
        kept.pop(name, None)
    return match.finish("ConvTranspose", list(node.input), pads=pads, **kept)
