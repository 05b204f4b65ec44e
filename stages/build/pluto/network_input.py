"""The network's input on the camera: its quantizer, and the bytes that `plt run --input` reads."""

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.qdq_graph import QMAX, QMIN, QdqGraph, QdqParams

__all__ = ["input_bytes", "input_is_twos_complement", "input_quantizer", "reads_twos_complement"]

MAX_IMAGE_CHANNELS = 3
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

    They are where a convolution of more than one pixel reads a picture (runtime/exec/plt_conv_k3.c and plt_conv_stem.c
    flip the top bit). Focus and 1x1 convolutions read code + 128 (compile/pack_input.py).
    """
    name = qdq.graph.inputs[0]
    channels = qdq.graph.shapes.get(name, [0, 0])[1]
    return channels <= MAX_IMAGE_CHANNELS and any(reads_twos_complement(node) for node in qdq.consumers(name))


def reads_twos_complement(node: onnx.NodeProto) -> bool:
    """Whether a layer on the network's input reads two's complement: a Conv of more than one pixel."""
    kernel = next((list(setting.ints) for setting in node.attribute if setting.name == "kernel_shape"), [3, 3])
    return node.op_type == "Conv" and kernel != [1, 1]


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
