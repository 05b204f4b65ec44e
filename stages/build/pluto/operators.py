"""What the open runtime refuses of operators without weights.

Facts: github.com/inoop/t41-pluto (8f374b6); every refusal names the file.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.build.pluto.edges import Edges, Meaning
from stages.build.pluto.refusals import Effect, Refusal, refusal
from stages.core.graph.onnx_graph import attribute

__all__ = ["check_add", "check_concat", "check_focus", "check_max_pool", "check_mul", "check_pool", "check_resize"]

IMPORT = "compile/onnx_import.py"
INPUTS = 4
"""Most inputs of a layer in the container (compile/format.py, MAX_IO)."""
SHIFTS = range(8, 31)
"""Shifts that the compiler tries for a sum (compile/ops/add.py)."""
FOCUS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Row and column that each quarter of Focus starts at (compile/ops/focus.py)."""
LOWEST = -128


def check_add(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a sum."""
    features = edges.activations(node)
    if len(features) < 2:
        reason = "adds a constant; the runtime adds two features"
        yield refusal(node, Effect.wrong, reason, "move it into the bias of the layer before", IMPORT)
        return
    shapes = [edges.graph.shapes.get(name) for name in node.input]
    if shapes[0] != shapes[1]:
        reason = f"adds {shapes[0]} and {shapes[1]}; the runtime does not broadcast"
        yield refusal(node, Effect.wrong, reason, "operands of one shape", "compile/shapes.py")
    left, right = (edges.taken(name) for name in node.input)
    made = edges.quantizers(node.output[0])
    out = edges.meaning(made[0]) if made else None
    if not (left and right and out) or not all(entry.per_tensor for entry in (left, right, out)):
        return
    if fixed_point_shift(left, right, out) is None:
        reason = f"scales {left.step:.6g}, {right.step:.6g} and {out.step:.6g}: no integer sum gives all 65536 results"
        cure = "another range of one of the three: quant.node_bits, or quant.feature_method"
        yield refusal(node, Effect.compile, reason, cure, "compile/ops/add.py")


def fixed_point_shift(left: Meaning, right: Meaning, out: Meaning) -> int | None:
    """The smallest shift at which an integer sum equals the rounded real one for all pairs of codes, or None.

    The compiler stops where there is none (compile/ops/add.py). What fails are ties: a half goes up in integers and to
    the even code in real arithmetic, so scales in simple ratios are the ones at risk.
    """
    codes = np.arange(-128, 128, dtype=np.int64)
    parts = [meaning.step * (codes - meaning.zero) / out.step for meaning in (left, right)]
    wanted = np.clip(np.rint(parts[0][:, None] + parts[1]) + out.zero, -128, 127)
    for shift in SHIFTS:
        factors = [round(meaning.step / out.step * 2**shift) for meaning in (left, right)]
        total = factors[0] * (codes - left.zero)[:, None] + factors[1] * (codes - right.zero)
        if np.array_equal(np.clip(((total + 2 ** (shift - 1)) >> shift) + out.zero, -128, 127), wanted):
            return shift
    return None


def check_concat(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a concatenation of features."""
    rank = len(edges.graph.shapes.get(node.output[0], ()))
    if attribute(node, "axis", 1) not in (1, 1 - rank):
        reason = f"joins along axis {attribute(node, 'axis', 1)}; the runtime joins channels"
        yield refusal(node, Effect.wrong, reason, "join channels, or after the last convolutions", "compile/shapes.py")
    if len(node.input) > INPUTS:
        reason = f"joins {len(node.input)} tensors; a layer of the container has {INPUTS}, the others are dropped"
        yield refusal(node, Effect.wrong, reason, "join them in two steps", "compile/format.py")
    if any(edges.constant(name) is not None for name in node.input):
        yield refusal(node, Effect.compile, "joins a constant", "fold it into the next layer", IMPORT)


def check_focus(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a concatenation of slices: the compiler takes any for YOLOX's Focus, whatever they cut."""
    name = edges.graph.inputs[0]
    shape = edges.graph.shapes.get(name, [])
    found = [_sliced(edges, entry, name, shape) for entry in node.input] if len(shape) == 4 else []
    indices = np.arange(np.prod(shape or [1])).reshape(shape or 1)
    wanted = [indices[:, :, row::2, column::2] for row, column in FOCUS] if len(shape) == 4 else [indices]
    same = len(found) == len(wanted) and all(
        cut is not None and np.array_equal(cut, want) for cut, want in zip(found, wanted, strict=True)
    )
    if not same or any(size % 2 for size in shape[2:]):
        reason = "joins slices of another kind than YOLOX's Focus, which the compiler takes it for"
        yield refusal(node, Effect.wrong, reason, "Focus on the network's input, or no slices", "compile/ops/focus.py")


def _sliced(edges: Edges, name: str, image: str, shape: Sequence[int]) -> NDArray[Any] | None:
    """What pixels of the network's input a chain of slices gives."""
    source = edges.source(name)
    if source == image:
        return np.arange(np.prod(shape)).reshape(shape)
    node = edges.graph.producers.get(source)
    if node is None or node.op_type != "Slice":
        return None
    settings = [edges.constant(entry) if entry else None for entry in node.input[1:]]
    before = _sliced(edges, node.input[0], image, shape)
    if before is None or len(settings) < 2 or settings[0] is None or settings[1] is None:
        return None
    axes = settings[2] if len(settings) > 2 and settings[2] is not None else np.arange(len(settings[0]))
    steps = settings[3] if len(settings) > 3 and settings[3] is not None else np.ones(len(settings[0]), np.int64)
    cut = [slice(None)] * before.ndim
    for start, end, axis, step in zip(settings[0], settings[1], axes, steps, strict=True):
        cut[int(axis)] = slice(int(start), int(end), int(step))
    return before[tuple(cut)]


def check_max_pool(_: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a max pool: the compiler reads kernel, strides and pads."""
    plain = {"ceil_mode": 0, "storage_order": 0, "auto_pad": b"NOTSET"}
    for name, wanted in plain.items():
        value = attribute(node, name, wanted)
        if value not in (wanted, b"VALID"):
            shown = value.decode() if isinstance(value, bytes) else value
            yield refusal(node, Effect.wrong, f"{name}={shown} is not read", "explicit pads, sizes that divide", IMPORT)
    if any(step != 1 for step in attribute(node, "dilations", [1, 1])):
        yield refusal(node, Effect.wrong, "dilated, which is not read", "a pool without dilation", IMPORT)


def check_resize(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a Resize: nearest, twice the size, by scales."""
    mode = attribute(node, "mode", b"nearest").decode()
    if mode != "nearest":
        reason = f"mode={mode}: the compiler takes every Resize for nearest"
        yield refusal(node, Effect.wrong, reason, "resize to the nearest pixel", IMPORT)
        return
    scales = edges.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if scales is None or scales.size == 0:
        reason = "is told a size, not scales; the compiler would take the width for the factor"
        yield refusal(node, Effect.wrong, reason, "export it with scales", IMPORT)
        return
    if scales.size != 4 or list(scales) != [1, 1, 2, 2]:
        reason = f"scales {[float(f'{value:g}') for value in scales]}: the runtime's contract is twice the size"
        yield refusal(node, Effect.wrong, reason, "twice the size, several times where needed", "README.md")
        return
    place = attribute(node, "coordinate_transformation_mode", b"half_pixel").decode()
    rounding = attribute(node, "nearest_mode", b"round_prefer_floor").decode()
    if not repeats(place, rounding):
        reason = f"{place} with {rounding} does not repeat each pixel twice"
        yield refusal(node, Effect.wrong, reason, "asymmetric with floor", "compile/ops/upsample.py")


def repeats(place: str, rounding: str, size: int = 8) -> bool:
    """Whether a nearest Resize to twice the size takes pixel x // 2 at each x (ONNX, operator Resize)."""
    x = np.arange(2 * size)
    at = {
        "asymmetric": x / 2,
        "half_pixel": (x + 0.5) / 2 - 0.5,
        "pytorch_half_pixel": (x + 0.5) / 2 - 0.5,
        "half_pixel_symmetric": (x + 0.5) / 2 - 0.5,
        "align_corners": x * (size - 1) / (2 * size - 1),
    }.get(place)
    if at is None:
        return False
    rounded = {
        "floor": np.floor(at),
        "ceil": np.ceil(at),
        "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
    }[rounding]
    return np.array_equal(np.clip(rounded, 0, size - 1), x // 2)


def check_pool(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a global average pool."""
    source = "runtime/exec/plt_pool_mxu.c"
    feature = edges.taken(node.input[0])
    signed = feature is not None and feature.zero_point.dtype == np.int8  # other codes are refused by themselves
    if feature is not None and signed and feature.per_tensor and feature.zero != LOWEST:
        reason = f"its input's zero point is {feature.zero}; the kernel sums rightly at {LOWEST} only, so behind a ReLU"
        yield refusal(node, Effect.wrong, reason, "a network with a ReLU before the pool", source)
    others = [entry for entry in edges.consumers(node.output[0]) if entry.op_type != "Gemm"]
    if others:
        reason = f"{others[0].op_type} takes it; its output is a vector that only a Gemm reads"
        yield refusal(node, Effect.wrong, reason, "a network without gates from pooled features", source)


def check_mul(edges: Edges, node: onnx.NodeProto) -> Iterator[Refusal]:
    """Refusals of a product: x * Sigmoid(x) is the only one that the compiler reads."""
    if edges.silu_input(node) is None:
        reason = "is not x * Sigmoid(x), the only product that the compiler reads"
        yield refusal(node, Effect.compile, reason, "fold constants into the layer before; no gates", IMPORT)
