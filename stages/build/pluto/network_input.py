"""The network's input on the camera: its quantizer, and the bytes that `plt run --input` reads."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from stages.build.pluto.qdq_graph import QMAX, QMIN, QdqGraph, QdqParams
from stages.build.pluto.rewrite import Rewrite
from stages.core.graph.onnx_graph import PICTURE_RANK, attribute

__all__ = ["input_bytes", "input_is_twos_complement", "input_quantizer", "read_plainly", "reads_twos_complement"]

MAX_IMAGE_CHANNELS = 3
"""Channels up to which a convolution takes its input for a picture."""
COPYING_CODE = 64
"""Of a weight of one: its scale, its product with the scale and the requantization are powers of two, so exact."""
LANES = 32
"""Channels in a cell of memory, a byte each."""
TILE = (2, 4)
"""Rows and pixels that the unit reads at once."""


def input_quantizer(qdq: QdqGraph) -> onnx.NodeProto | None:
    """The QuantizeLinear whose codes the camera is fed: the input's own, else that before Focus's first slice."""
    own = qdq.quantizers(qdq.graph.inputs[0])
    if own:
        return own[0]
    focus = next((node for node in qdq.nodes if qdq.is_focus(node)), None)
    first_slice = qdq.graph.producers.get(focus.input[0]) if focus is not None else None
    before = qdq.graph.producers.get(first_slice.input[0]) if first_slice is not None and first_slice.input else None
    return before if before is not None and before.op_type == "QuantizeLinear" else None


def input_is_twos_complement(qdq: QdqGraph) -> bool:
    """Whether the input's bytes are the codes in two's complement, and not code + 128.

    They are where such a layer reads it. Focus, depthwise and 1x1 convolutions read code + 128 (compile/pack_input.py).
    """
    return any(reads_twos_complement(qdq, node) for node in qdq.consumers(qdq.graph.inputs[0]))


def reads_twos_complement(qdq: QdqGraph, node: onnx.NodeProto) -> bool:
    """Whether a layer flips the top bit of each byte that it reads.

    A dense convolution of more than one pixel over at most 3 channels does, which takes its input for the picture
    (runtime/exec/plt_conv_k3.c and plt_conv_stem.c).
    """
    weight = qdq.constant_codes(node.input[1]) if node.op_type == "Conv" else None
    if weight is None or weight[0].ndim != PICTURE_RANK or qdq.is_depthwise(node):
        return False
    _, channels, *window = weight[0].shape
    return channels * attribute(node, "group", 1) <= MAX_IMAGE_CHANNELS and window != [1, 1]


def read_plainly(rewrite: Rewrite) -> None:
    """Put a 1x1 convolution before convolutions that would flip the input's bytes, where these are not of zero point 0.

    It copies the channels and adds one of zeros to make more than 3, so the codes of every other layer stay. Nothing
    changes where the runtime reads the bytes rightly: at zero point 0, and with no other reader.
    """
    qdq = QdqGraph(rewrite.graph())
    name = qdq.graph.inputs[0]
    quantizers, readers = qdq.quantizers(name), qdq.consumers(name)
    flipping = [node for node in readers if reads_twos_complement(qdq, node)]
    shape = qdq.graph.shapes.get(name, [])
    if len(quantizers) != 1 or not flipping or len(shape) != PICTURE_RANK:
        return
    zero_point = int(rewrite.constants[quantizers[0].input[2]])
    if zero_point == 0 and len(flipping) == len(readers):
        return
    channels = MAX_IMAGE_CHANNELS + 1
    for node in flipping:
        _widen(rewrite, node, channels)
    codes = np.eye(channels, shape[1], dtype=np.int8)[:, :, None, None] * COPYING_CODE
    rewrite.constants |= {
        f"{name}/copy/codes": codes,
        f"{name}/copy/scale": np.full(channels, 1 / COPYING_CODE, np.float32),
        f"{name}/copy/zero_point": np.zeros(channels, np.int8),
    }
    qparams, weight = (
        list(quantizers[0].input[1:3]),
        [f"{name}/copy/{part}" for part in ("codes", "scale", "zero_point")],
    )
    source = flipping[0].input[0]
    layer = [
        helper.make_node("DequantizeLinear", weight, [f"{name}/copy/weight"], f"{name}/copy/weight", axis=0),
        helper.make_node(
            "Conv", [source, f"{name}/copy/weight"], [f"{name}/copy/float"], f"{name}/copy", kernel_shape=[1, 1]
        ),
        helper.make_node("QuantizeLinear", [f"{name}/copy/float", *qparams], [f"{name}/copied"], f"{name}/copy/Q"),
        helper.make_node("DequantizeLinear", [f"{name}/copied", *qparams], [f"{name}/copy/real"], f"{name}/copy/DQ"),
    ]
    for node in flipping:
        node.input[0] = f"{name}/copy/real"
    nodes = rewrite.nodes
    position = 1 + next(i for i, node in enumerate(nodes) if source in node.output)
    rewrite.replace([*nodes[:position], *layer, *nodes[position:]])
    rewrite.notes.append(
        f"{name}: a 1x1 convolution copies it to {channels} channels, since its zero point is {zero_point}: "
        f"larger convolutions over {shape[1]} read a picture rightly at 0 alone"
    )


def _widen(rewrite: Rewrite, node: onnx.NodeProto, channels: int) -> None:
    """Give a convolution more input channels, with weights of zero."""
    dequantizer = next(each for each in rewrite.nodes if node.input[1] in each.output)
    codes = rewrite.constants[dequantizer.input[0]]
    wide = np.zeros((codes.shape[0], channels, *codes.shape[2:]), codes.dtype)
    wide[:, : codes.shape[1]] = codes
    dequantizer.input[0] = f"{dequantizer.input[0]}/wide"
    rewrite.constants[dequantizer.input[0]] = wide


def input_bytes(values: NDArray[np.float32], qparams: QdqParams, twos_complement: bool) -> NDArray[np.uint8]:
    """Lay out a network input in cells of 32 channels, a byte each.

    Layout: README.md and compile/pack_input.py of github.com/inoop/t41-pluto (8f374b6).

    Args:
        values: float32 [1, C, H, W], as the network reads it.
        qparams: of the input, int8.
        twos_complement: bytes are the codes in two's complement; else code + 128.

    Returns:
        uint8 [ceil(C / 32), H to a multiple of 2, W to a multiple of 4, 32], zeros where there is no value.
    """
    quotients = np.rint(values[0] / np.float64(qparams.tensor_scale))
    codes = np.clip(quotients + qparams.tensor_zero_point, QMIN, QMAX).astype(np.int64)
    stored = codes % 256 if twos_complement else codes + 128
    channels, *size = stored.shape
    groups = -(-channels // LANES)
    height, width = (-(-length // tile) * tile for length, tile in zip(size, TILE, strict=True))
    cells = np.zeros((groups * LANES, height, width), np.uint8)
    cells[:channels, : size[0], : size[1]] = stored
    return np.ascontiguousarray(cells.reshape(groups, LANES, height, width).transpose(0, 2, 3, 1))
