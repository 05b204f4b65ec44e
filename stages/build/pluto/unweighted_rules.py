"""Rules of the open runtime for operators without weights.

Facts: github.com/inoop/t41-pluto (8f374b6); every refusal names its file.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.qdq_graph import QMIN, QdqGraph
from stages.build.pluto.refusals import ONNX_IMPORT, Concern, Effect, Refusal, refusal
from stages.core.graph.onnx_graph import attribute
from stages.core.integer.exact_rounding import exact_rescaling, exact_sum
from stages.core.integer.quant_params import QuantParams

__all__ = [
    "check_add",
    "check_concat",
    "check_focus",
    "check_max_pool",
    "check_mul",
    "check_pool",
    "check_resize",
    "ties",
]

TIE = 1e-6
"""Of a step: nearer to halfway between two codes than any multiplier of 31 bits tells apart."""
MAX_LAYER_INPUTS = 4
"""Inputs of a layer in the compiled file (compile/format.py, MAX_IO)."""
FOCUS_STARTS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Row and column of the first pixel of each quarter of Focus (compile/ops/focus.py)."""


def check_add(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a sum."""
    if len(qdq.feature_inputs(node)) < 2:
        reason = "adds a constant; the runtime adds two features"
        yield refusal(node, Effect.compile, reason, "move it into the bias of the layer before", ONNX_IMPORT)
        return
    shapes = [qdq.graph.shapes.get(name) for name in node.input]
    if shapes[0] != shapes[1]:
        reason = f"adds {shapes[0]} and {shapes[1]}; the runtime does not broadcast"
        yield refusal(node, Effect.wrong, reason, "operands of one shape", "compile/shapes.py")
    left, right = (qdq.input_qparams(name) for name in node.input)
    out = qdq.stored_qparams(node.output[0])
    if not (left and right and out) or not all(qparams.per_tensor for qparams in (left, right, out)):
        return
    if exact_sum(*(each.unsigned for each in (left, right, out))) is None:
        scales = "{:.6g}, {:.6g} and {:.6g}".format(*(qparams.tensor_scale for qparams in (left, right, out)))
        reason = f"scales {scales}: no integer sum gives all 65536 results"
        cure = "another range of one of the three: quant.node_bits, or quant.feature_method"
        yield refusal(node, Effect.compile, reason, cure, "compile/ops/add.py", Concern.settings)


def check_concat(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a concatenation of features."""
    rank = len(qdq.graph.shapes.get(node.output[0], ()))
    if attribute(node, "axis", 1) not in (1, 1 - rank):
        reason = f"joins along axis {attribute(node, 'axis', 1)}; the runtime joins channels"
        yield refusal(node, Effect.wrong, reason, "join channels, or after the last convolutions", "compile/shapes.py")
    if len(node.input) > MAX_LAYER_INPUTS:
        reason = f"joins {len(node.input)} tensors; a compiled layer has {MAX_LAYER_INPUTS}, the others are dropped"
        yield refusal(node, Effect.wrong, reason, "join them in two steps", "compile/format.py")
    if any(map(qdq.is_constant, node.input)):
        yield refusal(node, Effect.compile, "joins a constant", "fold it into the next layer", ONNX_IMPORT)


def ties(qdq: QdqGraph) -> list[str]:
    """Concatenations for which the integer model has no exact multipliers: one sentence each.

    Real arithmetic takes the even one of two codes that are equally near, integers the upper one.
    """
    notes = []
    for node in qdq.nodes:
        operands = [qdq.input_qparams(name) for name in node.input] if node.op_type == "Concat" else []
        out = qdq.stored_qparams(node.output[0])
        known = [each.unsigned for each in operands if each is not None and each.per_tensor]
        if not known or len(known) < len(operands) or out is None or qdq.is_focus(node):
            continue
        if exact_rescaling(known, out.unsigned) is None:
            tied = sum(map(partial(_count_ties, out=out.unsigned), known))
            notes.append(
                f"{node.name or node.output[0]}: scales in simple ratios: {tied} of its operands' {256 * len(known)} "
                "codes lie halfway between two, and may be one code off the simulation"
            )
    return notes


def _count_ties(operand: QuantParams, out: QuantParams) -> int:
    """Codes of an operand that lie halfway between two of the output's."""
    real = operand.scale * (np.arange(operand.qmax + 1) - operand.zero_point) / out.scale + out.zero_point
    inside = (real > 0) & (real < out.qmax)
    return int(np.count_nonzero(inside & (np.abs(real % 1 - 0.5) < TIE)))


def check_focus(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a concatenation of slices: the compiler reads any as YOLOX's Focus, whatever the slices are."""
    name = qdq.graph.inputs[0]
    shape = qdq.graph.shapes.get(name, [])
    if not _is_yolox_focus(qdq, node, name, shape):
        reason = "joins slices of another kind than YOLOX's Focus, which the compiler reads it as"
        yield refusal(node, Effect.wrong, reason, "Focus on the network's input, or no slices", "compile/ops/focus.py")


def _is_yolox_focus(qdq: QdqGraph, node: onnx.NodeProto, image: str, shape: Sequence[int]) -> bool:
    if len(shape) != 4 or any(size % 2 for size in shape[2:]) or len(node.input) != len(FOCUS_STARTS):
        return False
    pixels = np.arange(np.prod(shape)).reshape(shape)
    quarters = [pixels[:, :, row::2, column::2] for row, column in FOCUS_STARTS]
    slices = [_sliced_pixels(qdq, name, image, pixels) for name in node.input]
    return all(
        part is not None and np.array_equal(part, quarter) for part, quarter in zip(slices, quarters, strict=True)
    )


def _sliced_pixels(qdq: QdqGraph, name: str, image: str, pixels: NDArray[Any]) -> NDArray[Any] | None:
    """The pixels of the network's input that a chain of slices selects; None where that cannot be told."""
    source = qdq.source(name)
    if source == image:
        return pixels
    node = qdq.graph.producers.get(source)
    if node is None or node.op_type != "Slice":
        return None
    settings = [qdq.constant(setting) if setting else None for setting in node.input[1:]]
    before = _sliced_pixels(qdq, node.input[0], image, pixels)
    if before is None or len(settings) < 2 or settings[0] is None or settings[1] is None:
        return None
    starts, ends = settings[0], settings[1]
    axes = settings[2] if len(settings) > 2 and settings[2] is not None else np.arange(len(starts))
    steps = settings[3] if len(settings) > 3 and settings[3] is not None else np.ones(len(starts), np.int64)
    selection = [slice(None)] * before.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        selection[int(axis)] = slice(int(start), int(end), int(step))
    return before[tuple(selection)]


def check_max_pool(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a max pool: the compiler reads kernel, strides and pads."""
    defaults = {"ceil_mode": 0, "storage_order": 0, "auto_pad": b"NOTSET"}
    for name, default in defaults.items():
        if name == "ceil_mode" and _windows_divide(qdq, node):
            continue
        value = attribute(node, name, default)
        if value not in (default, b"VALID"):
            shown = value.decode() if isinstance(value, bytes) else value
            yield refusal(
                node, Effect.wrong, f"{name}={shown} is not read", "explicit pads, sizes that divide", ONNX_IMPORT
            )
    if any(step != 1 for step in attribute(node, "dilations", [1, 1])):
        yield refusal(node, Effect.wrong, "dilated, which is not read", "a pool without dilation", ONNX_IMPORT)


def _windows_divide(qdq: QdqGraph, node: onnx.NodeProto) -> bool:
    """Whether a pool's windows end where its padded input ends, so that sizes are the same rounded up and down."""
    size = qdq.graph.shapes.get(node.input[0], [])[2:]
    kernel, rank = attribute(node, "kernel_shape", []), len(size)
    strides, pads = attribute(node, "strides", [1] * rank), attribute(node, "pads", [0] * 2 * rank)
    ends = [length + pads[i] + pads[rank + i] - kernel[i] for i, length in enumerate(size)]
    return bool(size) and not any(end % stride for end, stride in zip(ends, strides, strict=True))


def check_resize(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Resize: nearest, twice the size, by scales."""
    mode = attribute(node, "mode", b"nearest").decode()
    if mode != "nearest":
        reason = f"mode={mode}: the compiler reads every Resize as nearest"
        yield refusal(node, Effect.wrong, reason, "resize to the nearest pixel", ONNX_IMPORT)
        return
    scales = qdq.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if scales is None or scales.size == 0:
        reason = "is told a size, not scales; the compiler would read the width as the factor"
        yield refusal(node, Effect.wrong, reason, "export it with scales", ONNX_IMPORT)
        return
    if scales.size != 4 or list(scales) != [1, 1, 2, 2]:
        reason = f"scales {[float(f'{value:g}') for value in scales]}: the runtime's contract is twice the size"
        yield refusal(node, Effect.wrong, reason, "twice the size, several times where needed", "README.md")
        return
    coordinates = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    rounding = attribute(node, "nearest_mode", b"round_prefer_floor").decode()
    if not repeats_pixels(coordinates, rounding):
        reason = f"{coordinates} with {rounding} does not repeat each pixel twice"
        yield refusal(node, Effect.wrong, reason, "asymmetric with floor", "compile/ops/upsample.py")


def repeats_pixels(coordinates: str, rounding: str, size: int = 8) -> bool:
    """Whether a nearest Resize to twice the size reads pixel x // 2 at each x (ONNX, operator Resize)."""
    x = np.arange(2 * size)
    position = {
        "asymmetric": x / 2,
        "half_pixel": (x + 0.5) / 2 - 0.5,
        "pytorch_half_pixel": (x + 0.5) / 2 - 0.5,
        "half_pixel_symmetric": (x + 0.5) / 2 - 0.5,
        "align_corners": x * (size - 1) / (2 * size - 1),
    }.get(coordinates)
    if position is None:
        return False
    rounded = {
        "floor": np.floor(position),
        "ceil": np.ceil(position),
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
    }[rounding]
    return np.array_equal(np.clip(rounded, 0, size - 1), x // 2)


def check_pool(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a global average pool."""
    source = "runtime/exec/plt_pool_mxu.c"
    feature = qdq.input_qparams(node.input[0])
    int8 = feature is not None and feature.zero_point.dtype == np.int8  # other codes have a refusal of their own
    if feature is not None and int8 and feature.per_tensor and feature.tensor_zero_point != QMIN:
        zero_point = feature.tensor_zero_point
        reason = f"its input's zero point is {zero_point}; the kernel sums rightly at {QMIN} only, so behind a ReLU"
        yield refusal(node, Effect.wrong, reason, "a network with a ReLU before the pool", source)
    others = [consumer for consumer in qdq.consumers(node.output[0]) if consumer.op_type != "Gemm"]
    if others:
        reason = f"{others[0].op_type} reads it; its output is a vector that only a Gemm reads"
        yield refusal(node, Effect.wrong, reason, "a network without gates from pooled features", source)


def check_mul(qdq: QdqGraph, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a product: x * Sigmoid(x) is the only one that the compiler reads."""
    if qdq.silu_input(node) is None:
        reason = "is not x * Sigmoid(x), the only product that the compiler reads"
        yield refusal(node, Effect.compile, reason, "fold constants into the layer before; no gates", ONNX_IMPORT)
