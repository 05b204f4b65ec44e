"""What the open runtime refuses of convolutions and fully connected layers.

Facts: github.com/inoop/t41-pluto (8f374b6); every refusal names the file.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.edges import Edges, Meaning
from stages.build.pluto.refusals import RECIPE, Effect, Refusal, refusal
from stages.core.graph.onnx_graph import attribute

__all__ = ["check_conv", "check_gemm"]

IMPORT = "compile/onnx_import.py"
CHANNELS = 1024
"""Most input channels of a convolution: the unit walks 32 groups of 32 (compile/ops/dense.py, MAX_GROUPS)."""
GROUP = 32
STEM_HEIGHT = 15  # runtime/exec/plt_conv_stem.c
BIAS_SCALE_TOLERANCE = 1e-4  # relative; the compiler does not read the bias's scale but takes the product
ANOTHER = "another network, or this layer replaced in it"


def check_conv(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Conv's weight, bias and geometry."""
    yield from _parameters(edges, node)
    yield from _geometry(edges, node)


def check_gemm(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Gemm: the runtime knows one, the last layer, behind a global average pool."""
    factors = {"transA": (0, 0), "transB": (0, 1), "alpha": (1.0, 1.0), "beta": (1.0, 1.0)}
    for name, (default, wanted) in factors.items():
        if (value := attribute(node, name, default)) != wanted:
            reason = f"{name}={value}: the compiler takes {wanted:g} for granted"
            yield refusal(node, Effect.wrong, reason, f"export the layer with {name}={wanted:g}", IMPORT)
    if len(node.input) < 3 or not node.input[2]:
        reason = "has no bias, which the compiler reads"
        yield refusal(node, Effect.compile, reason, "give the layer a bias of zeros", IMPORT)
    yield from _parameters(edges, node)
    made = edges.producer(node.input[0])
    if made is None or made.op_type != "GlobalAveragePool":
        reason = f"comes after {_name(made)}; the runtime's fully connected layer reads a global average pool's vector"
        yield refusal(node, Effect.wrong, reason, "make it a 1x1 convolution", "runtime/exec/plt_fc_mxu.c")
    if edges.consumers(node.output[0]) and node.output[0] in edges.outputs:
        return
    if node.output[0] not in edges.outputs:
        reason = "is not the last layer; its output there is float"
        yield refusal(node, Effect.wrong, reason, "make it a 1x1 convolution", "compile/model_build.py")


def _name(node: onnx.NodeProto | None) -> str:
    return "the network's input" if node is None else f"{node.name or node.output[0]} ({node.op_type})"


def _parameters(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    weight = edges.stored(node.input[1])
    if weight is None:
        reason = "its weight is no constant of int8 codes behind a DequantizeLinear"
        yield refusal(node, Effect.compile, reason, f"quantize the weight: {RECIPE}", IMPORT)
        return
    codes, meaning = weight
    if codes.dtype != np.int8:
        reason = f"its weight has {codes.dtype} codes; the compiler makes int8 of whatever it finds"
        yield refusal(node, Effect.wrong, reason, f"quant.weight_bits=8, signed codes: {RECIPE}", IMPORT)
    if np.any(meaning.zero_point):
        reason = "its weight has a zero point, which the compiler does not read"
        yield refusal(node, Effect.wrong, reason, f"symmetric weights: {RECIPE}", IMPORT)
    cout = codes.shape[0]
    if meaning.scale.size != cout or (cout > 1 and meaning.axis != 0):
        found = f"{meaning.scale.size} scale{'s' if meaning.scale.size > 1 else ''}, axis {meaning.axis}"
        reason = f"its weight has {found}; a scale an output channel ({cout}), axis 0, is what the table is made of"
        yield refusal(node, Effect.wrong, reason, f"per-channel weights: {RECIPE}", "README.md, compile/requant.py")
        return
    yield from _bias(edges, node, codes.astype(np.int64), meaning)


def _bias(edges: Edges, node: onnx.NodeProto, codes: NDArray[np.int64], weight: Meaning) -> Iterator[Refusal]:
    feature = edges.taken(node.input[0])
    bias = np.zeros(len(codes), np.int64)
    if len(node.input) > 2 and node.input[2]:
        stored = edges.stored(node.input[2])
        if stored is None or stored[0].dtype != np.int32:
            found = "float" if stored is None else str(stored[0].dtype)
            reason = f"its bias is {found}; int32 codes behind a DequantizeLinear are what the compiler reads"
            yield refusal(node, Effect.compile, reason, f"quantize the bias too: {RECIPE}", IMPORT)
            return
        bias = stored[0].astype(np.int64)
        if feature is not None and feature.per_tensor:
            product = feature.step * weight.scale.reshape(-1).astype(np.float64)
            scale = np.broadcast_to(stored[1].scale.reshape(-1), product.shape)
            if np.any(stored[1].zero_point) or not np.allclose(scale, product, rtol=BIAS_SCALE_TOLERANCE, atol=0):
                reason = (
                    "its bias has another scale than input scale x weight scale, which the compiler takes for granted"
                )
                yield refusal(
                    node, Effect.wrong, reason, f"quantize anew instead of editing scales: {RECIPE}", "README.md"
                )
                return
    made = edges.quantizers(node.output[0])
    output = edges.meaning(made[0]) if made else None
    if node.op_type == "Conv" and feature and output and feature.per_tensor and output.per_tensor:
        yield from _table(node, codes, bias, weight, feature, output)


def _table(
    node: onnx.NodeProto,
    codes: NDArray[np.int64],
    bias: NDArray[np.int64],
    weight: Meaning,
    feature: Meaning,
    output: Meaning,
) -> Iterator[Refusal]:
    """Whether divisor and bias of each output channel fit their int32 (compile/requant.py, conv_table)."""
    ratio = feature.step * weight.scale.reshape(-1).astype(np.float64) / output.step
    with np.errstate(divide="ignore", over="ignore"):
        divisor = np.rint(4 / ratio)
        fed = (128 + feature.zero) * codes.reshape(len(codes), -1).sum(axis=1)
        offset = np.rint(divisor * (ratio * bias + output.zero + 0.5)) - 4 * fed
    bad = np.flatnonzero(~((divisor >= 1) & (divisor < 2**31) & (np.abs(offset) < 2**31)))
    if len(bad):
        reason = (
            f"output channel {bad[0]}{f' and {len(bad) - 1} more' if len(bad) > 1 else ''}: "
            f"input scale x weight scale / output scale = {ratio[bad[0]]:.3g} has no divisor of 32 bits"
        )
        cure = "a range of the output nearer to what the layer makes: quant.feature_method=MAX_ABS"
        yield refusal(node, Effect.wrong, reason, cure, "compile/requant.py")


def _geometry(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    stored = edges.constant(edges.graph.producers[node.input[1]].input[0]) if edges.stored(node.input[1]) else None
    shape = edges.graph.shapes.get(node.input[0])
    if stored is None:
        return
    if stored.ndim != 4:
        yield refusal(node, Effect.compile, f"is a {stored.ndim - 2}-dimensional convolution", ANOTHER, IMPORT)
        return
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        reason = "auto_pad is not read: the layer would have no padding"
        yield refusal(node, Effect.wrong, reason, "export explicit pads (the export stage does)", IMPORT)
        return
    if any(step != 1 for step in attribute(node, "dilations", [1, 1])):
        reason = "dilated: every kernel of the runtime steps by one pixel"
        yield refusal(node, Effect.wrong, reason, ANOTHER, "compile/shapes.py")
        return
    cout, per_group, height, width = stored.shape
    group = attribute(node, "group", 1)
    cin = per_group * group
    strides, pads = attribute(node, "strides", [1, 1]), attribute(node, "pads", [0] * 4)
    if group == 1 and (height, width) == (1, 1):
        yield from _pointwise(node, cin, strides, pads)
    elif group > 1 and group == cin == cout:
        yield from _depthwise(node, (height, width), strides, pads)
    elif group > 1:
        reason = f"{group} groups over {cin} channels: the runtime has dense and depthwise convolutions only"
        yield refusal(node, Effect.wrong, reason, "a dense weight with zeros outside the groups", IMPORT)
    else:
        yield from _dense(node, cin, (height, width), strides, pads)
    if strides[0] != strides[1]:
        reason = f"strides {strides[0]} and {strides[1]} differ"
        yield refusal(node, Effect.load, reason, ANOTHER, "runtime/exec/plt_conv_nna.c")
    if shape is not None and shape[0] != 1:
        yield refusal(node, Effect.wrong, f"batch {shape[0]}", "export with batch 1", IMPORT)


def _pointwise(node: onnx.NodeProto, cin: int, strides: list[int], pads: list[int]) -> Iterator[Refusal]:
    if strides[1] != 1:
        reason = f"1x1 with stride {strides[1]}: the runtime's has stride 1"
        yield refusal(node, Effect.load, reason, "stride in a 3x3 layer before it", "runtime/exec/plt_conv_pw.c")
    if any(pads):
        yield refusal(node, Effect.wrong, "1x1 with padding", ANOTHER, "runtime/exec/plt_conv_pw.c")
    if cin > CHANNELS:
        reason = f"{cin} input channels; beyond {CHANNELS} the unit's walk was measured to go wrong"
        yield refusal(node, Effect.wrong, reason, "a narrower network", "compile/ops/dense.py")


def _depthwise(node: onnx.NodeProto, kernel: tuple[int, int], strides: list[int], pads: list[int]) -> Iterator[Refusal]:
    source = "runtime/exec/plt_conv_dw.c"
    if kernel != (3, 3):
        reason = f"depthwise {kernel[0]}x{kernel[1]}: the runtime's is 3x3"
        yield refusal(node, Effect.load, reason, "a network with 3x3 depthwise convolutions", source)
    elif strides[1] == 1 and pads != [1] * 4:
        reason = f"depthwise with pads {pads}: at stride 1 the runtime pads by 1"
        yield refusal(node, Effect.wrong, reason, ANOTHER, source)


def _dense(
    node: onnx.NodeProto, cin: int, kernel: tuple[int, int], strides: list[int], pads: list[int]
) -> Iterator[Refusal]:
    """The kernels in the compiler's order: native 3x3, stem (to 32 channels), dense, and the processor for the rest."""
    padded = pads == [1] * 4
    whole = cin <= GROUP or (cin % GROUP == 0 and cin <= CHANNELS)
    if kernel == (3, 3) and padded and strides in ([1, 1], [2, 2]) and whole:
        return
    if cin <= GROUP:
        if kernel[0] > STEM_HEIGHT:
            reason = f"a kernel {kernel[0]} high; the runtime stages {STEM_HEIGHT} rows"
            yield refusal(node, Effect.load, reason, ANOTHER, "runtime/exec/plt_conv_stem.c")
    elif cin % GROUP == 0 and kernel[0] * kernel[1] * (cin // GROUP) <= GROUP:
        source = "runtime/exec/plt_conv_dense.c"
        strided = kernel == (3, 3) and padded and strides[1] == 2 and (cin // GROUP) % 2 == 0
        if kernel[0] != kernel[1]:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {cin} channels is not square"
            yield refusal(node, Effect.load, reason, ANOTHER, source)
        elif strides[1] != 1 and not strided:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {cin} channels, stride {strides[1]}, pads {pads}"
            yield refusal(node, Effect.load, reason, "3x3 with pads of 1", source)
        elif not padded:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {cin} channels, pads {pads}: the runtime pads by 1"
            yield refusal(node, Effect.wrong, reason, "3x3 with pads of 1", source)
