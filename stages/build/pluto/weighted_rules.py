"""Rules of the open runtime for layers with weights: convolutions and the fully connected layer.

Facts: github.com/inoop/t41-pluto (8f374b6); every refusal names its file.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.convolution_geometry import check_geometry
from stages.build.pluto.qdq_graph import QdqGraph, QdqParams
from stages.build.pluto.refusals import ONNX_IMPORT, Concern, Effect, Refusal, refusal
from stages.core.graph.onnx_graph import attribute

__all__ = ["check_conv", "check_gemm"]

BIAS_SCALE_TOLERANCE = 1e-4  # relative; the compiler does not read the bias's scale but uses the product


def check_conv(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Conv's weight, bias and geometry."""
    yield from _check_parameters(qdq, node)
    yield from check_geometry(qdq, node)


def check_gemm(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Gemm: the runtime knows one, the last layer, behind a global average pool."""
    factors = {"transA": (0, 0), "transB": (0, 1), "alpha": (1.0, 1.0), "beta": (1.0, 1.0)}
    for name, (default, wanted) in factors.items():
        if (value := attribute(node, name, default)) != wanted:
            reason = f"{name}={value}: the compiler assumes {wanted:g}"
            yield refusal(node, Effect.wrong, reason, f"export the layer with {name}={wanted:g}", ONNX_IMPORT)
    if len(node.input) < 3 or not node.input[2]:
        reason = "has no bias, which the compiler reads"
        yield refusal(node, Effect.compile, reason, "give the layer a bias of zeros", ONNX_IMPORT)
    yield from _check_parameters(qdq, node)
    producer = qdq.producer(node.input[0])
    if producer is None or producer.op_type != "GlobalAveragePool":
        before = f"{producer.name or producer.output[0]} ({producer.op_type})" if producer else "the network's input"
        reason = f"comes after {before}; the runtime's fully connected layer reads a global average pool's vector"
        yield refusal(node, Effect.wrong, reason, "make it a 1x1 convolution", "runtime/exec/plt_fc_mxu.c")
    if node.output[0] not in qdq.outputs:
        reason = "is not the last layer; its output there is float"
        yield refusal(node, Effect.wrong, reason, "make it a 1x1 convolution", "compile/model_build.py")


# --- weights and biases -----------------------------------------------------------------------------------------


def _check_parameters(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    weight = qdq.constant_codes(node.input[1])
    if weight is None:
        reason = "its weight is no constant of int8 codes behind a DequantizeLinear"
        yield refusal(node, Effect.compile, reason, "quantize the weight", ONNX_IMPORT, Concern.form)
        return
    codes, qparams = weight
    if codes.dtype != np.int8:
        reason = f"its weight has {codes.dtype} codes; the compiler makes int8 of whatever it finds"
        yield refusal(node, Effect.wrong, reason, "quant.weight_bits=8, signed codes", ONNX_IMPORT, Concern.form)
    if np.any(qparams.zero_point):
        reason = "its weight has a zero point, which the compiler does not read"
        yield refusal(node, Effect.wrong, reason, "symmetric weights", ONNX_IMPORT, Concern.form)
    out_channels = codes.shape[0]
    if qparams.scale.size != out_channels or (out_channels > 1 and qparams.axis != 0):
        scales = f"{qparams.scale.size} scale{'s' if qparams.scale.size > 1 else ''}, axis {qparams.axis}"
        reason = f"its weight has {scales}; the compiler wants a scale an output channel ({out_channels}), axis 0"
        source = "README.md, compile/requant.py"
        yield refusal(node, Effect.wrong, reason, "per-channel weights", source, Concern.form)
        return
    yield from _check_bias(qdq, node, codes.astype(np.int64), qparams)


def _check_bias(
    qdq: QdqGraph, node: onnx.NodeProto, weight_codes: NDArray[np.int64], weight: QdqParams
) -> Iterator[Refusal]:
    feature = qdq.input_qparams(node.input[0])
    bias_codes = np.zeros(len(weight_codes), np.int64)
    if len(node.input) > 2 and node.input[2]:
        bias = qdq.constant_codes(node.input[2])
        if bias is None or bias[0].dtype != np.int32:
            bias_type = "float" if bias is None else str(bias[0].dtype)
            reason = f"its bias is {bias_type}; the compiler reads int32 codes behind a DequantizeLinear"
            yield refusal(node, Effect.compile, reason, "quantize the bias too", ONNX_IMPORT, Concern.form)
            return
        if feature is not None and feature.per_tensor and not _is_product_scale(bias[1], feature, weight):
            reason = "its bias has another scale than input scale x weight scale, which the compiler assumes"
            cure = "quantize anew instead of editing scales"
            yield refusal(node, Effect.wrong, reason, cure, "README.md", Concern.form)
            return
        bias_codes = bias[0].astype(np.int64)
    output = qdq.stored_qparams(node.output[0])
    if node.op_type == "Conv" and feature and output and feature.per_tensor and output.per_tensor:
        ratio = feature.tensor_scale * weight.scale.reshape(-1).astype(np.float64) / output.tensor_scale
        zero_points = feature.tensor_zero_point, output.tensor_zero_point
        yield from _check_requantization(node, weight_codes, bias_codes, ratio, zero_points)


def _is_product_scale(bias: QdqParams, feature: QdqParams, weight: QdqParams) -> bool:
    """Whether a bias has the scale feature scale x weight scale and the zero point 0."""
    product = feature.tensor_scale * weight.scale.reshape(-1).astype(np.float64)
    scale = np.broadcast_to(bias.scale.reshape(-1), product.shape)
    return not np.any(bias.zero_point) and np.allclose(scale, product, rtol=BIAS_SCALE_TOLERANCE, atol=0)


def _check_requantization(
    node: onnx.NodeProto,
    weight_codes: NDArray[np.int64],
    bias_codes: NDArray[np.int64],
    ratio: NDArray[np.float64],
    zero_points: tuple[int, int],
) -> Iterator[Refusal]:
    """Whether divisor and offset of each output channel fit their int32 (compile/requant.py, conv_table).

    Args:
        node: a Conv.
        weight_codes: [output channels, ...].
        bias_codes: [output channels].
        ratio: input scale x weight scale / output scale, [output channels].
        zero_points: of input and output.
    """
    input_zero_point, output_zero_point = zero_points
    with np.errstate(divide="ignore", over="ignore"):
        divisor = np.rint(4 / ratio)
        constant = (128 + input_zero_point) * weight_codes.reshape(len(weight_codes), -1).sum(axis=1)
        offset = np.rint(divisor * (ratio * bias_codes + output_zero_point + 0.5)) - 4 * constant
    too_large = np.flatnonzero(~((divisor >= 1) & (divisor < 2**31) & (np.abs(offset) < 2**31)))
    if len(too_large):
        first, more = too_large[0], len(too_large) - 1
        reason = (
            f"output channel {first}{f' and {more} more' if more else ''}: "
            f"input scale x weight scale / output scale = {ratio[first]:.3g} has no divisor of 32 bits"
        )
        cure = "a range of the output nearer to what the layer gives: quant.feature_method=MAX_ABS"
        yield refusal(node, Effect.wrong, reason, cure, "compile/requant.py", Concern.settings)
