"""Rules of the open runtime for a convolution's kernel, strides, pads and groups.

Facts: github.com/inoop/t41-pluto (8f374b6); every refusal names its file.
"""

from collections.abc import Iterator, Sequence

import onnx

from stages.build.pluto.network_input import reads_twos_complement
from stages.build.pluto.qdq_graph import QdqGraph
from stages.build.pluto.refusals import ONNX_IMPORT, Effect, Refusal, refusal
from stages.core.graph.onnx_graph import attribute

__all__ = ["check_dense", "check_geometry", "check_pointwise", "unproven", "window_groups"]

CHANNEL_GROUP = 32
"""Channels that the unit computes at once."""
MAX_GROUPS = 32
"""Groups of input channels that the unit walks (compile/ops/dense.py)."""
MAX_CHANNELS = MAX_GROUPS * CHANNEL_GROUP
PROVEN_CHANNELS = 256
"""Of a 3x3: the widest that anyone ran. Beyond, a group's weights need more than the 288 slots for taps."""
SLOT = 16
"""Channels of a window's pixel are rounded up to a multiple of this (compile/layout.py, stem_tap_stride)."""
MAX_STEM_HEIGHT = 15
"""Rows of a stem's kernel (runtime/exec/plt_conv_stem.c)."""
ANOTHER_NETWORK = "another network, or this layer replaced in it"


def unproven(qdq: QdqGraph) -> list[str]:
    """Layers that the compiler takes and that nobody has run: one sentence each."""
    notes = []
    for node in qdq.nodes:
        weight = qdq.constant_codes(node.input[1]) if node.op_type == "Conv" else None
        if weight is not None and weight[0].shape[2:] == (3, 3) and weight[0].shape[1] > PROVEN_CHANNELS:
            name, channels = node.name or node.output[0], weight[0].shape[1]
            notes.append(f"{name}: 3x3 over {channels} channels; the widest that was ever run has {PROVEN_CHANNELS}")
    return notes


