"""Operators that move or pick elements."""

from typing import TYPE_CHECKING

import numpy as np
import onnx

from stages.core.graph.onnx_graph import Graph, attribute
from stages.quantize.operators.builder import IntegerModelBuilder
from stages.quantize.operators.onnx_operator import OnnxOperator, Tie, tie_unary
from stages.quantize.operators.torch_call import TorchCall

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OPERATORS"]


def _pad_limits(graph: Graph, node: onnx.NodeProto) -> str | None:
    value = node.input[2] if len(node.input) > 2 else ""
    return "its padded value is computed" if value and value not in graph.constants else None


# --- ties ---


def _tie_reshaped(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    """Values keep their order: a channel of the one is a part of a channel of the other, or several whole ones."""
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    sizes = [int(np.prod(shape[2:], dtype=np.int64)) for shape in (before, after)]
    if before[0] != after[0] or min(sizes) == 0 or max(sizes) % min(sizes):
        return None
    parts = np.arange(before[1] * sizes[0] // min(sizes))
    return [(node.input[0], parts * min(sizes) // sizes[0], node.output[0], parts * min(sizes) // sizes[1])]


def _tie_transposed(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    return tie_unary(graph, node) if list(attribute(node, "perm", ()))[:2] == [0, 1] else None


def _tie_padded(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    value = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.float32(0)
    if value is None or node.input[1] not in graph.constants or (len(node.input) > 3 and node.input[3]):
        return None
    pads = np.asarray(graph.constant(node.input[1])).reshape(2, -1)
    zeros = not value.any() or attribute(node, "mode", b"constant") != b"constant"
    return tie_unary(graph, node) if zeros and not pads[:, 1].any() else None


def _tie_sliced(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    settings = [graph.constant(name) if name else None for name in node.input[1:]]
    if len(settings) < 2 or any(name and name not in graph.constants for name in node.input[1:]):
        return None
    starts, ends = (np.asarray(part).tolist() for part in settings[:2])
    axes = range(len(starts)) if len(settings) < 3 or settings[2] is None else settings[2].tolist()
    steps = [1] * len(starts) if len(settings) < 4 or settings[3] is None else settings[3].tolist()
    before, after = graph.shapes[node.input[0]], graph.shapes[node.output[0]]
    kept = np.arange(before[1])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % len(before) == 1:
            kept = kept[start:end:step]
    return [(node.input[0], kept, node.output[0], np.arange(after[1]))] if len(kept) == after[1] else None


def _tie_split(graph: Graph, node: onnx.NodeProto) -> list[Tie] | None:
    rank = len(graph.shapes[node.input[0]])
    ties: list[Tie] = []
    start = 0
    for name in filter(None, node.output):
        if len(graph.shapes.get(name, ())) != rank:
            return None
        channels = np.arange(graph.shapes[name][1])
        ties.append((node.input[0], start + channels, name, channels))
        start += len(channels) if attribute(node, "axis", 0) % rank == 1 else 0
    return ties


# --- in PyTorch ---


def _torch_reshape(call: TorchCall) -> "Tensor":
    x, sizes = call[0], call.numbers(1, "shape") or []
    shape = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(sizes)]
    if not shape or (shape[0] not in (1, x.shape[0]) and (shape[0] != -1 or -1 in shape[1:])):
        raise call.not_covered()
    return x.reshape([x.shape[0], *shape[1:]])


def _torch_flatten(call: TorchCall) -> "Tensor":
    if call.get("axis", 1) != 1:
        raise call.not_covered()
    return call[0].reshape(call[0].shape[0], -1)


def _torch_squeeze(call: TorchCall) -> "Tensor":
    axes = call.numbers(1, "axes")
    if axes is None:
        raise NotImplementedError("Squeeze is not covered without axes")
    return call[0].squeeze(tuple(axes))


def _torch_unsqueeze(call: TorchCall) -> "Tensor":
    value, axes = call[0], call.numbers(1, "axes") or []
    for axis in sorted(axis % (value.ndim + len(axes)) for axis in axes):
        value = value.unsqueeze(axis)
    return value


def _torch_pad(call: TorchCall) -> "Tensor":
    pads = call.numbers(1, "pads") or []
    if call.get("mode", b"constant") != b"constant" or len(call) > 3:
        raise call.not_covered()
    rank = len(pads) // 2
    sides = [int(side) for i in reversed(range(rank)) for side in (pads[i], pads[rank + i])]
    return call.functional.pad(call[0], sides, value=float((call.numbers(2, "value") or [0.0])[0]))


def _torch_slice(call: TorchCall) -> "Tensor":
    value = call[0]
    starts, ends = call.numbers(1, "starts") or [], call.numbers(2, "ends") or []
    axes = call.numbers(3, "axes") or list(range(len(starts)))
    steps = call.numbers(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept = np.arange(value.shape[axis])[slice(start, end if end >= -value.shape[axis] else None, step)]
        value = value.index_select(axis, call.torch.from_numpy(kept.copy()))
    return value


def _torch_split(call: TorchCall) -> "list[Tensor]":
    axis, sizes = call.get("axis", 0), call.numbers(1, "split")
    count = len(call.node.output)
    return list(call.torch.split(call[0], sizes or -(-call[0].shape[axis] // count), axis))


def _torch_depth_to_space(call: TorchCall) -> "Tensor":
    value, size = call[0], call.get("blocksize")
    if call.get("mode", b"DCR") == b"DCR":  # blocks come first among the channels
        value = value.unflatten(1, (size * size, -1)).transpose(1, 2).flatten(1, 2)
    return call.functional.pixel_shuffle(value, size)


def _torch_space_to_depth(call: TorchCall) -> "Tensor":
    size = call.get("blocksize")
    value = call.functional.pixel_unshuffle(call[0], size)
    return value.unflatten(1, (-1, size * size)).transpose(1, 2).flatten(1, 2)


_lower = IntegerModelBuilder.move
OPERATORS = {
    "Identity": OnnxOperator(_lower, ties=tie_unary, torch=lambda call: call[0]),
    "Flatten": OnnxOperator(_lower, ties=_tie_reshaped, torch=_torch_flatten),
    "Reshape": OnnxOperator(_lower, ties=_tie_reshaped, torch=_torch_reshape),
    "Squeeze": OnnxOperator(_lower, ties=_tie_reshaped, torch=_torch_squeeze),
    "Unsqueeze": OnnxOperator(_lower, ties=_tie_reshaped, torch=_torch_unsqueeze),
    "Transpose": OnnxOperator(_lower, ties=_tie_transposed, torch=lambda call: call[0].permute(call.get("perm"))),
    "Pad": OnnxOperator(_lower, _pad_limits, _tie_padded, torch=_torch_pad),
    "Slice": OnnxOperator(_lower, ties=_tie_sliced, torch=_torch_slice),
    "Split": OnnxOperator(_lower, ties=_tie_split, torch=_torch_split),
    "DepthToSpace": OnnxOperator(_lower, torch=_torch_depth_to_space),
    "SpaceToDepth": OnnxOperator(_lower, torch=_torch_space_to_depth),
}