def window_groups(in_channels: int, kernel: tuple[int, int]) -> int:
    """Groups of channels that a window becomes in memory, for a convolution over at most 32 channels."""
    pixels = kernel[0] * kernel[1]
    packed = pixels * in_channels <= CHANNEL_GROUP
    channels = in_channels if packed else -(-in_channels // SLOT) * SLOT
    return -(-pixels * channels // CHANNEL_GROUP)


def check_geometry(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Conv's geometry; none where its weight is not quantized, which is refused elsewhere."""
    weight = qdq.constant_codes(node.input[1])
    if weight is None:
        return
    weight_shape = weight[0].shape
    if len(weight_shape) != 4:
        reason = f"is a {len(weight_shape) - 2}-dimensional convolution"
        yield refusal(node, Effect.compile, reason, ANOTHER_NETWORK, ONNX_IMPORT)
        return
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        reason = "auto_pad is not read: the layer would have no padding"
        yield refusal(node, Effect.wrong, reason, "export explicit pads (the export stage does)", ONNX_IMPORT)
        return
    if any(step != 1 for step in attribute(node, "dilations", [1, 1])):
        reason = "dilated: every kernel of the runtime steps by one pixel"
        yield refusal(node, Effect.wrong, reason, ANOTHER_NETWORK, "compile/shapes.py")
        return
    _, channels_per_group, height, width = weight_shape
    groups = attribute(node, "group", 1)
    in_channels = channels_per_group * groups
    strides, pads = attribute(node, "strides", [1, 1]), attribute(node, "pads", [0] * 4)
    if groups == 1 and (height, width) == (1, 1):
        yield from check_pointwise(node, in_channels, strides, pads)
    elif qdq.is_depthwise(node):
        yield from _check_depthwise(node, (height, width), strides, pads)
    elif groups > 1:
        reason = f"{groups} groups over {in_channels} channels: the runtime has dense and depthwise convolutions only"
        yield refusal(node, Effect.wrong, reason, "a dense weight with zeros outside the groups", ONNX_IMPORT)
    else:
        yield from check_dense(node, in_channels, (height, width), strides, pads)
        yield from _check_narrow(qdq, node, in_channels)
    if strides[0] != strides[1]:
        reason = f"strides {strides[0]} and {strides[1]} differ"
        yield refusal(node, Effect.load, reason, ANOTHER_NETWORK, "runtime/exec/plt_conv_nna.c")
    shape = qdq.graph.shapes.get(node.input[0])
    if shape is not None and shape[0] != 1:
        yield refusal(node, Effect.wrong, f"batch {shape[0]}", "export with batch 1", ONNX_IMPORT)


def check_pointwise(
    node: onnx.NodeProto, in_channels: int, strides: Sequence[int], pads: Sequence[int]
) -> Iterator[Refusal]:
    """Refusals of a 1x1 convolution."""
    if strides[1] != 1:
        reason = f"1x1 with stride {strides[1]}: the runtime's has stride 1"
        yield refusal(node, Effect.load, reason, "stride in a 3x3 layer before it", "runtime/exec/plt_conv_pw.c")
    if any(pads):
        yield refusal(node, Effect.wrong, "1x1 with padding", ANOTHER_NETWORK, "runtime/exec/plt_conv_pw.c")
    if in_channels > MAX_CHANNELS:
        reason = f"{in_channels} input channels; beyond {MAX_CHANNELS} the unit's walk was measured to go wrong"
        yield refusal(node, Effect.wrong, reason, "a narrower network", "compile/ops/dense.py")


def _check_narrow(qdq: QdqGraph, node: onnx.NodeProto, in_channels: int) -> Iterator[Refusal]:
    if reads_twos_complement(qdq, node) and qdq.source(node.input[0]) != qdq.graph.inputs[0]:
        reason = (
            f"{in_channels} input channels: the runtime takes them for the network's input, and flips their top bits"
        )
        yield refusal(node, Effect.wrong, reason, "4 channels or more there", "runtime/exec/plt_conv_k3.c")


def _check_depthwise(
    node: onnx.NodeProto, kernel: tuple[int, int], strides: Sequence[int], pads: Sequence[int]
) -> Iterator[Refusal]:
    source = "runtime/exec/plt_conv_dw.c"
    if kernel != (3, 3):
        reason = f"depthwise {kernel[0]}x{kernel[1]}: the runtime's is 3x3"
        yield refusal(node, Effect.load, reason, "a network with 3x3 depthwise convolutions", source)
    elif strides[1] == 1 and list(pads) != [1] * 4:
        reason = f"depthwise with pads {pads}: at stride 1 the runtime pads by 1"
        yield refusal(node, Effect.wrong, reason, ANOTHER_NETWORK, source)


def check_dense(
    node: onnx.NodeProto, in_channels: int, kernel: tuple[int, int], strides: Sequence[int], pads: Sequence[int]
) -> Iterator[Refusal]:
    """Refusals of a convolution without groups.

    The compiler tries its kernels in this order: native 3x3, stem (up to 32 channels), dense, and the processor for the
    rest.
    """
    padded_by_1 = list(pads) == [1] * 4
    groups, rest = divmod(in_channels, CHANNEL_GROUP)
    native_channels = in_channels <= CHANNEL_GROUP or (rest == 0 and in_channels <= MAX_CHANNELS)
    if kernel == (3, 3) and padded_by_1 and list(strides) in ([1, 1], [2, 2]) and native_channels:
        return
    if in_channels <= CHANNEL_GROUP:
        if kernel[0] > MAX_STEM_HEIGHT:
            reason = f"a kernel {kernel[0]} high; the runtime stages {MAX_STEM_HEIGHT} rows"
            yield refusal(node, Effect.load, reason, ANOTHER_NETWORK, "runtime/exec/plt_conv_stem.c")
        elif (window := window_groups(in_channels, kernel)) > MAX_GROUPS:
            shown = f"{kernel[0]}x{kernel[1]} over {in_channels} channels"
            reason = f"{shown} makes {window} groups of {CHANNEL_GROUP}; beyond {MAX_GROUPS} the unit's walk goes wrong"
            yield refusal(node, Effect.wrong, reason, "a smaller kernel", "compile/layout.py, compile/ops/dense.py")
    elif rest == 0 and kernel[0] * kernel[1] * groups <= MAX_GROUPS:
        source = "runtime/exec/plt_conv_dense.c"
        stride_2 = kernel == (3, 3) and padded_by_1 and strides[1] == 2 and groups % 2 == 0
        if kernel[0] != kernel[1]:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {in_channels} channels is not square"
            yield refusal(node, Effect.load, reason, ANOTHER_NETWORK, source)
        elif strides[1] != 1 and not stride_2:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {in_channels} channels, stride {strides[1]}, pads {pads}"
            yield refusal(node, Effect.load, reason, "3x3 with pads of 1", source)
        elif not padded_by_1:
            reason = f"kernel {kernel[0]}x{kernel[1]} over {in_channels} channels, pads {pads}: the runtime pads by 1"
            yield refusal(node, Effect.wrong, reason, "3x3 with pads of 1", source)
